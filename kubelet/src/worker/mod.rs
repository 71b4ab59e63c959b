//! The shell around [`core`](crate::core): one task owns the fleet, takes events, and has effects performed.
//!
//! Manifests, the runtime's reports, answers of effects and delays all come in here; whatever follows from them is
//! decided synchronously. Effects run concurrently, each in a task whose panic is an error of that effect.
//!
//! ```text
//!            the runtime shows          the source has told          what is on the machine for
//!            all its pods               every manifest               nobody's pods is removed
//!   early ───────────────────▶ found ──────────────────────▶ synced ───────────────────────────▶ ready
//!   (manifests are kept)       (each takes its pod           (pods without one are ended)
//!                               of those found)
//! ```
//! The machines of the pods themselves are drawn in [`core`](crate::core).

mod hooks;
mod links;
mod machine;
mod perform;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use api_k8s::v1;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::core::{Command, Effect, Event, Failure, Fleet, Now, Outcome, PodSpec, Saved, Seen, Settings};
use crate::cri::Report;
use crate::cri::observe::RuntimePod;
use crate::source::{Refusals, SourceEvent};
use crate::store::Store;
use crate::translate::pod_uid;

pub(crate) use machine::Machine;
use perform::Subject;
pub(crate) use perform::{Performer, log_dir};

/// What the kubelet waits for before it is ready.
pub(crate) const RUNTIME: &str = "runtime";
const MANIFESTS: &str = "manifests";

/// What others see of the pods: read by the server, written by the worker after every event.
pub(crate) type View = Arc<RwLock<Arc<BTreeMap<String, Shown>>>>;

/// All that others see of what the worker knows. Clones share one state.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) view: View,
    pub(crate) refusals: Refusals,
    pub(crate) ready: daemon::Readiness,
}

/// One pod for the server.
#[derive(Clone)]
pub(crate) struct Shown {
    /// As it was wanted.
    pub(crate) manifest: Arc<v1::Pod>,
    /// Its machine, from which the status is made when somebody asks.
    pub(crate) pod: Arc<crate::core::Pod>,
}

pub(crate) struct Worker {
    fleet: Fleet,
    performer: Performer,
    store: Store,
    saved: BTreeMap<String, Saved>,
    epoch: Instant,
    told: Told,
    manifests: HashMap<String, Arc<v1::Pod>>,
    /// By full name: wanted, but not begun.
    offered: HashMap<String, Arc<v1::Pod>>,
    /// Where the logs of pods without a manifest lie.
    orphans: HashMap<String, PathBuf>,
    pulls: HashMap<String, CancellationToken>,
    effects: JoinSet<(String, Option<Event>)>,
    /// What the runtime had when it was first asked; taken by the pods that are begun or ended from it.
    found: Option<BTreeMap<String, RuntimePod>>,
    /// Source events that came before that.
    early: Vec<SourceEvent>,
    synced: bool,
    swept: bool,
    wakes: BTreeSet<(Duration, String)>,
    wake_of: HashMap<String, Duration>,
    /// Fewer at a time than the runtime can bear is slower, more is no faster.
    slots: Arc<tokio::sync::Semaphore>,
}

impl Worker {
    pub(crate) fn new(
        settings: Settings,
        performer: Performer,
        store: Store,
        saved: BTreeMap<String, Saved>,
        epoch: Instant,
        told: Told,
    ) -> Self {
        told.ready.waits_for(RUNTIME, "has not yet shown its pods");
        told.ready.waits_for(MANIFESTS, "are not yet read");
        Self {
            fleet: Fleet::new(settings),
            performer,
            store,
            saved,
            epoch,
            told,
            manifests: HashMap::new(),
            offered: HashMap::new(),
            orphans: HashMap::new(),
            pulls: HashMap::new(),
            effects: JoinSet::new(),
            found: None,
            early: Vec::new(),
            synced: false,
            swept: false,
            wakes: BTreeSet::new(),
            wake_of: HashMap::new(),
            slots: Arc::new(tokio::sync::Semaphore::new(64)),
        }
    }

    fn now(&self) -> Now {
        Now { mono: self.epoch.elapsed(), wall: Timestamp::now() }
    }

    /// Works until cancelled. Effects in flight are dropped then: the runtime's state tells the next kubelet.
    pub(crate) async fn run(
        mut self,
        mut source: mpsc::Receiver<SourceEvent>,
        mut reports: mpsc::Receiver<Report>,
        shutdown: CancellationToken,
    ) {
        loop {
            let wake = self.wakes.first().map(|(at, _)| self.epoch + *at);
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(event) = source.recv() => self.source(event),
                report = reports.recv() => match report {
                    Some(report) => self.report(report),
                    // Without eyes on the runtime nothing sensible can be decided.
                    None => return,
                },
                Some(done) = self.effects.join_next() => match done {
                    Ok((uid, Some(event))) => self.event(&uid, event),
                    Ok((_, None)) => {}
                    Err(error) => tracing::error!(%error, "an effect's task"),
                },
                () = sleep => self.tick(),
            }
            if self.synced && !self.swept {
                self.sweep().await;
            }
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        let due: Vec<String> =
            self.wakes.iter().take_while(|(at, _)| *at <= now.mono).map(|(_, uid)| uid.clone()).collect();
        let commands = self.fleet.tick(&due, now);
        self.obey(commands);
        for uid in due {
            self.touched(&uid);
        }
    }

