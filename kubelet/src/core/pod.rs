//! One pod.
//!
//! ```text
//!            admitted           run to its end, or past its deadline
//!   (new) ─────────────▶ Active ────────────────────────────────────▶ Ending(keep)
//!     │ refused             │                                             │ all ended
//!     ▼                     │ manifest gone                               ▼
//!  Finished ◀───────────────│──────────────────── Finishing ◀─────────────┘
//!     │ manifest gone       ▼                         │ manifest gone
//!     └─────────────▶ Ending(remove) ◀────────────────┘
//!                           │ all ended
//!                           ▼
//!                       CleaningUp ──▶ Gone
//!
//!   sandbox:  Absent ──▶ Creating ──▶ Ready ──▶ Dead ──▶ Stopping ──▶ Absent
//! ```
//! The manifest causes the edges to Ending(remove), containers and the clock the others; the runtime alone says
//! that a sandbox is ready or dead. While the sandbox is ready, init containers run one by one, then the main
//! ones are started in their order.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::container::{Container, Hook, State};
use super::event::{Effect, Event, Exit, Failure};
use super::see::unknown;
use super::spec::{PodSpec, Role};
use super::{Now, status};

/// What all pods have in common.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The longest crash-loop delay.
    pub(crate) max_restart_period: Duration,
    /// The node's addresses, for the status.
    pub(crate) host_ips: Vec<IpAddr>,
    pub(crate) max_pods: usize,
    /// The runtime can make a mount read-only with everything below it.
    pub(crate) recursive_read_only: bool,
    /// What container ids are prefixed with in the status.
    pub(crate) runtime_name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Active,
    Ending {
        /// When the grace period is over.
        deadline: Duration,
        /// Nothing stays; otherwise dead containers do, for their logs.
        remove: bool,
    },
    Finishing,
    Finished,
    CleaningUp,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    Absent,
    Creating,
    Ready,
    Dead,
    Stopping,
}

/// What is kept of a pod over a restart of the kubelet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// `status.startTime`.
    pub(crate) start_time: Option<Timestamp>,
    /// It was given up because its deadline was over.
    #[serde(default)]
    pub(crate) expired: bool,
    /// By the container's name.
    pub(crate) containers: BTreeMap<String, SavedContainer>,
}

/// See [`Saved`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedContainer {
    /// The run that the rest is about.
    pub(crate) id: String,
    pub(crate) started: bool,
    /// The readiness probe's verdict.
    pub(crate) ready: Option<bool>,
    /// The attempt number of the next run.
    pub(crate) next_attempt: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) spec: PodSpec,
    pub(crate) life: Life,
    pub(crate) sandbox: Sandbox,
    pub(crate) sandbox_id: String,
    pub(crate) sandbox_attempt: u32,
    pub(crate) sandbox_since: Duration,
    /// All sandboxes that the runtime may still have.
    pub(crate) sandboxes: Vec<String>,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) containers: Vec<Container>,
    pub(crate) start_time: Timestamp,
    /// Why the node gave the pod up: `reason`, `message`.
    pub(crate) verdict: Option<(String, String)>,
    /// Its deadline was over before it had run to its end.
    pub(crate) expired: bool,
    /// Why the sandbox cannot be made.
    pub(crate) sandbox_error: Option<String>,
    pub(crate) conditions: Vec<status::Condition>,
    pub(crate) initialized: bool,
    /// An effect of the pod as a whole is in flight.
    pub(crate) busy: bool,
    pub(crate) retry_at: Duration,
    pub(crate) calls: Backoff,
    /// Exits seen before the start that they belong to was reported.
    pub(crate) early: BTreeMap<String, Exit>,
    pub(crate) saved: Saved,
}

impl Pod {
    pub(crate) fn new(spec: PodSpec, settings: &Settings, now: Now) -> Self {
        let containers = spec.containers.iter().map(|spec| Container::new(spec.clone(), settings)).collect();
        Self {
            spec,
            life: Life::Active,
            sandbox: Sandbox::Absent,
            sandbox_id: String::new(),
            sandbox_attempt: 0,
            sandbox_since: now.mono,
            sandboxes: Vec::new(),
            ips: Vec::new(),
            containers,
            start_time: now.wall,
            verdict: None,
            expired: false,
            sandbox_error: None,
            conditions: Vec::new(),
            initialized: false,
            busy: false,
            retry_at: Duration::ZERO,
            calls: Backoff::call(),
            early: BTreeMap::new(),
            saved: Saved::default(),
        }
    }

    /// A pod that the node does not run.
    pub(crate) fn refuse(&mut self, reason: &str, message: String, now: Now) {
        self.verdict = Some((reason.into(), message));
        self.life = Life::Finished;
        status::refresh(self, now);
    }

    /// Takes an event and says what has to be done.
    pub(crate) fn apply(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut out = Vec::new();
        self.take(event, now, &mut out);
        self.drive(now, &mut out);
        status::refresh(self, now);
        let saved = self.to_save();
        if saved != self.saved && !matches!(self.life, Life::CleaningUp | Life::Gone) {
            self.saved = saved;
            out.push(Effect::Save);
        }
        out
    }

