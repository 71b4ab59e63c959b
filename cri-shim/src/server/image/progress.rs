//! The image service of our own: pulls and imports that say how far they are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api_cri::images::images_server::Images as Service;
use api_cri::images::{Done, ImportRequest, Layer, Progress, PullRequest};
use futures_util::Stream;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Request, Response, Status};

use super::Images;
use crate::image::{self, Image, ImageError, PullOptions};

/// Often enough for a person's eye; a layer comes in many thousand pieces.
const BETWEEN_MESSAGES: Duration = Duration::from_millis(100);

type Messages = Pin<Box<dyn Stream<Item = Result<Progress, Status>> + Send>>;
type Outcome = Result<Arc<Image>, ImageError>;
type Told = Arc<Mutex<BTreeMap<String, Layer>>>;

#[tonic::async_trait]
impl Service for Images {
    type PullStream = Messages;

    async fn pull(&self, request: Request<PullRequest>) -> Result<Response<Messages>, Status> {
        let PullRequest { reference } = request.into_inner();
        let (told, store) = (Told::default(), self.store.clone());
        let options = PullOptions { progress: Some(listener(&told)), ..PullOptions::default() };
        Ok(Response::new(messages(told, async move { store.pull(&reference, options).await })))
    }

    type ImportStream = Messages;

    async fn import(&self, request: Request<ImportRequest>) -> Result<Response<Messages>, Status> {
        let ImportRequest { path, names } = request.into_inner();
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err(Status::invalid_argument(format!("path {} is not absolute", path.display())));
        }
        let (told, store) = (Told::default(), self.store.clone());
        let listener = listener(&told);
        Ok(Response::new(messages(told, async move { store.import(&path, &names, listener).await })))
    }
}

/// Keeps the latest word about each layer.
fn listener(told: &Told) -> Arc<dyn Fn(image::Progress) + Send + Sync> {
    let told = Arc::clone(told);
    Arc::new(move |progress| {
        let image::Progress { digest, read, size, complete } = progress;
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(digest.clone(), Layer { digest, read, size, complete });
    })
}

struct Sending {
    told: Told,
    /// The last message, which is not sent again unchanged.
    sent: Vec<Layer>,
    ticks: Interval,
    /// `None` after its outcome was sent.
    work: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
}

/// The work's progress, then its outcome. The work is done while messages are asked for: it ends with its client.
fn messages(told: Told, work: impl Future<Output = Outcome> + Send + 'static) -> Messages {
    let mut ticks = interval(BETWEEN_MESSAGES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sending = Sending { told, sent: Vec::new(), ticks, work: Some(Box::pin(work)) };
    Box::pin(futures_util::stream::unfold(sending, |mut sending| async {
        let message = sending.next().await?;
        Some((message, sending))
    }))
}

impl Sending {
    async fn next(&mut self) -> Option<Result<Progress, Status>> {
        loop {
            let work = self.work.as_mut()?;
            let outcome = tokio::select! {
                outcome = work => Some(outcome),
                _ = self.ticks.tick() => None,
            };
            let layers: Vec<Layer> =
                self.told.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
            match outcome {
                Some(outcome) => {
                    self.work = None;
                    return Some(outcome.map(|image| last(layers, &image)).map_err(Status::from));
                }
                None if layers != self.sent => {
                    self.sent.clone_from(&layers);
                    return Some(Ok(Progress { layers, done: None }));
                }
                None => {}
            }
        }
    }
}

fn last(layers: Vec<Layer>, image: &Image) -> Progress {
    let names = image.repo_tags().chain(image.repo_digests()).map(str::to_owned).collect();
    Progress { layers, done: Some(Done { id: image.id().to_owned(), names }) }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn progress_is_told_between_and_the_outcome_last() {
        let told = Told::default();
        let tell = listener(&told);
        let (seen, mut was_seen) = tokio::sync::mpsc::channel(1);
        let work = async move {
            for read in [10, 20] {
                tell(image::Progress { digest: "d".into(), read, size: 20, complete: read == 20 });
                was_seen.recv().await;
            }
            Err(ImageError::NotFound { reference: "x".into() })
        };
        let mut messages = messages(told, work);
        for read in [10, 20] {
            let progress = messages.next().await.unwrap().unwrap();
            assert_eq!(progress.layers[0].read, read);
            seen.send(()).await.unwrap();
        }
        assert_eq!(messages.next().await.unwrap().unwrap_err().code(), tonic::Code::NotFound);
        assert!(messages.next().await.is_none());
    }
}
