//! Performs the calls: asks `core` what to do, does it through [`effects`](crate::effects), and tells `core` what
//! came of it.
//!
//! ```text
//! server ──call──▶ operation (a task of its own) ──effects──▶ machine
//!                        │                                      │
//!                        ▼                                      ▼
//!                 State (one lock, held for moments) ◀── watch ◀── monitors' events
//! ```
//! An operation runs to its end even when its caller gives up, and a caller that tries again joins it.

mod container;
mod exec;
mod flights;
mod machine;
mod recover;
mod sandbox;
mod stats;
mod stop;
mod watch;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use api_cri::v1::{ContainerEventResponse, ContainerEventType};
use tokio::sync::{broadcast, watch as changes};

use crate::core::container::Container;
use crate::core::failure::Failure;
use crate::core::spec::Host;
use crate::core::state::State;
use crate::effects::{Effect, Performer};
use crate::rootfs::Rootfs;

pub(crate) use exec::Streams;
pub(crate) use machine::host;

/// How many events a client of GetContainerEvents may lag behind before it has to list.
const EVENTS: usize = 1024;

/// The daemon's heart: everything that calls share.
pub(crate) struct Engine {
    /// Does things.
    pub performer: Performer,
    /// The image side.
    pub rootfs: Arc<dyn Rootfs>,
    /// The machine, read once.
    pub host: Host,
    /// The cgroup of what is no pod's.
    pub cgroup_parent: String,
    /// Where network namespaces are pinned.
    pub netns_dir: PathBuf,
    state: Mutex<State>,
    /// The containers' inits, so that killing them needs no monitor.
    inits: Mutex<HashMap<String, Arc<OwnedFd>>>,
    flights: flights::Flights,
    events: broadcast::Sender<ContainerEventResponse>,
    /// Moves whenever the state of a container or a sandbox did.
    changed: changes::Sender<u64>,
}

impl Engine {
    /// An engine that knows of nothing yet.
    pub(crate) fn new(
        performer: Performer,
        host: Host,
        cgroup_parent: String,
        netns_dir: PathBuf,
    ) -> Arc<Self> {
        let rootfs = Arc::clone(&performer.rootfs);
        Arc::new(Self {
            performer,
            rootfs,
            host,
            cgroup_parent,
            netns_dir,
            state: Mutex::default(),
            inits: Mutex::default(),
            flights: flights::Flights::default(),
            events: broadcast::channel(EVENTS).0,
            changed: changes::channel(0).0,
        })
    }

    /// What is known. Held for moments only, never across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<ContainerEventResponse> {
        self.events.subscribe()
    }

    fn init(&self, container: &str) -> Option<Arc<OwnedFd>> {
        self.inits.lock().unwrap_or_else(PoisonError::into_inner).get(container).cloned()
    }

    fn set_init(&self, container: &str, pidfd: Option<OwnedFd>) {
        let mut inits = self.inits.lock().unwrap_or_else(PoisonError::into_inner);
        match pidfd {
            Some(pidfd) => inits.insert(container.to_owned(), Arc::new(pidfd)),
            None => inits.remove(container),
        };
    }

    /// Tells everybody who waits or listens.
    fn tell(&self, kind: ContainerEventType, id: &str, sandbox: &str) {
        self.changed.send_modify(|generation| *generation += 1);
        // Building an event copies the whole pod's status: only for somebody.
        if self.events.receiver_count() > 0 {
            let event = self.state().event(kind, id, sandbox, now());
            // An error means that the last listener just left.
            let _ = self.events.send(event);
        }
    }

    /// Writes down a container's record outside of an operation that has a plan.
    async fn save(&self, container: Container) {
        let saved = self.performer.begin("Save").perform(Effect::SaveContainer(Box::new(container))).await;
        if let Err(failure) = saved {
            tracing::warn!(%failure, "a container's state is not written down");
        }
    }
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// A new id.
fn new_id() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut bytes)
        .map_err(|_| Failure::internal("the kernel gives no random bytes"))?;
    Ok(crate::core::id::from_random(bytes))
}
