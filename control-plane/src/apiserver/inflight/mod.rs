//! How much is asked of the server at once, and by whom.
//!
//! Reads and writes have seats, upstream's 400 and 200; a request has one while the server works on it, until its answer
//! begins. Watches have one while they begin, and then none. Who gets a seat:
//!
//! - `system:masters` and the health endpoints always, and without one;
//! - a user at most half of the seats, so that nobody's slow requests stop everybody else's;
//! - all but nodes, the stock control plane and the accounts of `kube-system` at most three quarters together, so that
//!   the cluster works when its users do too much.
//!
//! Who gets none waits in a queue of its user's own; a seat that becomes free goes to the user who has fewest. After
//! 15 s, or where 300 requests of the user wait already, the answer is 429.
//!
//! This is a form of upstream's priority and fairness with fixed rules: FlowSchemas and
//! PriorityLevelConfigurations are there and have no say, all requests weigh the same, and seats are not lent. Users
//! are told apart exactly, where upstream has them share queues by chance.

mod pool;
mod rate;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::auth::{MASTERS, NODES, User};
use super::http::path::RequestInfo;
use pool::{Asked, Flow, Pool, Ticket};
use rate::Rates;

/// The longest wait for a seat: a quarter of what a request may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// So many watches a user may have open.
const WATCHES: usize = 5_000;
/// Parts of a stock control plane.
const PARTS: [&str; 2] = ["system:kube-controller-manager", "system:kube-scheduler"];
/// The accounts of controllers and of what else belongs to the cluster.
const SYSTEM_ACCOUNTS: &str = "system:serviceaccounts:kube-system";

/// How much may be asked. 0 stands for no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Reads at once.
    pub reads: usize,
    /// Writes at once.
    pub writes: usize,
    /// Requests of one user in a second; the cluster's own parts are not held to it.
    pub per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { reads: 400, writes: 200, per_second: 0 }
    }
}

/// Why a request is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// As many wait already as may.
    QueueFull,
    /// It waited for as long as a request may.
    TimedOut,
    /// The user asks too often, and may do so again after this.
    TooOften(Duration),
    /// The user has as many watches as they may.
    Watches,
}

impl Refused {
    /// Seconds after which it is worth trying again.
    pub fn retry_after(self) -> u64 {
        match self {
            Self::TooOften(wait) => wait.as_secs_f64().ceil().max(1.0) as u64,
            _ => 1,
        }
    }

    /// In a label of the metrics.
    const REASONS: [&'static str; 4] = ["queue-full", "time-out", "rate", "watches"];

    fn index(self) -> usize {
        match self {
            Self::QueueFull => 0,
            Self::TimedOut => 1,
            Self::TooOften(_) => 2,
            Self::Watches => 3,
        }
    }
}

/// What is in flight.
#[derive(Debug)]
pub struct Inflight {
    reads: Arc<Side>,
    writes: Arc<Side>,
    rates: Mutex<Rates>,
    watches: Arc<Mutex<HashMap<Arc<str>, usize>>>,
    refused: [AtomicU64; Refused::REASONS.len()],
    patience: Duration,
}

/// The reads or the writes.
#[derive(Debug)]
struct Side {
    state: Mutex<State>,
    /// Requests that are worked on, with a seat and without one.
    running: AtomicI64,
}

#[derive(Debug)]
struct State {
    pool: Pool,
    /// Whom to tell, and whose they are.
    waiting: HashMap<Ticket, (Flow, oneshot::Sender<Taken>)>,
}

impl Default for Side {
    fn default() -> Self {
        let state = Mutex::new(State { pool: Pool::new(0), waiting: HashMap::new() });
        Self { state, running: AtomicI64::new(0) }
    }
}

/// What is counted of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Requests that are worked on.
    pub running: i64,
    /// Requests that wait.
    pub waiting: usize,
}

impl Inflight {
    /// With these limits.
    pub fn new(limits: Limits) -> Self {
        let inflight = Self {
            reads: Arc::default(),
            writes: Arc::default(),
            rates: Mutex::default(),
            watches: Arc::default(),
            refused: Default::default(),
            patience: PATIENCE,
        };
        inflight.set(limits);
        inflight
    }

    /// These limits hold from now on. Who waits is not looked at again before the next one leaves.
    pub fn set(&self, limits: Limits) {
        self.reads.lock().pool.resize(limits.reads);
        self.writes.lock().pool.resize(limits.writes);
        locked(&self.rates).set(limits.per_second);
    }

