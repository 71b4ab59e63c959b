//! Operations in flight: a caller that asks for the same thing again joins the one that runs.
//!
//! A kubelet's call times out while its operation goes on. Its retry must neither start a second one nor be told
//! that the name is taken; it gets what the first one comes to.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};

use crate::core::failure::Failure;

type Flight = Shared<BoxFuture<'static, Result<String, Failure>>>;

/// The operations that run, by what they are about.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<String, Flight>>>);

impl Flights {
    /// Runs `operation` as a task of its own, or joins the one that runs under the same key.
    pub(super) async fn join(
        &self,
        key: String,
        operation: impl Future<Output = Result<String, Failure>> + Send + 'static,
    ) -> Result<String, Failure> {
        let flight = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.get(&key) {
                Some(flight) => flight.clone(),
                None => {
                    let flight = self.start(key.clone(), operation);
                    flights.insert(key, flight.clone());
                    flight
                }
            }
        };
        flight.await
    }

    fn start(
        &self,
        key: String,
        operation: impl Future<Output = Result<String, Failure>> + Send + 'static,
    ) -> Flight {
        let flights = self.clone();
        let task = tokio::spawn(async move {
            // A panic of the operation is an error of this call, and its key must not stay.
            let outcome = std::panic::AssertUnwindSafe(operation).catch_unwind().await;
            flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            outcome.unwrap_or_else(|_| Err(Failure::internal(format!("{key}: panicked"))))
        });
        task.map(|joined| joined.unwrap_or_else(|error| Err(Failure::internal(error.to_string()))))
            .boxed()
            .shared()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_retry_joins_and_a_later_call_starts_anew() {
        let flights = Flights::default();
        let runs = Arc::new(AtomicU32::new(0));
        let (go, wait) = oneshot::channel::<()>();
        let first = {
            let (flights, runs) = (flights.clone(), runs.clone());
            async move {
                let operation = async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    let _ = wait.await;
                    Ok("id".to_owned())
                };
                flights.join("run a".into(), operation).await
            }
        };
        let abandoned = tokio::spawn(first);
        while runs.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        abandoned.abort();
        let retry = tokio::spawn({
            let flights = flights.clone();
            async move { flights.join("run a".into(), async { Ok("second".to_owned()) }).await }
        });
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        assert_eq!(retry.await.unwrap().unwrap(), "id");
        assert_eq!(flights.join("run a".into(), async { Ok("third".to_owned()) }).await.unwrap(), "third");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_that_call_alone() {
        let flights = Flights::default();
        let outcome = flights.join("x".into(), async { panic!("no") }).await;
        assert!(outcome.unwrap_err().message.contains("panicked"));
        assert!(flights.join("x".into(), async { Ok(String::new()) }).await.is_ok());
    }
}
