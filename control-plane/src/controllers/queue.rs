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

/// After the first failure of a key, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(60));

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
    lanes: Vec<VecDeque<K>>,
    /// The lane that is served next.
    turn: usize,
    slots: HashMap<(usize, K), Slot>,
    due: BTreeSet<(Instant, usize, K)>,
}

#[derive(Debug, Default)]
struct Slot {
    ready: bool,
    running: bool,
    due: Option<Instant>,
    backoff: Option<Backoff>,
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// A queue of so many lanes.
    pub fn new(lanes: usize) -> Self {
        Self {
            lanes: (0..lanes).map(|_| VecDeque::new()).collect(),
            turn: 0,
            slots: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// The key is to be looked at. True when somebody may take it now.
    pub fn add(&mut self, lane: usize, key: &K) -> bool {
        let slot = self.slots.entry((lane, key.clone())).or_default();
        if std::mem::replace(&mut slot.ready, true) || slot.running {
            return false;
        }
        self.lanes[lane].push_back(key.clone());
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
            self.add(lane, &key);
        }
        let lanes = self.lanes.len();
        let lane =
            (0..lanes).map(|step| (self.turn + step) % lanes).find(|lane| !self.lanes[*lane].is_empty())?;
        self.turn = (lane + 1) % lanes;
        let key = self.lanes[lane].pop_front()?;
        let slot = self.slots.entry((lane, key.clone())).or_default();
        (slot.ready, slot.running) = (false, true);
        Some((lane, key))
    }

    /// Work on a key ended. True when somebody may take it again at once.
    pub fn done(&mut self, lane: usize, key: &K, verdict: Verdict, now: Instant) -> bool {
        let Some(slot) = self.slots.get_mut(&(lane, key.clone())) else { return false };
        slot.running = false;
        let again = std::mem::take(&mut slot.ready);
        let after = match verdict {
            Verdict::Done | Verdict::Again(_) => {
                slot.backoff = None;
                if let Verdict::Again(after) = verdict { Some(after) } else { None }
            }
            Verdict::Failed => {
                let backoff = slot.backoff.get_or_insert_with(|| Backoff::new(RETRY.0, RETRY.1));
                Some(backoff.after_failure())
            }
        };
        if let Some(after) = after {
            self.add_at(lane, key, now + after);
        }
        if again {
            return self.add(lane, key);
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
        self.lanes.iter().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_worked_on_once_at_a_time_and_again_when_it_was_added_meanwhile() {
        let (mut queue, now) = (Queue::new(1), Instant::now());
        assert!(queue.add(0, &"a"));
        assert!(!queue.add(0, &"a"));
        assert_eq!(queue.take(now), Some((0, "a")));
        assert!(!queue.add(0, &"a"));
        assert_eq!(queue.take(now), None);
        assert!(queue.done(0, &"a", Verdict::Done, now));
        assert_eq!(queue.take(now), Some((0, "a")));
        assert!(!queue.done(0, &"a", Verdict::Done, now));
        assert_eq!((queue.take(now), queue.slots.len()), (None, 0));
    }

    #[test]
    fn a_failing_key_waits_twice_as_long_each_time_until_it_succeeds() {
        let (mut queue, mut now) = (Queue::new(1), Instant::now());
        queue.add(0, &"a");
        for millis in [5, 10, 20, 40] {
            queue.take(now).unwrap();
            queue.done(0, &"a", Verdict::Failed, now);
            assert_eq!(queue.take(now), None);
            assert_eq!(queue.next_due(), Some(now + Duration::from_millis(millis)));
            now += Duration::from_millis(millis);
        }
        queue.take(now).unwrap();
        queue.done(0, &"a", Verdict::Done, now);
        queue.add(0, &"a");
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
    fn lanes_are_served_in_turn() {
        let (mut queue, now) = (Queue::new(3), Instant::now());
        assert_eq!((0..3).filter(|key| queue.add(0, key)).count(), 3);
        queue.add(2, &9);
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(now)).collect();
        assert_eq!(taken, [(0, 0), (2, 9), (0, 1), (0, 2)]);
    }
}
