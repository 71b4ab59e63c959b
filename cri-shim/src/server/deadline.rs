//! A client's deadline, answered as gRPC says it is.
//!
//! A request carries the time its client will wait in `grpc-timeout`. tonic ends a late call itself, but with
//! CANCELLED, as if the client had hung up; clients that wait for the server's word, as critest does, expect
//! DEADLINE_EXCEEDED. tonic polls the call before its own timer, so a timer in here answers first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tonic::Status;
use tower::{Layer, Service};

const HEADER: &str = "grpc-timeout";
/// A tick of tokio's clock: a timer set for the tick before tonic's fires before it on any thread.
const TICK: Duration = Duration::from_millis(1);

/// Wraps a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline;

impl<S> Layer<S> for Deadline {
    type Service = WithDeadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithDeadline { inner }
    }
}

/// The wrapped service.
#[derive(Clone, Debug)]
pub(crate) struct WithDeadline<S> {
    inner: S,
}

impl<S, Body, Answer> Service<Request<Body>> for WithDeadline<S>
where
    S: Service<Request<Body>, Response = Response<Answer>>,
    S::Future: Send + 'static,
    Answer: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limit = limit(request.headers());
        let timer = limit.map(|limit| tokio::time::sleep(limit.saturating_sub(TICK)));
        let call = self.inner.call(request);
        Box::pin(async move {
            let Some(timer) = timer else { return call.await };
            tokio::select! {
                biased;
                answer = call => answer,
                () = timer => Ok(Status::deadline_exceeded("the client's deadline passed").into_http()),
            }
        })
    }
}

/// The time the client waits (gRPC over HTTP/2, "Timeout"); `None` without one, or with one that is malformed.
fn limit(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // At most eight digits, so that no unit overflows.
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (text, expected) in [
            ("1m", Some(Duration::from_millis(1))),
            ("2H", Some(Duration::from_secs(7200))),
            ("3M", Some(Duration::from_secs(180))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("5u", Some(Duration::from_micros(5))),
            ("", None),
            ("S", None),
            ("7", None),
            ("-1S", None),
            ("+1S", None),
            ("123456789S", None),
        ] {
            let headers: HeaderMap =
                [(http::HeaderName::from_static(HEADER), http::HeaderValue::from_str(text).unwrap())]
                    .into_iter()
                    .collect();
            assert_eq!(limit(&headers), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_late_call_is_answered_with_deadline_exceeded() {
        let stuck =
            tower::service_fn(|_: Request<()>| std::future::pending::<Result<Response<String>, ()>>());
        let request = Request::builder().header(HEADER, "5m").body(()).unwrap();
        let answer = Deadline.layer(stuck).call(request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "4");
    }

    #[tokio::test]
    async fn a_call_in_time_is_left_alone() {
        let quick =
            tower::service_fn(|_: Request<()>| async { Ok::<_, ()>(Response::new("done".to_owned())) });
        let request = Request::builder().header(HEADER, "1n").body(()).unwrap();
        let answer = Deadline.layer(quick).call(request).await.unwrap();
        assert_eq!(answer.into_body(), "done");
    }
}