    fn take(&mut self, event: Event, now: Now, out: &mut Vec<Effect>) {
        match event {
            Event::Tick => {}
            Event::Seen(seen) => self.see(seen, now),
            Event::End => self.end(now, out),
            Event::SandboxCreated { id, attempt, ips } => {
                self.busy = false;
                (self.sandbox, self.sandbox_since) = (Sandbox::Ready, now.mono);
                (self.sandbox_attempt, self.ips) = (attempt, ips);
                self.sandboxes.push(id.clone());
                self.sandbox_id = id;
                self.sandbox_error = None;
                self.calls.reset();
            }
            Event::SandboxFailed { message } => {
                (self.sandbox, self.sandbox_error) = (Sandbox::Absent, Some(message));
                self.failed(now);
            }
            Event::SandboxStopped { id, result } => self.sandbox_stopped(&id, result, now),
            Event::ContainerStarted { index, result } => self.container_started(index, result, now, out),
            Event::PostStartDone { index, id, result } => self.post_start_done(index, &id, result, out),
            Event::ContainerStopped { index, id, result } => self.container_stopped(index, &id, result, now),
            Event::ProbeDone { index, id, kind, outcome } => {
                let grace = self.spec.grace;
                let Some(container) = self.run_of(index, &id) else { return };
                if !matches!(container.state, State::Running(_)) {
                    return;
                }
                if let Some(own) = container.probed(kind, &outcome, now.mono) {
                    let why = format!("{kind:?} probe failed").to_lowercase();
                    stop(container, index, own.unwrap_or(grace), why, out);
                }
            }
            Event::Finished { result } => match result {
                Ok(()) if self.life == Life::Finishing => {
                    (self.busy, self.life, self.sandbox) = (false, Life::Finished, Sandbox::Absent);
                }
                Ok(()) => self.busy = false,
                Err(_) => self.failed(now),
            },
            Event::CleanedUp { result } => match result {
                Ok(()) => (self.busy, self.life) = (false, Life::Gone),
                Err(_) => self.failed(now),
            },
        }
    }

    /// An effect of the whole pod failed; it is tried again later.
    fn failed(&mut self, now: Now) {
        self.busy = false;
        self.retry_at = now.mono + self.calls.after_failure();
    }

    /// The container whose current run has this id.
    fn run_of(&mut self, index: usize, id: &str) -> Option<&mut Container> {
        let container = self.containers.get_mut(index)?;
        container.current.as_ref().is_some_and(|run| run.id == id).then_some(container)
    }

    fn container_started(
        &mut self,
        index: usize,
        result: Result<super::Started, Failure>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(container) = self.containers.get_mut(index) else { return };
        let oldest = container.previous.clone();
        match result {
            Err(failure) => return container.start_failed(failure, now),
            Ok(super::Started { run, failure: Some(failure) }) => {
                container.started_in_vain(run, failure, now);
            }
            Ok(super::Started { run, failure: None }) => {
                let id = run.id.clone();
                container.runs(run, now.mono, None);
                if let Some(exit) = self.early.remove(&id) {
                    container.ended(exit, now);
                } else if container.post_start == Hook::InFlight {
                    out.push(Effect::PostStart { index, id });
                }
            }
        }
        if container.spec.role == Role::Main {
            self.initialized = true;
        }
        // The newest two are kept, for `lastState` and the logs of the run before.
        if let Some(run) = oldest.filter(|run| container.previous.as_ref() != Some(run)) {
            out.push(Effect::RemoveContainer { index, id: run.id, attempt: run.attempt });
        }
    }

    fn post_start_done(&mut self, index: usize, id: &str, result: Result<(), String>, out: &mut Vec<Effect>) {
        let grace = self.spec.grace;
        let Some(container) = self.run_of(index, id) else { return };
        if container.post_start != Hook::InFlight {
            return;
        }
        container.post_start = Hook::Done;
        if let (Err(message), State::Running(_)) = (result, container.state) {
            container.failure = Some(Failure { reason: "PostStartHookError".into(), message });
            stop(container, index, grace, "postStart hook failed".into(), out);
        }
    }

    fn container_stopped(&mut self, index: usize, id: &str, result: Result<Option<Exit>, String>, now: Now) {
        let Some(container) = self.run_of(index, id) else { return };
        let State::Stopping(since) = container.state else { return };
        match result {
            Ok(exit) => container.ended(exit.unwrap_or_else(unknown), now),
            // It still runs: whoever wanted it stopped asks again.
            Err(_) => {
                container.state = State::Running(since);
                container.retry_at = now.mono + Duration::from_secs(1);
            }
        }
    }

    fn sandbox_stopped(&mut self, id: &str, result: Result<(), String>, now: Now) {
        if self.sandbox != Sandbox::Stopping || self.sandbox_id != id {
            return;
        }
        match result {
            Ok(()) => {
                (self.busy, self.sandbox) = (false, Sandbox::Absent);
                self.sandboxes.retain(|other| other != id);
                self.sandbox_attempt += 1;
                self.initialized = false;
                for container in &mut self.containers {
                    container.start_over();
                }
            }
            Err(_) => {
                self.sandbox = Sandbox::Dead;
                self.failed(now);
            }
        }
    }

