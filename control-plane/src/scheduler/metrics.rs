//! What is measured of the scheduler, under upstream's names.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::pod::NAME;
use super::queue::Counts;
use crate::measure::{Histogram, kind};

/// From 1 ms on, each twice as long.
const BUCKETS: [f64; 15] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
];

/// How a try to place a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It has its node.
    Scheduled,
    /// No node takes it.
    Unschedulable,
    /// It was not taken down.
    Error,
}

const ENDS: [(End, &str); 3] =
    [(End::Scheduled, "scheduled"), (End::Unschedulable, "unschedulable"), (End::Error, "error")];

/// The figures.
#[derive(Debug)]
pub(super) struct Metrics(Mutex<Figures>);

#[derive(Debug)]
struct Figures {
    /// In the order of `ENDS`.
    tries: [(u64, Histogram); 3],
    pending: Counts,
}

impl Default for Metrics {
    fn default() -> Self {
        let tries = ENDS.map(|_| (0, Histogram::new(&BUCKETS)));
        Self(Mutex::new(Figures { tries, pending: Counts::default() }))
    }
}

impl Metrics {
    /// A try took so long and ended so.
    pub(super) fn tried(&self, end: End, took: Duration) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((known, _), (number, times)) in ENDS.iter().zip(&mut figures.tries) {
            if *known == end {
                *number += 1;
                times.observe(took);
            }
        }
    }

    /// So many pods wait now.
    pub(super) fn pending(&self, counts: Counts) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pending = counts;
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        let figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let label = |result: &str| format!("profile=\"{NAME}\",result=\"{result}\"");
        kind(&mut text, "scheduler_schedule_attempts_total", "counter");
        for ((_, result), (number, _)) in ENDS.iter().zip(&figures.tries) {
            text.push_str(&format!("scheduler_schedule_attempts_total{{{}}} {number}\n", label(result)));
        }
        let name = "scheduler_scheduling_attempt_duration_seconds";
        kind(&mut text, name, "histogram");
        for ((_, result), (_, times)) in ENDS.iter().zip(&figures.tries) {
            times.write(&mut text, name, &label(result));
        }
        kind(&mut text, "scheduler_pending_pods", "gauge");
        let Counts { active, backoff, unschedulable } = figures.pending;
        for (queue, count) in [("active", active), ("backoff", backoff), ("unschedulable", unschedulable)] {
            text.push_str(&format!("scheduler_pending_pods{{queue=\"{queue}\"}} {count}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_counted_by_how_they_ended() {
        let metrics = Metrics::default();
        metrics.tried(End::Scheduled, Duration::from_millis(3));
        metrics.tried(End::Unschedulable, Duration::from_millis(1));
        metrics.pending(Counts { active: 1, backoff: 2, unschedulable: 3 });
        let text = metrics.text();
        for line in [
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 1\n",
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"error\"} 0\n",
            "duration_seconds_bucket{profile=\"default-scheduler\",result=\"scheduled\",le=\"0.002\"} 0\n",
            "duration_seconds_bucket{profile=\"default-scheduler\",result=\"scheduled\",le=\"0.004\"} 1\n",
            "scheduler_pending_pods{queue=\"unschedulable\"} 3\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
