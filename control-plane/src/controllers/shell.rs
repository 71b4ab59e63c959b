//! The shell: keeps the index, gives out work, and performs through the API server what controllers decide.
//!
//! ```text
//!   feed ─▶ index ─▶ wake ─▶ queue ─▶ reconcile ─▶ plan ─▶ API server
//!             ▲                                              │
//!             └── a key is done when the index has seen ◀────┘
//!                 everything that was written for it
//! ```
//!
//! Because a key is not looked at again before the index has seen what was done for it, no controller does anything
//! twice when the caches lag, and none has to remember what it expects.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use daemon::CancellationToken;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::Controller;
use super::claims;
use super::classes;
use super::events::Teller;
use super::feed;
use super::index::Index;
use super::item::PODS;
use super::plan::{Effect, Guard, Outcome, Plan, Step};
use super::queue::{Queue, Verdict};
use crate::client::{Client, Gvr, Id, PatchType, Refused};

/// Whether somebody may do something.
static REVIEWS: Gvr = Gvr::of("authorization.k8s.io", "v1", "subjectaccessreviews");
/// A write of which it is not known whether it happened is not tried again before.
const UNCLEAR: Duration = Duration::from_secs(1);
/// Somebody is told when the index does not see a write for so long.
const LATE: Duration = Duration::from_secs(30);

/// A controller and what it writes with.
pub(super) struct Registered {
    pub controller: Arc<dyn Controller>,
    pub client: Client,
    pub teller: Teller,
}

/// The state that feeds and workers share.
pub(super) struct Shell {
    /// Of the server that is worked on.
    client: Client,
    index: RwLock<Index>,
    queue: Mutex<Queue<Id>>,
    /// There may be work.
    work: Notify,
    /// The index changed.
    changed: watch::Sender<()>,
    controllers: Vec<Registered>,
}

/// Who does what was decided.
struct By<'a> {
    client: Client,
    teller: &'a Teller,
}

/// What the index must have seen.
enum Seen {
    /// Everything of a kind up to a write.
    Up(Gvr, u64),
    /// That the object with this identity is going or gone.
    Going(String),
}