    fn drive(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.life == Life::Active {
            self.check_end(now);
        }
        match self.life {
            Life::Active => self.drive_active(now, out),
            Life::Gone | Life::Finished => {}
            _ => self.drive_end(now, out),
        }
    }

    fn drive_active(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (index, container) in self.containers.iter_mut().enumerate() {
            container.probe(index, now.mono, out);
        }
        match self.sandbox {
            Sandbox::Absent if !self.busy && self.retry_at <= now.mono => {
                (self.sandbox, self.busy) = (Sandbox::Creating, true);
                out.push(Effect::CreateSandbox { attempt: self.sandbox_attempt });
            }
            Sandbox::Ready => self.start_containers(now, out),
            Sandbox::Dead => {
                let grace = self.spec.grace;
                for (index, container) in self.containers.iter_mut().enumerate() {
                    if matches!(container.state, State::Running(_)) && container.retry_at <= now.mono {
                        stop(container, index, grace, "the sandbox has ended".into(), out);
                    }
                }
                let quiet =
                    self.containers.iter().all(|one| matches!(one.state, State::Waiting | State::Exited(_)));
                if quiet && !self.busy && self.retry_at <= now.mono {
                    (self.sandbox, self.busy) = (Sandbox::Stopping, true);
                    out.push(Effect::StopSandbox { id: self.sandbox_id.clone() });
                }
            }
            _ => {}
        }
    }

    /// Starts what may run now: init containers one by one, then the main ones in their order.
    fn start_containers(&mut self, now: Now, out: &mut Vec<Effect>) {
        for index in 0..self.containers.len() {
            let container = &self.containers[index];
            // What is starting, its postStart hook included, holds back what follows.
            let busy = container.state == State::Starting || container.post_start == Hook::InFlight;
            let may_start = match container.state {
                _ if container.hopeless() => false,
                State::Waiting => true,
                State::Exited(_) => container.restarts(),
                _ => false,
            };
            // A finished init container whose record is gone is not run again once main ones have been.
            let skip = container.spec.role == Role::Init && (container.succeeded() || self.initialized);
            if may_start && !skip && container.retry_at <= now.mono {
                let effect = Effect::StartContainer {
                    index,
                    attempt: container.next_attempt,
                    sandbox: self.sandbox_id.clone(),
                    sandbox_attempt: self.sandbox_attempt,
                    ips: self.ips.clone(),
                };
                self.containers[index].state = State::Starting;
                out.push(effect);
                return;
            }
            let passed = match container.spec.role {
                Role::Init => skip,
                Role::Sidecar => container.started() || self.initialized,
                Role::Main => true,
            };
            if busy || !passed {
                return;
            }
        }
    }

    /// All init containers have done their part.
    pub(crate) fn init_done(&self) -> bool {
        self.initialized
            || self.containers.iter().all(|container| match container.spec.role {
                Role::Init => container.succeeded(),
                Role::Sidecar => container.started(),
                Role::Main => true,
            })
    }

    /// When something is to be done although nothing happens.
    pub(crate) fn next_wake(&self, now: Now) -> Option<Duration> {
        let mut wakes = Vec::new();
        if !self.busy {
            wakes.push(self.retry_at);
        }
        for container in &self.containers {
            if self.life == Life::Active {
                wakes.extend(container.next_probe().map(|due| due.max(now.mono + Duration::from_nanos(1))));
            }
            if !matches!(container.state, State::Starting) {
                wakes.push(container.retry_at);
            }
        }
        if self.life == Life::Active {
            wakes.extend(self.deadline(now));
        }
        wakes.into_iter().filter(|wake| *wake > now.mono).min()
    }

    /// When `activeDeadlineSeconds` is over, on the monotonic clock.
    pub(crate) fn deadline(&self, now: Now) -> Option<Duration> {
        let passed = now.wall.duration_since(self.start_time);
        let passed = Duration::try_from(passed).unwrap_or_default();
        Some(now.mono + self.spec.deadline?.saturating_sub(passed))
    }

    fn to_save(&self) -> Saved {
        let containers = self.containers.iter().filter_map(|container| {
            let current = container.current.as_ref()?;
            let saved = SavedContainer {
                id: current.id.clone(),
                started: container.started(),
                ready: container.readiness(),
                next_attempt: container.next_attempt,
            };
            Some((container.spec.name.clone(), saved))
        });
        Saved { start_time: Some(self.start_time), expired: self.expired, containers: containers.collect() }
    }
}

/// Asks for a container's end.
pub(crate) fn stop(
    container: &mut Container,
    index: usize,
    grace: Duration,
    why: String,
    out: &mut Vec<Effect>,
) {
    let State::Running(since) = container.state else { return };
    let Some(id) = container.running().map(ToOwned::to_owned) else { return };
    container.state = State::Stopping(since);
    out.push(Effect::StopContainer { index, id, grace, why });
}