    /// Waits until the request may be worked on, which is as long as the seat is kept.
    ///
    /// # Errors
    /// When it may not be in the time that it has.
    pub async fn enter(&self, user: &User, info: &RequestInfo) -> Result<Seat, Refused> {
        let side = if mutates(info.verb) { &self.writes } else { &self.reads };
        let entered = if is_exempt(user, info) {
            Ok(None)
        } else {
            let flow = Flow { user: user.name.as_str().into(), system: is_system(user) };
            match self.hold_to_rate(&flow) {
                Ok(()) => side.take(flow, self.patience).await.map(Some),
                Err(refused) => Err(refused),
            }
        };
        match entered {
            Ok(taken) => {
                side.running.fetch_add(1, Ordering::Relaxed);
                Ok(Seat { side: side.clone(), _taken: taken })
            }
            Err(refused) => Err(self.refused(refused)),
        }
    }

    /// Counts a watch, which is open as long as this is kept.
    ///
    /// # Errors
    /// When the user has as many as they may.
    pub fn watch(&self, user: &User) -> Result<Watching, Refused> {
        let name: Arc<str> = user.name.as_str().into();
        let mut watches = locked(&self.watches);
        let open = watches.entry(name.clone()).or_default();
        if *open >= WATCHES && !user.in_group(MASTERS) {
            drop(watches);
            return Err(self.refused(Refused::Watches));
        }
        *open += 1;
        drop(watches);
        Ok(Watching { watches: self.watches.clone(), user: name })
    }

    fn hold_to_rate(&self, flow: &Flow) -> Result<(), Refused> {
        if flow.system {
            return Ok(());
        }
        locked(&self.rates).take(&flow.user, Instant::now()).map_err(Refused::TooOften)
    }

    fn refused(&self, why: Refused) -> Refused {
        self.refused[why.index()].fetch_add(1, Ordering::Relaxed);
        why
    }

    /// Reads, and writes.
    pub fn counts(&self) -> [Counts; 2] {
        [&self.reads, &self.writes].map(|side| Counts {
            running: side.running.load(Ordering::Relaxed),
            waiting: side.lock().pool.used().1,
        })
    }

    /// How many requests were refused for each reason.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refused::REASONS.into_iter().zip(self.refused.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that reads does so by these verbs, paths that name no object among them.
fn mutates(verb: &str) -> bool {
    !matches!(verb, "get" | "list" | "watch" | "head" | "options")
}

fn is_exempt(user: &User, info: &RequestInfo) -> bool {
    let first = info.path.split('/').nth(1);
    let health = info.verb == "get" && matches!(first, Some("healthz" | "livez" | "readyz"));
    user.in_group(MASTERS) || info.target.is_none() && health
}

fn is_system(user: &User) -> bool {
    user.in_group(NODES) || user.in_group(SYSTEM_ACCOUNTS) || PARTS.contains(&user.name.as_str())
}

impl Side {
    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    async fn take(self: &Arc<Self>, flow: Flow, patience: Duration) -> Result<Taken, Refused> {
        let (place, seat) = {
            let mut state = self.lock();
            match state.pool.ask(&flow) {
                Asked::Seated => return Ok(Taken { side: self.clone(), flow }),
                Asked::Full => return Err(Refused::QueueFull),
                Asked::Waits(ticket) => {
                    let (give, seat) = oneshot::channel();
                    state.waiting.insert(ticket, (flow.clone(), give));
                    (Place { side: self.clone(), flow, ticket }, seat)
                }
            }
        };
        let waited = tokio::time::timeout(patience, seat).await;
        drop(place);
        // A seat is given or it is not; nobody but the giver drops the other end.
        waited.ok().and_then(Result::ok).ok_or(Refused::TimedOut)
    }
}

/// A place in the queue. Whoever no longer waits, because their client went away perhaps, leaves it.
struct Place {
    side: Arc<Side>,
    flow: Flow,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.side.lock();
        if state.waiting.remove(&self.ticket).is_some() {
            state.pool.give_up(&self.flow, self.ticket);
        }
    }
}

/// One of the seats. A seat that is given to somebody who has gone meanwhile is dropped with the message, and goes on to
/// the next one.
#[derive(Debug)]
struct Taken {
    side: Arc<Side>,
    flow: Flow,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let given: Vec<_> = {
            let mut state = self.side.lock();
            let tickets = state.pool.leave(&self.flow);
            tickets.into_iter().filter_map(|ticket| state.waiting.remove(&ticket)).collect()
        };
        for (flow, give) in given {
            // Without the lock: where nobody takes it any more, the seat is dropped here.
            let _ = give.send(Taken { side: self.side.clone(), flow });
        }
    }
}

/// The right to be worked on.
#[derive(Debug)]
pub struct Seat {
    side: Arc<Side>,
    /// None for those who need none.
    _taken: Option<Taken>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.side.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open watch.
#[derive(Debug)]
pub struct Watching {
    watches: Arc<Mutex<HashMap<Arc<str>, usize>>>,
    user: Arc<str>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watches = locked(&self.watches);
        if let Some(open) = watches.get_mut(&self.user) {
            *open -= 1;
            if *open == 0 {
                watches.remove(&self.user);
            }
        }
    }
}