impl Shell {
    pub(super) fn new(client: Client, controllers: Vec<Registered>) -> Arc<Self> {
        Arc::new(Self {
            client,
            index: RwLock::default(),
            queue: Mutex::new(Queue::new(controllers.len())),
            work: Notify::new(),
            changed: watch::Sender::new(()),
            controllers,
        })
    }

    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Id>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the index, and wakes who is concerned.
    pub(super) fn change(&self, step: feed::Step<'_>) {
        let mut keys = Vec::new();
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(change) = step(&mut index) {
                for (lane, registered) in self.controllers.iter().enumerate() {
                    registered.controller.wake(&index, &change, &mut |key| keys.push((lane, key)));
                }
            }
        }
        let added = {
            let (mut queue, now) = (self.queue(), Instant::now());
            keys.iter().fold(false, |added, (lane, key)| queue.add(*lane, key, now) || added)
        };
        if added {
            self.work.notify_one();
        }
        self.changed.send_replace(());
    }

    /// Waits until something holds of the index.
    pub(super) async fn until(&self, holds: impl Fn(&Index) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if holds(&self.index()) {
                return;
            }
            // The sender is `self`'s: it does not go away while this waits.
            let _ = changed.changed().await;
        }
    }

    /// Asks for what the controllers look at from the beginning.
    pub(super) fn start(&self) {
        let (mut queue, now) = (self.queue(), Instant::now());
        for (lane, registered) in self.controllers.iter().enumerate() {
            for key in registered.controller.start() {
                queue.add(lane, &key, now);
            }
        }
        self.work.notify_one();
    }

    /// What is measured of the work.
    pub(super) fn measure(&self) -> String {
        let names: Vec<_> = self.controllers.iter().map(|registered| registered.controller.queue()).collect();
        let mut text = String::new();
        self.queue().measure(&names, Instant::now(), &mut text);
        text
    }

    /// Works until the end.
    pub(super) async fn work(self: Arc<Self>, closing: CancellationToken) {
        loop {
            let job = tokio::select! {
                () = closing.cancelled() => return,
                job = self.next() => job,
            };
            let (lane, key) = job;
            // Requests that were begun come to their end; no further ones are made, and nobody waits for the index.
            let verdict = self.look(lane, &key, &closing).await;
            if self.queue().done(lane, &key, verdict, Instant::now()) || verdict != Verdict::Done {
                self.work.notify_one();
            }
        }
    }

    async fn next(&self) -> (usize, Id) {
        loop {
            let notified = self.work.notified();
            let (job, more, due) = {
                let mut queue = self.queue();
                (queue.take(Instant::now()), queue.ready() > 0, queue.next_due())
            };
            if let Some(job) = job {
                if more {
                    self.work.notify_one();
                }
                return job;
            }
            match due {
                Some(due) => drop(tokio::time::timeout_at(due.into(), notified).await),
                None => notified.await,
            }
        }
    }

    /// Looks at a key, and does what is to be done.
    async fn look(&self, lane: usize, key: &Id, closing: &CancellationToken) -> Verdict {
        let registered = &self.controllers[lane];
        let name = registered.controller.name();
        let decided = std::panic::catch_unwind(AssertUnwindSafe(|| {
            registered.controller.reconcile(&self.index(), key, self.client.now())
        }));
        // One object that cannot be dealt with must not keep the others waiting.
        let Ok(plan) = decided else {
            tracing::error!(controller = name, %key, "a controller panicked");
            return Verdict::Failed;
        };
        let again = plan.again;
        let client = match &plan.by {
            Some(by) => registered.client.acting_as(&by.name, &[by.group]),
            None => registered.client.clone(),
        };
        let by = By { client, teller: &registered.teller };
        let (outcome, seen) = self.perform_all(&by, plan, closing).await;
        for refused in &outcome.failures {
            if refused.is_conflict() || refused.is_not_found() {
                tracing::debug!(controller = name, %key, error = %refused, "trying again");
            } else {
                tracing::warn!(controller = name, %key, error = %refused, "trying again");
            }
        }
        if closing.run_until_cancelled(self.wait(name, key, &seen)).await.is_none() {
            return Verdict::Done;
        }
        match again {
            _ if outcome.failures.iter().any(|refused| refused.code >= 500) => Verdict::Again(UNCLEAR),
            _ if !outcome.failures.is_empty() => Verdict::Failed,
            Some(after) => Verdict::Again(after),
            None => Verdict::Done,
        }
    }

    async fn wait(&self, name: &str, key: &Id, seen: &[Seen]) {
        let holds = |index: &Index| {
            seen.iter().all(|seen| match seen {
                Seen::Up(kind, revision) => index.newest(kind) >= *revision,
                Seen::Going(uid) => index.by_uid(uid).is_none_or(|item| item.deleting),
            })
        };
        while tokio::time::timeout(LATE, self.until(holds)).await.is_err() {
            tracing::warn!(controller = name, %key, "the caches do not tell of a write");
        }
    }

    async fn perform_all(
        &self,
        by: &By<'_>,
        plan: Plan,
        closing: &CancellationToken,
    ) -> (Outcome, Vec<Seen>) {
        let (mut outcome, mut seen) = (Outcome::default(), Vec::new());
        for step in plan.steps {
            let goes_on = match step {
                Step::One(effect) => self.together(by, &[effect], &mut outcome, &mut seen).await,
                Step::Together(effects) => self.together(by, &effects, &mut outcome, &mut seen).await,
                Step::SlowStart(effects) => {
                    let (mut rest, mut size, mut goes_on) = (&effects[..], 1, true);
                    while goes_on && !rest.is_empty() && !closing.is_cancelled() {
                        let (now, later) = rest.split_at(size.min(rest.len()));
                        goes_on = self.together(by, now, &mut outcome, &mut seen).await;
                        (rest, size) = (later, size * 2);
                    }
                    goes_on
                }
            };
            if !goes_on || closing.is_cancelled() {
                break;
            }
        }
        if let Some(then) = plan.then {
            for effect in then(&outcome) {
                self.together(by, &[effect], &mut outcome, &mut seen).await;
            }
        }
        (outcome, seen)
    }

    /// Performs effects at the same time; false when one of them failed.
    async fn together(
        &self,
        by: &By<'_>,
        effects: &[Effect],
        outcome: &mut Outcome,
        seen: &mut Vec<Seen>,
    ) -> bool {
        let mut goes_on = true;
        for (effect, done) in effects.iter().zip(join_all(effects.iter().map(|e| self.perform(by, e))).await)
        {
            match done {
                Ok(answer) => note(effect, &answer, outcome, seen),
                // It goes with its namespace: there is nothing to try again.
                Err(refused) if refused.is_namespace_going() => goes_on = false,
                Err(refused) => {
                    goes_on = false;
                    outcome.failures.push(refused);
                }
            }
        }
        goes_on
    }

    /// Performs an effect; answers with the object as it is then, where there is one.
    async fn perform(&self, by: &By<'_>, effect: &Effect) -> Result<Value, Refused> {
        let client = &by.client;
        match effect {
            Effect::Create { kind, namespace, object } => {
                client.create(kind, namespace, &self.typed(kind, object)).await
            }
            Effect::Replace { id, subresource, object } => {
                client.replace(id, subresource, &self.typed(&id.kind, object)).await
            }
            Effect::Patch { id, subresource, how: how @ PatchType::Apply(_), patch } => {
                client.patch(id, subresource, *how, &self.typed(&id.kind, patch)).await
            }
            Effect::Patch { id, subresource, how, patch } => client.patch(id, subresource, *how, patch).await,
            Effect::Delete { id, uid, revision, propagation, grace } => {
                let mut options = json!({"preconditions": {"uid": uid}});
                if let Some(grace) = grace {
                    options["gracePeriodSeconds"] = (*grace).into();
                }
                if let Some(revision) = revision {
                    options["preconditions"]["resourceVersion"] = revision.to_string().into();
                }
                if let Some(propagation) = propagation {
                    options["propagationPolicy"] = (*propagation).into();
                }
                match client.delete(id, &options).await {
                    Err(refused) if refused.is_not_found() => Ok(Value::Null),
                    answer => answer,
                }
            }
            Effect::DeleteAll { kind, namespace } => client.delete_collection(kind, namespace).await,
            Effect::Tell(telling) => {
                by.teller.tell(telling.clone());
                Ok(Value::Null)
            }
            Effect::If(guards, effect) => {
                for guard in guards {
                    if !holds(client, guard).await? {
                        return Ok(Value::Null);
                    }
                }
                Box::pin(self.perform(by, effect)).await
            }
        }
    }

    /// The object with its type.
    fn typed(&self, kind: &Gvr, object: &Value) -> Value {
        let mut object = object.clone();
        if let Some(name) = self.client.kind_of(kind) {
            object["kind"] = name.into();
        }
        object["apiVersion"] = kind.api_version().into();
        object
    }
}

