//! Answers, and their bodies: bytes that are there, compressed on the way out perhaps, or a stream.

use std::any::Any;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::BoxStream;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use serde_json::Value;

use super::negotiate::Encoding;
use super::yaml;
use crate::apiserver::status::Status;

/// Small parts are put together to about so many bytes before they are sent.
const FRAME: usize = 64 << 10;

/// The body of an answer.
pub struct Body {
    inner: Inner,
    /// What lasts as long as the body does.
    _held: Option<Box<dyn Any + Send>>,
}

enum Inner {
    Parts(Parts),
    Gzip(Box<Gzip>),
    Stream(BoxStream<'static, Bytes>),
}

/// Bytes in parts, which are shared with the cache.
struct Parts {
    parts: VecDeque<Bytes>,
    length: usize,
}

struct Gzip {
    parts: Parts,
    /// None once the end was written.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl From<Inner> for Body {
    fn from(inner: Inner) -> Self {
        Self { inner, _held: None }
    }
}

impl Body {
    /// The parts one after the other.
    pub fn of(parts: Vec<Bytes>) -> Self {
        let length = parts.iter().map(Bytes::len).sum();
        Inner::Parts(Parts { parts: parts.into(), length }).into()
    }

    /// What comes, as long as it comes.
    pub fn stream(stream: BoxStream<'static, Bytes>) -> Self {
        Inner::Stream(stream).into()
    }

    /// The same; what is given is kept until all of it was sent, or the client went away.
    #[must_use]
    pub fn holding(self, held: impl Send + 'static) -> Self {
        Self { inner: self.inner, _held: Some(Box::new((self._held, held))) }
    }

    /// How long it is; none for a stream.
    pub fn length(&self) -> Option<usize> {
        match &self.inner {
            Inner::Parts(parts) => Some(parts.length),
            _ => None,
        }
    }

    /// The same compressed. A stream stays as it is.
    #[must_use]
    pub fn gzip(self) -> Self {
        match self.inner {
            Inner::Parts(parts) => {
                // The fastest level: what is sent is mostly repetition.
                let encoder = Some(GzEncoder::new(Vec::new(), Compression::new(1)));
                Self { inner: Inner::Gzip(Box::new(Gzip { parts, encoder })), _held: self._held }
            }
            inner => Self { inner, _held: self._held },
        }
    }

    /// All of it at once; empty for a stream.
    fn concat(self) -> Vec<u8> {
        match self.inner {
            Inner::Parts(parts) => Vec::from(parts.parts).concat(),
            _ => Vec::new(),
        }
    }
}

impl Parts {
    /// The next bytes that are worth sending.
    fn next(&mut self) -> Option<Bytes> {
        let first = self.parts.pop_front()?;
        self.length -= first.len();
        let fits = |size: usize, next: &Bytes| size + next.len() <= FRAME;
        if self.parts.front().is_none_or(|next| !fits(first.len(), next)) {
            return Some(first);
        }
        let mut gathered = BytesMut::with_capacity(FRAME.min(first.len() + self.length));
        gathered.extend_from_slice(&first);
        while let Some(next) = self.parts.pop_front_if(|next| fits(gathered.len(), next)) {
            self.length -= next.len();
            gathered.extend_from_slice(&next);
        }
        Some(gathered.freeze())
    }
}

impl Gzip {
    fn next(&mut self) -> Option<Bytes> {
        loop {
            let encoder = self.encoder.as_mut()?;
            // Writing to memory does not fail.
            let Some(part) = self.parts.next() else {
                return self.encoder.take().and_then(|encoder| encoder.finish().ok()).map(Bytes::from);
            };
            let _ = encoder.write_all(&part);
            if encoder.get_ref().len() >= FRAME / 4 {
                return Some(std::mem::take(encoder.get_mut()).into());
            }
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.inner {
            Inner::Parts(parts) => parts.next(),
            Inner::Gzip(gzip) => gzip.next(),
            Inner::Stream(stream) => std::task::ready!(stream.as_mut().poll_next(cx)),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.inner, Inner::Parts(parts) if parts.parts.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Parts(parts) => SizeHint::with_exact(parts.length as u64),
            _ => SizeHint::default(),
        }
    }
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub code: StatusCode,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    content_type: HeaderValue,
    /// Its body.
    pub body: Body,
}

impl Answer {
    /// An object or a list, given as JSON.
    pub fn new(code: StatusCode, encoding: Encoding, json: Body) -> Self {
        let content_type = HeaderValue::from_static(encoding.content_type());
        let body = match encoding {
            Encoding::Json => json,
            Encoding::Yaml => {
                let value: Value = serde_json::from_slice(&json.concat()).unwrap_or_default();
                Body::of(vec![yaml::write(&value).into()])
            }
        };
        Self { code, headers: Vec::new(), content_type, body }
    }

    /// A document.
    pub fn json(value: &Value) -> Self {
        Self::new(StatusCode::OK, Encoding::Json, Body::of(vec![value.to_string().into()]))
    }

    /// Words for people.
    pub fn text(code: StatusCode, text: impl Into<String>) -> Self {
        let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
        Self { code, headers: Vec::new(), content_type, body: Body::of(vec![text.into().into()]) }
    }

    /// An error.
    pub fn status(status: &Status) -> Self {
        let mut answer = Self::json(&status.to_json());
        answer.code = status.code;
        if let Some(seconds) = status.details.as_ref().and_then(|details| details.retry_after) {
            answer.headers.push((RETRY_AFTER, seconds.into()));
        }
        answer
    }

    /// 429 in upstream's words, which are no object.
    pub fn too_many(retry_after: u64) -> Self {
        let words = "Too many requests, please try again later.\n";
        let mut answer = Self::text(StatusCode::TOO_MANY_REQUESTS, words);
        answer.headers.push((RETRY_AFTER, retry_after.into()));
        answer
    }

    /// With another type than the usual one.
    #[must_use]
    pub fn typed(mut self, content_type: HeaderValue) -> Self {
        self.content_type = content_type;
        self
    }

    /// As hyper sends it.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.code;
        response.headers_mut().insert(CONTENT_TYPE, self.content_type);
        response.headers_mut().extend(self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use futures_util::StreamExt as _;
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;

    use super::*;

    async fn frames(body: Body) -> Vec<Bytes> {
        let stream = http_body_util::BodyStream::new(body);
        stream.filter_map(|frame| async move { frame.ok()?.into_data().ok() }).collect().await
    }

    #[tokio::test]
    async fn small_parts_travel_together_and_large_ones_alone() {
        let large = Bytes::from(vec![b'x'; FRAME + 1]);
        let small = Bytes::from_static(b"abc");
        let body = Body::of(vec![small.clone(), small.clone(), large.clone(), small.clone()]);
        assert_eq!(body.size_hint().exact(), Some(FRAME as u64 + 10));
        let frames = frames(body).await;
        assert_eq!(frames.iter().map(Bytes::len).collect::<Vec<_>>(), [6, FRAME + 1, 3]);
        // What is large is not copied.
        assert_eq!(frames[1].as_ptr(), large.as_ptr());
    }

    #[tokio::test]
    async fn what_is_compressed_is_the_same() {
        let parts: Vec<Bytes> =
            (0..50_000).map(|n| Bytes::from(format!("{{\"name\":\"pod-{n}\"}}"))).collect();
        let plain: Vec<u8> = parts.iter().flatten().copied().collect();
        let compressed = Body::of(parts).gzip().collect().await.unwrap().to_bytes();
        assert!(compressed.len() < plain.len() / 2);
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, plain);
    }
}
