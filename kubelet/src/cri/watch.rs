//! Notices what happens in the runtime.
//!
//! The event stream is the truth while it lasts. Whatever happened while there was none is found by listing: when
//! the stream begins, when it was interrupted, and every few minutes for what no event told. A runtime without
//! events is listed every second.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use api_cri::v1::GetEventsRequest;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Client;
use super::observe::{self, Item, RuntimePod};

const LIST_EVERY: Duration = Duration::from_secs(1);
const RELIST_EVERY: Duration = Duration::from_secs(300);

/// What was noticed.
#[derive(Debug)]
pub(crate) enum Report {
    /// Everything that the runtime has, by UID, as of this time.
    All(BTreeMap<String, RuntimePod>, Duration),
    /// One pod.
    Pod(String, RuntimePod),
}

pub(crate) struct Watch {
    pub(crate) client: Client,
    /// Zero of the monotonic clock.
    pub(crate) epoch: Instant,
    pub(crate) reports: mpsc::Sender<Report>,
}

/// Nobody listens any more.
struct Closed;

impl Watch {
    /// Reports until cancelled.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            _ = self.watch() => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn watch(&self) -> Result<(), Closed> {
        let mut backoff = daemon::Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        loop {
            match self.client.runtime.clone().get_container_events(GetEventsRequest {}).await {
                Ok(stream) => {
                    // Listed after the stream stands, so that nothing falls between both.
                    if self.all().await? {
                        backoff.reset();
                    }
                    self.follow(stream.into_inner()).await?;
                    tracing::info!("the runtime's event stream ended");
                }
                Err(status) if status.code() == tonic::Code::Unimplemented => {
                    tracing::info!("the runtime sends no events: it is listed every second");
                    return self.poll().await;
                }
                Err(status) => tracing::debug!(error = status.message(), "no event stream"),
            }
            tokio::time::sleep(backoff.after_failure()).await;
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    async fn send(&self, report: Report) -> Result<(), Closed> {
        self.reports.send(report).await.map_err(|_| Closed)
    }

    /// Lists everything; `false` when the runtime does not answer.
    async fn all(&self) -> Result<bool, Closed> {
        let at = self.now();
        let Ok(listing) = observe::list(&self.client).await else { return Ok(false) };
        let pods = observe::pods(&self.client, &listing, at, |_| true).await;
        self.send(Report::All(pods, at)).await?;
        Ok(true)
    }

    async fn follow(
        &self,
        mut stream: tonic::Streaming<api_cri::v1::ContainerEventResponse>,
    ) -> Result<(), Closed> {
        let mut relist = tokio::time::interval(RELIST_EVERY);
        relist.reset();
        loop {
            tokio::select! {
                event = stream.message() => {
                    let Ok(Some(event)) = event else { return Ok(()) };
                    if let Some((uid, pod)) = observe::event(event).await {
                        self.send(Report::Pod(uid, pod)).await?;
                    }
                }
                _ = relist.tick() => { self.all().await?; }
            }
        }
    }

    /// For runtimes without events: what changes between two listings is looked at closely.
    async fn poll(&self) -> Result<(), Closed> {
        let mut known: Option<BTreeMap<String, Item>> = None;
        let mut tick = tokio::time::interval(LIST_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let at = self.now();
            let Ok(listing) = observe::list(&self.client).await else {
                // What happens meanwhile is not noticed, so all is looked at again afterwards.
                known = None;
                continue;
            };
            let Some(before) = known.replace(listing.clone()) else {
                let pods = observe::pods(&self.client, &listing, at, |_| true).await;
                self.send(Report::All(pods, at)).await?;
                continue;
            };
            let changed = changed(&before, &listing);
            if changed.is_empty() {
                continue;
            }
            let mut pods = observe::pods(&self.client, &listing, at, |uid| changed.contains(uid)).await;
            for uid in changed {
                let mut pod = pods.remove(&uid).unwrap_or_default();
                pod.seen.complete_at = pod.seen.complete_at.or(Some(at));
                self.send(Report::Pod(uid, pod)).await?;
            }
        }
    }
}

/// The UIDs of pods of which something is new, gone or in another state.
fn changed(before: &BTreeMap<String, Item>, after: &BTreeMap<String, Item>) -> BTreeSet<String> {
    let differ = |one: &BTreeMap<String, Item>, other: &BTreeMap<String, Item>| -> BTreeSet<String> {
        let items = one.iter().filter(|(id, item)| other.get(*id) != Some(item));
        items.map(|(_, item)| item.uid.clone()).collect()
    };
    differ(before, after).into_iter().chain(differ(after, before)).collect()
}
