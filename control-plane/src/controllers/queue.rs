//! The work queue: what is to be looked at, each key once at a time, later where it failed.
//!
//! ```text
//!          add                take                 done
//!   idle ───────▶ ready ─────────────▶ running ────────────▶ idle
//!    │             ▲                    │  add while it runs: ready again when done
//!    └─ add_at ─▶ due ── its time came  └─ failed: due, each time after twice as long
//! ```
//!
//! Keys stand in lanes, one for each controller, that are served in turn, so that one with much to do does not keep
//! the others waiting. There is no clock here: the time is an argument.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use daemon::Backoff;

use crate::measure::{Histogram, kind};

/// After the first failure of a key, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(60));

/// From 10 ns on, each ten times as long.
const BUCKETS: [f64; 12] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0];

/// How work on a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is nothing left to do.
    Done,
    /// It is to be looked at again after a time.
    Again(Duration),
    /// It is to be tried again.
    Failed,
}

/// Keys of type `K` in lanes.
#[derive(Debug)]
pub struct Queue<K> {
    lanes: Vec<Lane<K>>,
    /// The lane that is served next.
    turn: usize,
    slots: HashMap<(usize, K), Slot>,
    due: BTreeSet<(Instant, usize, K)>,
}

#[derive(Debug)]
struct Lane<K> {
    ready: VecDeque<K>,
    adds: u64,
    retries: u64,
    waited: Histogram,
    worked: Histogram,
}

impl<K> Default for Lane<K> {
    fn default() -> Self {
        let (waited, worked) = (Histogram::new(&BUCKETS), Histogram::new(&BUCKETS));
        Self { ready: VecDeque::new(), adds: 0, retries: 0, waited, worked }
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// Since when it waits.
    ready: Option<Instant>,
    /// Since when it is worked on.
    running: Option<Instant>,
    due: Option<Instant>,
    backoff: Option<Backoff>,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// A queue of so many lanes.
    pub fn new(lanes: usize) -> Self {
        Self {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            turn: 0,
            slots: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// The key is to be looked at. True when somebody may take it now.
    pub fn add(&mut self, lane: usize, key: &K, now: Instant) -> bool {
        let slot = self.slots.entry((lane, key.clone())).or_default();
        if slot.ready.is_some() {
            return false;
        }
        slot.ready = Some(now);
        self.lanes[lane].adds += 1;
        if slot.running.is_some() {
            return false;
        }
        self.lanes[lane].ready.push_back(key.clone());
        true
    }

    /// The key is to be looked at when its time has come; of several times, the first one counts.
    pub fn add_at(&mut self, lane: usize, key: &K, at: Instant) {
        let slot = self.slots.entry((lane, key.clone())).or_default();
        if let Some(before) = slot.due {
            if before <= at {
                return;
            }
            self.due.remove(&(before, lane, key.clone()));
        }
        slot.due = Some(at);
        self.due.insert((at, lane, key.clone()));
    }

    /// Takes the next key with its lane. It is given to nobody else before it is [`done`](Self::done).
    pub fn take(&mut self, now: Instant) -> Option<(usize, K)> {
        while self.due.first().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, lane, key)) = self.due.pop_first() else { break };
            if let Some(slot) = self.slots.get_mut(&(lane, key.clone())) {
                slot.due = None;
            }
            self.add(lane, &key, now);
        }
        let lanes = self.lanes.len();
        let has_work = |lane: &usize| !self.lanes[*lane].ready.is_empty();
        let lane = (0..lanes).map(|step| (self.turn + step) % lanes).find(has_work)?;
        self.turn = (lane + 1) % lanes;
        let key = self.lanes[lane].ready.pop_front()?;
        let slot = self.slots.entry((lane, key.clone())).or_default();
        slot.running = Some(now);
        if let Some(since) = slot.ready.take() {
            self.lanes[lane].waited.observe(now.saturating_duration_since(since));
        }
        Some((lane, key))
    }

    /// Work on a key ended. True when somebody may take it again at once.
    pub fn done(&mut self, lane: usize, key: &K, verdict: Verdict, now: Instant) -> bool {
        let Some(slot) = self.slots.get_mut(&(lane, key.clone())) else { return false };
        let again = slot.ready.is_some();
        if let Some(began) = slot.running.take() {
            self.lanes[lane].worked.observe(now.saturating_duration_since(began));
        }
        let after = match verdict {
            Verdict::Done | Verdict::Again(_) => {
                slot.backoff = None;
                if let Verdict::Again(after) = verdict { Some(after) } else { None }
            }
            Verdict::Failed => {
                self.lanes[lane].retries += 1;
                let backoff = slot.backoff.get_or_insert_with(|| Backoff::new(RETRY.0, RETRY.1));
                Some(backoff.after_failure())
            }
        };
        if let Some(after) = after {
            self.add_at(lane, key, now + after);
        }
        if again {
            self.lanes[lane].ready.push_back(key.clone());
            return true;
        }
        let idle = |slot: &Slot| slot.due.is_none() && slot.backoff.is_none();
        if self.slots.get(&(lane, key.clone())).is_some_and(idle) {
            self.slots.remove(&(lane, key.clone()));
        }
        false
    }

    /// When the next key comes due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// How many keys may be taken now.
    pub fn ready(&self) -> usize {
        self.lanes.iter().map(|lane| lane.ready.len()).sum()
    }

