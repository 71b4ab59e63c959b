//! Exponential backoff without a clock: the caller says when to reset.

use std::time::Duration;

/// Delays that double from `initial` up to `cap`.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// The first delay is `initial`, or `cap` when that is shorter.
    pub fn new(initial: Duration, cap: Duration) -> Self {
        let initial = initial.min(cap);
        Self { initial, cap, next: initial }
    }

    /// How long to wait after one more failure.
    pub fn after_failure(&mut self) -> Duration {
        let delay = self.next;
        self.next = delay.saturating_mul(2).min(self.cap);
        delay
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.next = self.initial;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_start_over_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(35));
        let delays: Vec<_> = (0..4).map(|_| backoff.after_failure().as_secs()).collect();
        assert_eq!(delays, [10, 20, 35, 35]);
        backoff.reset();
        assert_eq!(backoff.after_failure().as_secs(), 10);
    }

    #[test]
    fn a_cap_below_the_initial_delay_lowers_it() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(1));
        assert_eq!(backoff.after_failure().as_secs(), 1);
    }
}