/// The object that is there; null where none is.
async fn found(client: &Client, id: &Id) -> Result<Value, Refused> {
    match client.get(id).await {
        Err(refused) if refused.is_not_found() => Ok(Value::Null),
        found => found,
    }
}

async fn holds(client: &Client, guard: &Guard) -> Result<bool, Refused> {
    match guard {
        Guard::Absent(id) => Ok(found(client, id).await?.is_null()),
        Guard::Allowed(reviews) => {
            for review in reviews {
                if client.create(&REVIEWS, "", review).await?["status"]["allowed"] == true {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Guard::Unclaimed(id) => {
            let pods = client.list(&PODS, &id.namespace, "").await?;
            let mut pods = pods["items"].as_array().into_iter().flatten();
            Ok(!pods.any(|pod| claims::uses(pod, &id.name)))
        }
        Guard::Unnamed(class, kind) => {
            let all = client.list(kind, "", "").await?;
            let mut all = all["items"].as_array().into_iter().flatten();
            Ok(!all.any(|object| classes::uses(object, &class.name)))
        }
        Guard::Alive(id, uid) | Guard::Gone(id, uid) => {
            let found = found(client, id).await?;
            let there = found["metadata"]["uid"] == **uid;
            Ok(match guard {
                Guard::Alive(..) => there && found["metadata"]["deletionTimestamp"].is_null(),
                _ => !there,
            })
        }
        Guard::Empty(kind, namespace) => {
            let found = client.list(kind, namespace, "limit=1").await?;
            Ok(found["items"].as_array().is_none_or(Vec::is_empty))
        }
    }
}

/// Writes down what was done, and what the index must have seen of it.
fn note(effect: &Effect, answer: &Value, outcome: &mut Outcome, seen: &mut Vec<Seen>) {
    let written = |kind: &Gvr| {
        let revision = answer["metadata"]["resourceVersion"].as_str()?.parse().ok()?;
        Some(Seen::Up(*kind, revision))
    };
    match effect {
        Effect::Create { kind, .. } => {
            let name = answer["metadata"]["name"].as_str().unwrap_or_default();
            outcome.created.push(name.to_owned());
            seen.extend(written(kind));
        }
        Effect::Replace { id, .. } | Effect::Patch { id, .. } => seen.extend(written(&id.kind)),
        Effect::Delete { id, uid, .. } => {
            outcome.deleted.push(id.name.clone());
            seen.push(Seen::Going(uid.clone()));
        }
        Effect::If(_, effect) if !answer.is_null() => note(effect, answer, outcome, seen),
        Effect::If(..) | Effect::DeleteAll { .. } | Effect::Tell(_) => {}
    }
}
