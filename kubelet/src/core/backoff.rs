//! Delays before something that failed is tried again.

use std::time::Duration;

/// What `crashLoopBackOff.maxContainerRestartPeriod` cannot change: a run of this length counts as a success.
pub(crate) const RESET_AFTER: Duration = Duration::from_secs(600);

/// Delays that double from `initial` to `cap`; after a crash the first one is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    initial: Duration,
    cap: Duration,
    next: Duration,
    first_at_once: bool,
}

impl Backoff {
    /// For containers that end: the first restart is immediate, then 10 s, 20 s, … A cap below 10 s lowers the
    /// first delay as well.
    pub(crate) fn crash(cap: Duration) -> Self {
        Self { initial: Duration::from_secs(10).min(cap), cap, next: Duration::ZERO, first_at_once: true }
    }

    /// For image pulls: 10 s, 20 s, … 5 min.
    pub(crate) fn pull() -> Self {
        Self::failing(Duration::from_secs(10), Duration::from_secs(300))
    }

    /// For calls to the runtime: 1 s, 2 s, … 1 min.
    pub(crate) fn call() -> Self {
        Self::failing(Duration::from_secs(1), Duration::from_secs(60))
    }

    fn failing(initial: Duration, cap: Duration) -> Self {
        Self { initial, cap, next: initial, first_at_once: false }
    }

    /// How long to wait after one more failure.
    pub(crate) fn after_failure(&mut self) -> Duration {
        let delay = self.next;
        self.next = if delay.is_zero() { self.initial } else { (delay * 2).min(self.cap) };
        delay
    }

    pub(crate) fn reset(&mut self) {
        self.next = if self.first_at_once { Duration::ZERO } else { self.initial };
    }

    /// As after so many failures; used for what was there before the kubelet.
    pub(crate) fn advance(&mut self, failures: u32) {
        // The delays reach their cap long before the 32nd doubling.
        for _ in 0..failures.min(32) {
            self.after_failure();
        }
    }
}
