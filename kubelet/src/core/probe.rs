//! One probe of one run of a container.
//!
//! ```text
//!             due (initial delay, then each period)
//!   waiting ─────────────────────────────────────────▶ in flight
//!      ▲                                                  │ result
//!      │   fewer equal results in a row than asked        │
//!      ├──────────────────────────────────────────────────┤
//!      │   as many as asked: the verdict flips            │
//!      └──────────────────────────────────────────────────┤
//!                 liveness or startup failed, or startup  │
//!   over ◀────────succeeded, until the next run───────────┘
//! ```

use std::time::Duration;

use super::event::ProbeKind;
use super::spec::ProbeSpec;

/// What asking once said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// With what is shown to people.
    Failure(String),
    /// The question could not be asked; it says nothing of the container.
    Unknown(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Probe {
    kind: ProbeKind,
    spec: ProbeSpec,
    due: Duration,
    in_flight: bool,
    over: bool,
    last: Option<bool>,
    in_a_row: u32,
    verdict: Option<bool>,
}

impl Probe {
    /// For a container that runs since `since`.
    pub(crate) fn new(kind: ProbeKind, spec: ProbeSpec, since: Duration) -> Self {
        let due = since + spec.initial_delay;
        Self { kind, spec, due, in_flight: false, over: false, last: None, in_a_row: 0, verdict: None }
    }

    /// The same, with what was decided before the kubelet restarted.
    pub(crate) fn with_verdict(mut self, verdict: Option<bool>) -> Self {
        self.verdict = verdict;
        self.over = self.kind == ProbeKind::Startup && verdict == Some(true);
        self
    }

    /// What has been decided; `None` before the first decision.
    pub(crate) fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// When to ask next.
    pub(crate) fn due(&self) -> Option<Duration> {
        (!self.in_flight && !self.over).then_some(self.due)
    }

    /// Asks now, when it is due. The period is kept however long an answer takes.
    pub(crate) fn start(&mut self, now: Duration) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        self.in_flight = true;
        self.due = now + self.spec.period;
        true
    }

    /// Not before `now`: what holds this probe back (startup) is over only then.
    pub(crate) fn hold_until(&mut self, now: Duration) {
        self.due = self.due.max(now);
    }

    /// Takes an answer; `Some` when the verdict has changed.
    pub(crate) fn finish(&mut self, outcome: &Outcome) -> Option<bool> {
        self.in_flight = false;
        let good = match outcome {
            Outcome::Success => true,
            Outcome::Failure(_) => false,
            Outcome::Unknown(_) => return None,
        };
        if self.last == Some(good) {
            self.in_a_row += 1;
        } else {
            (self.last, self.in_a_row) = (Some(good), 1);
        }
        let enough = if good { self.spec.success_threshold } else { self.spec.failure_threshold };
        if self.in_a_row < enough || self.verdict == Some(good) {
            return None;
        }
        self.verdict = Some(good);
        self.over = match self.kind {
            ProbeKind::Startup => true,
            ProbeKind::Liveness => !good,
            ProbeKind::Readiness => false,
        };
        Some(good)
    }

    pub(crate) fn grace(&self) -> Option<Duration> {
        self.spec.grace
    }
}