    fn event(&mut self, uid: &str, event: Event) {
        let commands = self.fleet.apply(uid, event, self.now());
        self.obey(commands);
        self.touched(uid);
    }

    fn source(&mut self, event: SourceEvent) {
        self.told.refusals.note(&event, Timestamp::now());
        if let SourceEvent::Bad { file, error, .. } = &event {
            tracing::error!(file = %file.display(), error = error.to_string(), "manifest refused");
        }
        // What the runtime has decides what becomes of a pod.
        if self.found.is_none() && !self.synced { self.early.push(event) } else { self.act(event) }
    }

    fn act(&mut self, event: SourceEvent) {
        let now = self.now();
        match event {
            SourceEvent::Set { file, pod } => {
                let spec = PodSpec::of(&pod);
                tracing::info!(pod = spec.full_name(), uid = spec.uid, file = %file.display(), "wanted");
                let seen = self.found.as_mut().and_then(|found| found.remove(&spec.uid));
                let saved = self.saved.remove(&spec.uid);
                self.offered.insert(spec.full_name(), Arc::new(*pod));
                let uid = spec.uid.clone();
                let commands = self.fleet.want(spec, seen.as_ref().map(|pod| &pod.seen), saved, now);
                self.obey(commands);
                self.touched(&uid);
            }
            SourceEvent::Gone { uid } => {
                tracing::info!(uid, "no longer wanted");
                let commands = self.fleet.unwant(&uid, now);
                self.obey(commands);
                self.touched(&uid);
            }
            SourceEvent::Bad { .. } | SourceEvent::Dropped { .. } => {}
            SourceEvent::Synced => self.end_orphans(now),
        }
    }

    /// Every manifest has been told: what the runtime has beyond them is nobody's.
    fn end_orphans(&mut self, now: Now) {
        self.synced = true;
        for (uid, found) in self.found.take().unwrap_or_default() {
            tracing::info!(uid, pod = found.name, "no manifest wants this pod any more");
            let logs = self.performer.node.log_dir(&found.namespace, &found.name, &uid);
            self.orphans.insert(uid.clone(), logs);
            let spec = PodSpec::orphan(&uid, &found.namespace, &found.name, found.grace, &found.seen);
            let commands = self.fleet.orphan(spec, &found.seen, now);
            self.obey(commands);
            self.touched(&uid);
        }
        for uid in std::mem::take(&mut self.saved).into_keys() {
            if let Err(error) = self.store.forget(&uid) {
                tracing::warn!(uid, %error, "forgetting a pod");
            }
        }
    }

