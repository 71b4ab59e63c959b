//! All pods of the node: one per name at a time, admitted before they run.
//!
//! ```text
//!   wanted ──▶ (name is free?) ──yes──▶ admitted ──▶ Pod
//!                    │ no: the other one is ended        │ gone
//!                    ▼                                   │
//!                 waiting ◀── only the newest ───────────┘
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use super::Now;
use super::event::{Effect, Event, Seen};
use super::pod::{Life, Pod, Saved, Settings};
use super::spec::PodSpec;

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The pod that was last wanted under this name begins its life.
    Begin { uid: String, full_name: String },
    /// An effect of one pod. Effects of one pod that follow from each other come one after the other.
    Do { uid: String, effect: Effect },
    /// Nothing of the pod is left.
    Forget { uid: String },
}

/// Why a pod is not run by this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

struct Waiting {
    spec: PodSpec,
    saved: Option<Saved>,
}

pub(crate) struct Fleet {
    settings: Settings,
    pods: BTreeMap<String, Pod>,
    /// By full name.
    waiting: BTreeMap<String, Waiting>,
}

impl Fleet {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, pods: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    pub(crate) fn pod(&self, uid: &str) -> Option<&Pod> {
        self.pods.get(uid)
    }

    pub(crate) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// A pod is wanted. `seen` is what the runtime has of it already, `saved` what an earlier kubelet knew.
    pub(crate) fn want(
        &mut self,
        spec: PodSpec,
        seen: Option<&Seen>,
        saved: Option<Saved>,
        now: Now,
    ) -> Vec<Command> {
        let full_name = spec.full_name();
        if let Some(pod) = self.pods.get(&spec.uid)
            && pod.spec == spec
            && !matches!(pod.life, Life::Ending { remove: true, .. } | Life::CleaningUp | Life::Gone)
        {
            self.waiting.remove(&full_name);
            return Vec::new();
        }
        let others: Vec<String> = self
            .pods
            .values()
            .filter(|pod| pod.spec.full_name() == full_name || pod.spec.uid == spec.uid)
            .map(|pod| pod.spec.uid.clone())
            .collect();
        if others.is_empty() {
            return self.begin(spec, seen, saved, now);
        }
        self.waiting.insert(full_name, Waiting { spec, saved });
        others.iter().flat_map(|uid| self.apply(uid, Event::End, now)).collect()
    }

    /// A pod is no longer wanted.
    pub(crate) fn unwant(&mut self, uid: &str, now: Now) -> Vec<Command> {
        self.waiting.retain(|_, waiting| waiting.spec.uid != uid);
        self.apply(uid, Event::End, now)
    }

    /// A pod of the runtime that no manifest wants: it is taken over to be ended.
    pub(crate) fn orphan(&mut self, spec: PodSpec, seen: &Seen, now: Now) -> Vec<Command> {
        let uid = spec.uid.clone();
        let full_name = spec.full_name();
        let (pod, effects) = Pod::adopt(spec, &self.settings, seen, None, now);
        self.pods.insert(uid.clone(), pod);
        let mut commands = vec![Command::Begin { uid: uid.clone(), full_name }];
        commands.extend(effects.into_iter().map(|effect| Command::Do { uid: uid.clone(), effect }));
        commands.extend(self.apply(&uid, Event::End, now));
        commands
    }

    fn begin(&mut self, spec: PodSpec, seen: Option<&Seen>, saved: Option<Saved>, now: Now) -> Vec<Command> {
        let uid = spec.uid.clone();
        let mut commands = vec![Command::Begin { uid: uid.clone(), full_name: spec.full_name() }];
        let adopted = seen.is_some_and(|seen| !seen.sandboxes.is_empty());
        let refused = if adopted { None } else { self.admit(&spec).err() };
        let empty = Seen::default();
        let (mut pod, effects) = Pod::adopt(spec, &self.settings, seen.unwrap_or(&empty), saved, now);
        if let Some(Refused { reason, message }) = refused {
            pod.refuse(reason, format!("Pod was rejected: {message}"), now);
        }
        self.pods.insert(uid.clone(), pod);
        commands.extend(effects.into_iter().map(|effect| Command::Do { uid: uid.clone(), effect }));
        commands.extend(self.apply(&uid, Event::Tick, now));
        commands
    }

    fn admit(&self, spec: &PodSpec) -> Result<(), Refused> {
        if let Some(os) = spec.os.as_ref().filter(|os| *os != "linux") {
            let message = format!("the pod is for {os}, the node runs linux");
            return Err(Refused { reason: "PodOSNotSupported", message });
        }
        let active = || self.pods.values().filter(|pod| !matches!(pod.life, Life::Finished | Life::Gone));
        let used = active().count();
        if used >= self.settings.max_pods {
            let message = format!(
                "Node didn't have enough resource: pods, requested: 1, used: {used}, capacity: {}",
                self.settings.max_pods
            );
            return Err(Refused { reason: "OutOfpods", message });
        }
        for own in &spec.host_ports {
            let holder = active().find(|pod| pod.spec.host_ports.iter().any(|port| port.collides(own)));
            if let Some(holder) = holder {
                let message = format!(
                    "host port {}/{} is taken by pod {}",
                    own.port,
                    own.protocol,
                    holder.spec.full_name()
                );
                return Err(Refused { reason: "NodePorts", message });
            }
        }
        Ok(())
    }

    /// Something happened to a pod. What happens to one that is gone is of no interest.
    pub(crate) fn apply(&mut self, uid: &str, event: Event, now: Now) -> Vec<Command> {
        let Some(pod) = self.pods.get_mut(uid) else { return Vec::new() };
        let effects = pod.apply(event, now);
        let mut commands: Vec<_> =
            effects.into_iter().map(|effect| Command::Do { uid: uid.into(), effect }).collect();
        if pod.life == Life::Gone {
            let full_name = pod.spec.full_name();
            self.pods.remove(uid);
            commands.push(Command::Forget { uid: uid.into() });
            if let Some(next) = self.waiting.remove(&full_name) {
                commands.extend(self.want(next.spec, None, next.saved, now));
            }
        }
        commands
    }

    /// Every delay that is over by now.
    pub(crate) fn tick(&mut self, due: &[String], now: Now) -> Vec<Command> {
        due.iter().flat_map(|uid| self.apply(uid, Event::Tick, now)).collect()
    }

    /// When this pod wants to be asked again.
    pub(crate) fn next_wake(&self, uid: &str, now: Now) -> Option<Duration> {
        self.pods.get(uid)?.next_wake(now)
    }
}
