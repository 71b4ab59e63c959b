//! One container of a pod.
//!
//! ```text
//!            its turn                created, started
//!   Waiting ─────────▶ Starting ───────────────────────▶ Running ──▶ Stopping
//!      ▲                  │ nothing was created             │ exit     │ exit
//!      ├──────────────────┘ (delay: pull or call)           ▼          ▼
//!      │                  started in vain            ┌──── Exited ◀────┘
//!      │                  └─────────────────────────▶│
//!      └── restart policy and crash-loop delay ──────┘
//! ```
//! The pod causes the edges to Starting and Stopping, the runtime causes those to Running and Exited.

use std::time::Duration;

use super::backoff::{Backoff, RESET_AFTER};
use super::event::{Effect, Exit, Failure, ProbeKind, Run};
use super::probe::Probe;
use super::spec::{ContainerSpec, RestartPolicy, Role};
use super::{Now, pod::Settings};

/// Why a container whose image's name is none waits.
pub(crate) const INVALID_IMAGE: &str = "InvalidImageName";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Starting,
    /// Since when, on the monotonic clock.
    Running(Duration),
    Stopping(Duration),
    /// When that was noticed.
    Exited(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    None,
    InFlight,
    Done,
}

#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) spec: ContainerSpec,
    pub(crate) state: State,
    /// The newest run that the runtime knows of, and the one before.
    pub(crate) current: Option<Run>,
    pub(crate) previous: Option<Run>,
    /// Why the last start failed.
    pub(crate) failure: Option<Failure>,
    /// Since when it is failing, to tell `ErrImagePull` from `ImagePullBackOff`.
    pub(crate) failed_at: Duration,
    /// Not before this.
    pub(crate) retry_at: Duration,
    /// The attempt number of the next run.
    pub(crate) next_attempt: u32,
    pub(crate) post_start: Hook,
    /// A sandbox that came anew asks for one more run, whatever the last one's end was.
    pub(crate) rerun: bool,
    startup: Option<Probe>,
    liveness: Option<Probe>,
    readiness: Option<Probe>,
    crash: Backoff,
    pull: Backoff,
    call: Backoff,
}

impl Container {
    pub(crate) fn new(spec: ContainerSpec, settings: &Settings) -> Self {
        Self {
            spec,
            state: State::Waiting,
            current: None,
            previous: None,
            failure: None,
            failed_at: Duration::ZERO,
            retry_at: Duration::ZERO,
            next_attempt: 0,
            post_start: Hook::None,
            rerun: false,
            startup: None,
            liveness: None,
            readiness: None,
            crash: Backoff::crash(settings.max_restart_period),
            pull: Backoff::pull(),
            call: Backoff::call(),
        }
    }

    /// The id of the run that has not ended.
    pub(crate) fn running(&self) -> Option<&str> {
        match self.state {
            State::Running(_) | State::Stopping(_) => self.current.as_ref().map(|run| run.id.as_str()),
            _ => None,
        }
    }

    pub(crate) fn exit(&self) -> Option<&Exit> {
        match self.state {
            State::Exited(_) => self.current.as_ref().and_then(|run| run.exit.as_ref()),
            _ => None,
        }
    }

    /// The newest run that is not going on: what `logs --previous` shows.
    pub(crate) fn previous_run(&self) -> Option<&Run> {
        self.previous.as_ref()
    }

    /// It ended well and need not run again.
    pub(crate) fn succeeded(&self) -> bool {
        !self.rerun && self.exit().is_some_and(|exit| exit.code == 0)
    }

    /// Whether what it is doing now ends by itself and is followed by nothing.
    pub(crate) fn over(&self) -> bool {
        self.exit().is_some() && !self.restarts()
    }

    /// Whether the policy wants another run after this end.
    pub(crate) fn restarts(&self) -> bool {
        let Some(exit) = self.exit() else { return false };
        self.rerun
            || match self.spec.policy {
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure => exit.code != 0,
                RestartPolicy::Never => false,
            }
    }

    /// Running, its hook done, its startup probe satisfied.
    pub(crate) fn started(&self) -> bool {
        matches!(self.state, State::Running(_) | State::Stopping(_))
            && self.post_start != Hook::InFlight
            && self.startup.as_ref().is_none_or(|probe| probe.verdict() == Some(true))
    }

    pub(crate) fn ready(&self) -> bool {
        match self.spec.role {
            Role::Init => self.succeeded(),
            _ => self.started() && self.readiness.as_ref().is_none_or(|probe| probe.verdict() == Some(true)),
        }
    }

    /// What the last start's verdicts were, to be kept over a restart of the kubelet.
    pub(crate) fn readiness(&self) -> Option<bool> {
        self.readiness.as_ref().and_then(Probe::verdict)
    }

    /// It runs, since `since`. With `saved`: `(started, readiness)` of this run as an earlier kubelet knew them.
    pub(crate) fn runs(&mut self, run: Run, since: Duration, saved: Option<(bool, Option<bool>)>) {
        self.next_attempt = self.next_attempt.max(run.attempt + 1);
        self.retire(run);
        (self.state, self.failure, self.rerun) = (State::Running(since), None, false);
        let (started, ready) =
            saved.map_or((None, None), |(started, ready)| (started.then_some(true), ready));
        // What ran before the kubelet had its hook called by the kubelet before.
        self.post_start = match (self.spec.post_start, saved) {
            (true, None) => Hook::InFlight,
            (true, Some(_)) => Hook::Done,
            (false, _) => Hook::None,
        };
        let probe = |kind, spec: &Option<_>| spec.clone().map(|spec| Probe::new(kind, spec, since));
        self.startup = probe(ProbeKind::Startup, &self.spec.startup).map(|probe| probe.with_verdict(started));
        self.liveness = probe(ProbeKind::Liveness, &self.spec.liveness);
        self.readiness =
            probe(ProbeKind::Readiness, &self.spec.readiness).map(|probe| probe.with_verdict(ready));
        self.pull.reset();
        self.call.reset();
    }