    /// Writes what is measured, under upstream's names; `names` are those of the lanes.
    pub fn measure(&self, names: &[&str], now: Instant, text: &mut String) {
        let running = |lane: usize| {
            let slots = self.slots.iter().filter(move |((of, _), _)| *of == lane);
            slots.filter_map(|(_, slot)| slot.running).map(|began| now.saturating_duration_since(began))
        };
        let unfinished = |lane: usize| running(lane).sum::<Duration>().as_secs_f64();
        let longest = |lane: usize| running(lane).max().unwrap_or_default().as_secs_f64();
        type Figure<'f, K> = &'f dyn Fn(usize, &Lane<K>) -> f64;
        let numbers: [(&str, &str, Figure<'_, K>); 5] = [
            ("depth", "gauge", &|_, lane| lane.ready.len() as f64),
            ("adds_total", "counter", &|_, lane| lane.adds as f64),
            ("retries_total", "counter", &|_, lane| lane.retries as f64),
            ("unfinished_work_seconds", "gauge", &|at, _| unfinished(at)),
            ("longest_running_processor_seconds", "gauge", &|at, _| longest(at)),
        ];
        let lanes = || names.iter().zip(&self.lanes).enumerate();
        for (metric, is, number) in numbers {
            kind(text, &format!("workqueue_{metric}"), is);
            for (at, (name, lane)) in lanes() {
                let value = number(at, lane);
                text.push_str(&format!("workqueue_{metric}{{name=\"{name}\"}} {value}\n"));
            }
        }
        type Times<K> = fn(&Lane<K>) -> &Histogram;
        let times: [(&str, Times<K>); 2] =
            [("queue_duration_seconds", |lane| &lane.waited), ("work_duration_seconds", |lane| &lane.worked)];
        for (metric, times) in times {
            kind(text, &format!("workqueue_{metric}"), "histogram");
            for (_, (name, lane)) in lanes() {
                times(lane).write(text, &format!("workqueue_{metric}"), &format!("name=\"{name}\""));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_worked_on_once_at_a_time_and_again_when_it_was_added_meanwhile() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        assert!(queue.add(0, &"a", now));
        assert!(!queue.add(0, &"a", now));
        assert_eq!(queue.take(now), Some((0, "a")));
        assert!(!queue.add(0, &"a", now));
        assert_eq!(queue.take(now), None);
        assert!(queue.done(0, &"a", Verdict::Done, now));
        assert_eq!(queue.take(now), Some((0, "a")));
        assert!(!queue.done(0, &"a", Verdict::Done, now));
        assert_eq!((queue.take(now), queue.slots.len()), (None, 0));
    }

    #[test]
    fn a_failing_key_waits_twice_as_long_each_time_until_it_succeeds() {
        let (mut queue, mut now) = (Queue::new(1), Instant::now());
        queue.add(0, &"a", now);
        for millis in [5, 10, 20, 40] {
            queue.take(now).unwrap();
            queue.done(0, &"a", Verdict::Failed, now);
            assert_eq!(queue.take(now), None);
            assert_eq!(queue.next_due(), Some(now + Duration::from_millis(millis)));
            now += Duration::from_millis(millis);
        }
        queue.take(now).unwrap();
        queue.done(0, &"a", Verdict::Done, now);
        queue.add(0, &"a", now);
        queue.take(now).unwrap();
        queue.done(0, &"a", Verdict::Failed, now);
        assert_eq!(queue.next_due(), Some(now + Duration::from_millis(5)));
    }

    #[test]
    fn of_several_times_the_first_counts() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        let second = Duration::from_secs(1);
        queue.add_at(0, &"a", now + 3 * second);
        queue.add_at(0, &"a", now + second);
        queue.add_at(0, &"a", now + 2 * second);
        assert_eq!(queue.take(now), None);
        assert_eq!(queue.take(now + second), Some((0, "a")));
        queue.done(0, &"a", Verdict::Again(second), now + second);
        assert_eq!(queue.next_due(), Some(now + 2 * second));
    }

    #[test]
    fn what_is_waited_and_worked_is_measured() {
        let (mut queue, now) = (Queue::new(2), Instant::now());
        let second = Duration::from_secs(1);
        queue.add(1, &"a", now);
        queue.add(1, &"a", now);
        queue.add(1, &"b", now);
        queue.take(now + second).unwrap();
        let text = |queue: &Queue<&str>, after: Duration| {
            let mut text = String::new();
            queue.measure(&["x", "y"], now + after, &mut text);
            text
        };
        let said = text(&queue, 3 * second);
        for line in [
            "workqueue_depth{name=\"x\"} 0\n",
            "workqueue_depth{name=\"y\"} 1\n",
            "workqueue_adds_total{name=\"y\"} 2\n",
            "workqueue_unfinished_work_seconds{name=\"y\"} 2\n",
            "workqueue_queue_duration_seconds_sum{name=\"y\"} 1\n",
        ] {
            assert!(said.contains(line), "{line}{said}");
        }
        queue.done(1, &"a", Verdict::Failed, now + 3 * second);
        let said = text(&queue, 3 * second);
        for line in [
            "workqueue_retries_total{name=\"y\"} 1\n",
            "workqueue_unfinished_work_seconds{name=\"y\"} 0\n",
            "workqueue_work_duration_seconds_bucket{name=\"y\",le=\"1\"} 0\n",
            "workqueue_work_duration_seconds_bucket{name=\"y\",le=\"10\"} 1\n",
        ] {
            assert!(said.contains(line), "{line}{said}");
        }
        assert_eq!(said.matches("# TYPE workqueue_depth gauge").count(), 1);
    }

    #[test]
    fn lanes_are_served_in_turn() {
        let (mut queue, now) = (Queue::new(3), Instant::now());
        assert_eq!((0..3).filter(|key| queue.add(0, key, now)).count(), 3);
        queue.add(2, &9, now);
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(now)).collect();
        assert_eq!(taken, [(0, 0), (2, 9), (0, 1), (0, 2)]);
    }
}