    /// Removes what is on the machine for pods that neither a manifest nor the runtime knows. Nothing else happens
    /// meanwhile: a pod with the same UID could be wanted.
    async fn sweep(&mut self) {
        self.swept = true;
        let known = self.fleet.pods().map(|pod| pod.spec.uid.clone()).collect();
        if let Err(error) = self.performer.machine.on(move |machine| machine.sweep(&known)).await {
            tracing::warn!(error, "removing what is left of pods");
        }
        self.told.ready.has(MANIFESTS);
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Pod(uid, pod) => {
                if self.fleet.pod(&uid).is_some() {
                    self.event(&uid, Event::Seen(pod.seen));
                } else if let Some(found) = &mut self.found {
                    found.insert(uid, pod);
                }
            }
            Report::All(mut pods, at) => {
                if self.found.is_none() && !self.synced {
                    self.found = Some(pods);
                    self.told.ready.has(RUNTIME);
                    for event in std::mem::take(&mut self.early) {
                        self.act(event);
                    }
                    return;
                }
                let known: Vec<String> = self.fleet.pods().map(|pod| pod.spec.uid.clone()).collect();
                for uid in known {
                    let nothing = || Seen { complete_at: Some(at), ..Seen::default() };
                    let seen = pods.remove(&uid).map_or_else(nothing, |pod| pod.seen);
                    self.event(&uid, Event::Seen(seen));
                }
            }
        }
    }

    fn obey(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Begin { uid, full_name } => {
                    if let Some(pod) = self.offered.remove(&full_name).filter(|pod| pod_uid(pod) == uid) {
                        if let Err(error) = self.performer.machine.cgroups.count(&pod) {
                            tracing::warn!(uid, %error, "the share of the pod's class");
                        }
                        self.manifests.insert(uid.clone(), pod);
                    }
                    self.pulls.insert(uid, CancellationToken::new());
                }
                Command::Forget { uid } => {
                    self.manifests.remove(&uid);
                    self.orphans.remove(&uid);
                    self.pulls.remove(&uid);
                    if let Err(error) = self.performer.machine.cgroups.discount(&uid) {
                        tracing::warn!(uid, %error, "the share of the pod's class");
                    }
                    if let Err(error) = self.store.forget(&uid) {
                        tracing::warn!(uid, %error, "forgetting a pod");
                    }
                    tracing::info!(uid, "gone");
                    self.touched(&uid);
                }
                Command::Do { uid, effect } => self.perform(uid, effect),
            }
        }
    }

    fn perform(&mut self, uid: String, effect: Effect) {
        match &effect {
            Effect::CancelPulls => {
                if let Some(pulls) = self.pulls.get(&uid) {
                    pulls.cancel();
                }
                return;
            }
            Effect::Save => {
                let saved = self.fleet.pod(&uid).map(|pod| self.store.save(&uid, &pod.saved));
                if let Some(Err(error)) = saved {
                    tracing::warn!(uid, %error, "remembering a pod");
                }
                return;
            }
            _ => {}
        }
        let Some(subject) = self.subject(&uid) else { return };
        let performer = self.performer.clone();
        let slots = Arc::clone(&self.slots);
        self.effects.spawn(async move {
            let sorry = failed(&effect);
            let task = tokio::spawn(async move {
                let _slot = match effect {
                    // What may take as long as it likes must not hold back others.
                    Effect::StopContainer { .. }
                    | Effect::PostStart { .. }
                    | Effect::StartContainer { .. } => None,
                    _ => slots.acquire().await.ok(),
                };
                performer.perform(subject, effect).await
            });
            match tokio_util::task::AbortOnDropHandle::new(task).await {
                Ok(event) => (uid, event),
                Err(error) => {
                    tracing::error!(uid, %error, "an effect panicked");
                    (uid, sorry(error.to_string()))
                }
            }
        });
    }

    fn subject(&self, uid: &str) -> Option<Subject> {
        let node = &self.performer.node;
        let manifest = self.manifests.get(uid).cloned();
        let log_dir = match &manifest {
            Some(pod) => log_dir(node, pod),
            None => self.orphans.get(uid)?.clone(),
        };
        let on_host = manifest.as_ref().and_then(|pod| pod.spec.as_ref()?.host_network) == Some(true);
        let ips = self.fleet.pod(uid).map(|pod| pod.ips.clone()).unwrap_or_default();
        let ip = if on_host { node.ips.first().copied() } else { ips.first().copied() };
        let pulls = self.pulls.get(uid)?.clone();
        Some(Subject { uid: uid.into(), manifest, ip, log_dir, pulls })
    }

    /// After something happened to a pod: when to look at it again, and what others see of it.
    fn touched(&mut self, uid: &str) {
        let next = self.fleet.next_wake(uid, self.now());
        if let Some(old) = self.wake_of.remove(uid) {
            self.wakes.remove(&(old, uid.to_owned()));
        }
        if let Some(next) = next {
            self.wakes.insert((next, uid.to_owned()));
            self.wake_of.insert(uid.into(), next);
        }
        let shown = self.fleet.pod(uid).and_then(|pod| {
            let manifest = Arc::clone(self.manifests.get(uid)?);
            Some(Shown { manifest, pod: Arc::new(pod.clone()) })
        });
        let mut view = self.told.view.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let all = Arc::make_mut(&mut view);
        match shown {
            Some(shown) => drop(all.insert(uid.into(), shown)),
            None => drop(all.remove(uid)),
        }
    }
}

/// The event that tells of an effect whose task died.
fn failed(effect: &Effect) -> Box<dyn FnOnce(String) -> Option<Event> + Send> {
    match effect.clone() {
        Effect::CreateSandbox { .. } => Box::new(|message| Some(Event::SandboxFailed { message })),
        Effect::StopSandbox { id } => {
            Box::new(|message| Some(Event::SandboxStopped { id, result: Err(message) }))
        }
        Effect::StartContainer { index, .. } => Box::new(move |message| {
            let failure = Failure { reason: "CreateContainerError".into(), message };
            Some(Event::ContainerStarted { index, result: Err(failure) })
        }),
        Effect::PostStart { index, id } => {
            Box::new(move |message| Some(Event::PostStartDone { index, id, result: Err(message) }))
        }
        Effect::StopContainer { index, id, .. } => {
            Box::new(move |message| Some(Event::ContainerStopped { index, id, result: Err(message) }))
        }
        Effect::Probe { index, id, kind } => Box::new(move |message| {
            Some(Event::ProbeDone { index, id, kind, outcome: Outcome::Unknown(message) })
        }),
        Effect::Finish { .. } => Box::new(|message| Some(Event::Finished { result: Err(message) })),
        Effect::CleanUp { .. } => Box::new(|message| Some(Event::CleanedUp { result: Err(message) })),
        Effect::RemoveContainer { .. } | Effect::CancelPulls | Effect::Save => Box::new(|_| None),
    }
}
