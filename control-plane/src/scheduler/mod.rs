//! The scheduler: gives pods their nodes.
//!
//! One task owns the state, [`core::Scheduler`]; what the watch caches tell and how requests ended are its events, and
//! what it decides is written by requests that run beside it.

pub mod affinity;
pub mod core;
mod metrics;
pub mod node;
pub mod pod;
pub mod queue;
pub mod resources;
pub mod taints;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use api_objects::time;
use daemon::CancellationToken;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use self::core::{Decision, Event, Scheduler};
use self::metrics::{End, Metrics};
use self::node::Facts;
use self::pod::Pod;
use crate::apiserver::cache;
use crate::apiserver::server::Server;
use crate::client::{Client, Id, PatchType};
use crate::controllers::events::{Recorder, Teller};
use crate::controllers::item::PODS;
use crate::controllers::plan::Telling;
use crate::controllers::{Ended, Term};

/// Who owns the fields that it writes.
const AGENT: &str = "kube-scheduler";
/// So many requests run at the same time.
const REQUESTS: usize = 64;

/// Runs the scheduler on a server whose caches are fed, for this term.
///
/// # Errors
/// When one of its tasks ended before that.
pub async fn run(server: Arc<Server>, term: impl Into<Term>) -> Result<(), Ended> {
    let Term { closing, fence } = term.into();
    let client = Client::new(server.clone(), "system:kube-scheduler", &[], AGENT).fenced(fence);
    let recorder = Recorder::default();
    let teller = recorder.teller(client.clone(), pod::NAME);
    let (to, from) = unbounded_channel();
    let mut tasks = JoinSet::new();
    follow(&server, "pods", &to, &closing, &mut tasks)?;
    follow(&server, "nodes", &to, &closing, &mut tasks)?;
    let token = closing.clone();
    tasks.spawn(async move { token.run_until_cancelled(recorder.run()).await.unwrap_or_default() });
    let metrics = Arc::new(Metrics::default());
    let told = metrics.clone();
    server.metrics.put("scheduler", Box::new(move || told.text()));
    tasks
        .spawn(Shell { client, teller, metrics, to, from, state: Scheduler::default() }.run(closing.clone()));
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(()) if closing.is_cancelled() => {}
            Ok(()) => return Err(Ended::early("the scheduler")),
            Err(error) => return Err(Ended::failed("the scheduler", &error)),
        }
    }
    Ok(())
}

/// Tells of the objects of a kind.
fn follow(
    server: &Arc<Server>,
    resource: &str,
    to: &UnboundedSender<Event>,
    closing: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<(), Ended> {
    let found = server.kinds.core(resource).map_err(|error| Ended::failed("the scheduler", &error))?;
    let (caches, to, closing) = (server.caches.clone(), to.clone(), closing.clone());
    let pods = resource == "pods";
    let following = cache::follow(caches, found.kind.clone(), move |change| {
        // Nobody takes it only where the scheduler is over.
        let _ = to.send(event(pods, change));
    });
    tasks.spawn(async move { closing.run_until_cancelled(following).await.unwrap_or_default() });
    Ok(())
}

fn event(pods: bool, change: cache::Change<'_>) -> Event {
    match (pods, change) {
        (true, cache::Change::Put(object)) => Event::Pod(Arc::new(Pod::of(&object.value()))),
        (true, cache::Change::Gone(object)) => Event::PodGone(Pod::of(&object.value()).uid),
        (true, cache::Change::Complete(_)) => Event::PodsListed,
        (false, cache::Change::Put(object)) => Event::Node(Facts::of(&object.value())),
        (false, cache::Change::Gone(object)) => Event::NodeGone(Facts::of(&object.value()).name),
        (false, cache::Change::Complete(_)) => Event::NodesListed,
    }
}

/// Owns the state.
struct Shell {
    client: Client,
    teller: Teller,
    metrics: Arc<Metrics>,
    to: UnboundedSender<Event>,
    from: UnboundedReceiver<Event>,
    state: Scheduler,
}

impl Shell {
    async fn run(mut self, closing: CancellationToken) {
        let mut requests = JoinSet::new();
        loop {
            while let Ok(event) = self.from.try_recv() {
                self.state.apply(event, Instant::now());
            }
            while requests.len() < REQUESTS {
                let began = Instant::now();
                let Some(decision) = self.state.next(began, chance()) else { break };
                let (client, teller, to) = (self.client.clone(), self.teller.clone(), self.to.clone());
                let metrics = self.metrics.clone();
                requests.spawn(async move {
                    let end = carry_out(client, teller, to, decision).await;
                    metrics.tried(end, began.elapsed());
                });
            }
            self.metrics.pending(self.state.waiting());
            let due = self.state.due(Instant::now());
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = closing.cancelled() => break,
                event = self.from.recv() => if let Some(event) = event {
                    self.state.apply(event, Instant::now());
                },
                Some(ended) = requests.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "a request of the scheduler's panicked");
                },
                () = due, if requests.len() < REQUESTS => {}
            }
        }
        // What was begun comes to its end.
        while requests.join_next().await.is_some() {}
    }
}

/// Among equals anyone will do.
fn chance() -> usize {
    let mut bytes = [0; 2];
    // Without chance it is always the first one, which is worse and not wrong.
    let _ = SystemRandom::new().fill(&mut bytes);
    u16::from_be_bytes(bytes).into()
}

/// Writes what was decided, and tells how it ended.
async fn carry_out(client: Client, teller: Teller, to: UnboundedSender<Event>, decision: Decision) -> End {
    let tell = |pod: &Pod, warning, reason, message| {
        teller.tell(Telling { about: pod.reference(), warning, reason, message });
    };
    match decision {
        Decision::Bind(pod, node) => {
            let id = Id::new(&PODS, &pod.namespace, &pod.name);
            let metadata = json!({"name": pod.name, "namespace": pod.namespace, "uid": pod.uid});
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": metadata,
                "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
            let (event, end) = match client.post(&id, "binding", &binding).await {
                Ok(_) => {
                    let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                    tell(&pod, false, "Scheduled", message);
                    (Event::Bound(pod.uid.clone()), End::Scheduled)
                }
                Err(error) => {
                    tracing::debug!(%error, pod = %id, node, "binding");
                    // A pod that is gone is told of by the cache.
                    if !error.is_not_found() && !error.is_conflict() {
                        tell(&pod, true, "FailedScheduling", format!("binding rejected: {error}"));
                    }
                    (Event::NotBound(pod.uid.clone()), End::Error)
                }
            };
            let _ = to.send(event);
            end
        }
        Decision::Unschedulable(pod, why) => {
            tell(&pod, true, "FailedScheduling", why.clone());
            if pod.told != why {
                say(&client, &pod, &why).await;
            }
            End::Unschedulable
        }
    }
}

/// Writes down why a pod is not placed.
async fn say(client: &Client, pod: &Pod, why: &str) {
    let id = Id::new(&PODS, &pod.namespace, &pod.name);
    let now = time::format(client.now());
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why,
        "lastProbeTime": null, "lastTransitionTime": now});
    let patch = json!({"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}});
    match client.patch(&id, "status", PatchType::Strategic, &patch).await {
        Err(error) if !error.is_not_found() && !error.is_conflict() => {
            tracing::warn!(%error, pod = %id, "saying why it is not placed");
        }
        _ => {}
    }
}