    /// `run` becomes the current one; what was current becomes the previous one.
    fn retire(&mut self, run: Run) {
        if self.current.as_ref().is_some_and(|current| current.id != run.id) {
            self.previous = self.current.take();
        }
        self.current = Some(run);
    }

    /// The run has ended.
    pub(crate) fn ended(&mut self, mut exit: Exit, now: Now) {
        let since = match self.state {
            State::Running(since) | State::Stopping(since) => since,
            _ => now.mono,
        };
        exit.finished_at = exit.finished_at.or(Some(now.wall));
        if exit.reason.is_empty() {
            exit.reason = if exit.code == 0 { "Completed" } else { "Error" }.into();
        }
        if let Some(run) = &mut self.current {
            exit.started_at = exit.started_at.or(run.started_at);
            run.exit = Some(exit);
        }
        self.state = State::Exited(now.mono);
        self.post_start = Hook::None;
        (self.startup, self.liveness, self.readiness) = (None, None, None);
        if now.mono.saturating_sub(since) >= RESET_AFTER {
            self.crash.reset();
        }
        self.retry_at = now.mono;
        if self.restarts() {
            self.retry_at += self.crash.after_failure();
        }
    }

    /// Created but not started: an end like any other, with the reason beside it.
    pub(crate) fn started_in_vain(&mut self, mut run: Run, failure: Failure, now: Now) {
        self.next_attempt = self.next_attempt.max(run.attempt + 1);
        let exit = run.exit.take().unwrap_or_else(|| Exit {
            code: 128,
            reason: "StartError".into(),
            message: failure.message.clone(),
            ..Exit::default()
        });
        self.retire(run);
        self.ended(exit, now);
        self.failure = Some(failure);
    }

    /// Nothing was created.
    pub(crate) fn start_failed(&mut self, failure: Failure, now: Now) {
        let delay = match failure.reason.as_str() {
            "ErrImagePull" => self.pull.after_failure(),
            INVALID_IMAGE => Duration::ZERO,
            _ => self.call.after_failure(),
        };
        self.retry_at = now.mono + delay;
        self.failed_at = now.mono;
        self.failure = Some(failure);
        self.state = if self.current.is_some() { State::Exited(now.mono) } else { State::Waiting };
    }

    /// Whether no further attempt can end otherwise: its image has no name, and a changed one is another pod.
    pub(crate) fn hopeless(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.reason == INVALID_IMAGE)
    }

    /// Asks for another run although the last one's end would not: its sandbox is a new one.
    pub(crate) fn start_over(&mut self) {
        match self.spec.role {
            Role::Main if self.spec.policy != RestartPolicy::Always && self.succeeded() => {}
            _ => {
                self.rerun = self.current.is_some();
                self.retry_at = Duration::ZERO;
            }
        }
    }

    /// As before the kubelet: the delay that so many runs have earned.
    pub(crate) fn crashed_before(&mut self, times: u32) {
        self.crash.advance(times);
    }

    /// Probes that are due now.
    pub(crate) fn probe(&mut self, index: usize, now: Duration, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Running(_)) || self.post_start == Hook::InFlight {
            return;
        }
        let Some(id) = self.running().map(ToOwned::to_owned) else { return };
        let started = self.started();
        let mut ask = |probe: &mut Option<Probe>, kind| {
            if probe.as_mut().is_some_and(|probe| probe.start(now)) {
                out.push(Effect::Probe { index, id: id.clone(), kind });
            }
        };
        if started {
            ask(&mut self.liveness, ProbeKind::Liveness);
            ask(&mut self.readiness, ProbeKind::Readiness);
        } else {
            ask(&mut self.startup, ProbeKind::Startup);
        }
    }

    /// When the next probe is due.
    pub(crate) fn next_probe(&self) -> Option<Duration> {
        if !matches!(self.state, State::Running(_)) || self.post_start == Hook::InFlight {
            return None;
        }
        let due = |probe: &Option<Probe>| probe.as_ref().and_then(Probe::due);
        if self.started() {
            due(&self.liveness).into_iter().chain(due(&self.readiness)).min()
        } else {
            due(&self.startup)
        }
    }

    /// Takes an answer. `Some`: the container has to be stopped, within this grace period if the probe names one.
    pub(crate) fn probed(
        &mut self,
        kind: ProbeKind,
        outcome: &super::Outcome,
        now: Duration,
    ) -> Option<Option<Duration>> {
        let probe = match kind {
            ProbeKind::Startup => &mut self.startup,
            ProbeKind::Liveness => &mut self.liveness,
            ProbeKind::Readiness => &mut self.readiness,
        };
        let probe = probe.as_mut()?;
        let verdict = probe.finish(outcome)?;
        let grace = probe.grace();
        match (kind, verdict) {
            (ProbeKind::Startup, true) => {
                // The other probes were held back: they start now, readiness at once.
                for held in [&mut self.liveness, &mut self.readiness].into_iter().flatten() {
                    held.hold_until(now);
                }
                None
            }
            (ProbeKind::Readiness, _) | (_, true) => None,
            (_, false) => Some(grace),
        }
    }
}
