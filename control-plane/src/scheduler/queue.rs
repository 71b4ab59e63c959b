//! Pods that wait for a node.
//!
//! ```text
//!   new ──▶ active ──take──▶ no node fits ──▶ unschedulable ──something changed──▶ backoff ──▶ active
//!             ▲                                    └── five minutes without a change ──▶ ┘
//!             └── most important first, then the one that waits longest
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pod::Pod;

/// A pod that no node took waits so long at first, and twice as long each time, up to the second one.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// It is tried again after so long even if nothing changed.
const STALE: Duration = Duration::from_secs(300);

/// The order among active pods: priority, then age in the queue.
type Rank = (i64, u64);

#[derive(Debug)]
enum Place {
    Active(Rank),
    Backoff(Instant),
    /// Until something changes; when it was tried, and until when it would have to wait.
    Unschedulable(Instant, Instant),
    /// Somebody looks for a node.
    Taken,
}

#[derive(Debug)]
struct Waiting {
    pod: Arc<Pod>,
    place: Place,
    tries: u32,
}

/// The pods.
#[derive(Debug, Default)]
pub struct Queue {
    pods: HashMap<String, Waiting>,
    active: BTreeMap<Rank, String>,
    backoff: BTreeSet<(Instant, String)>,
    /// Those that are unschedulable, by when they were tried.
    stuck: BTreeSet<(Instant, String)>,
    /// Numbers pods as they become active.
    count: u64,
    /// Counts changes after which a pod may fit that did not: who is taken meanwhile is tried again.
    changes: u64,
    seen: HashMap<String, u64>,
}

/// How many pods wait for what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// For their turn.
    pub active: usize,
    /// For a while to be over.
    pub backoff: usize,
    /// For something to change.
    pub unschedulable: usize,
}

impl Queue {
    /// How many pods wait.
    pub fn counts(&self) -> Counts {
        let (active, backoff) = (self.active.len(), self.backoff.len());
        Counts { active, backoff, unschedulable: self.stuck.len() }
    }

    /// A pod came or changed.
    pub fn put(&mut self, pod: Arc<Pod>) {
        let uid = pod.uid.clone();
        let Some(waiting) = self.pods.get_mut(&uid) else {
            self.pods.insert(uid.clone(), Waiting { pod, place: Place::Taken, tries: 0 });
            return self.activate(&uid);
        };
        let asks_for_else = waiting.pod.requests != pod.requests
            || waiting.pod.tolerations != pod.tolerations
            || waiting.pod.priority != pod.priority;
        waiting.pod = pod;
        if asks_for_else && matches!(waiting.place, Place::Unschedulable(..)) {
            self.wake(&uid);
        }
    }

    /// A pod went, or has a node.
    pub fn remove(&mut self, uid: &str) {
        self.leave(uid);
        self.pods.remove(uid);
        self.seen.remove(uid);
    }

    /// Takes the pod whose turn it is.
    pub fn take(&mut self, now: Instant) -> Option<Arc<Pod>> {
        while self.backoff.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, uid)) = self.backoff.pop_first() else { break };
            self.activate(&uid);
        }
        let (_, uid) = self.active.pop_first()?;
        let waiting = self.pods.get_mut(&uid)?;
        (waiting.place, waiting.tries) = (Place::Taken, waiting.tries + 1);
        self.seen.insert(uid, self.changes);
        Some(waiting.pod.clone())
    }

    /// No node took it.
    pub fn unschedulable(&mut self, uid: &str, now: Instant) {
        let changed = self.seen.remove(uid) != Some(self.changes);
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        waiting.place = Place::Unschedulable(now, now + backoff(waiting.tries));
        self.stuck.insert((now, uid.to_owned()));
        if changed {
            self.wake(uid);
        }
    }

    /// It is to be tried again after a while, since something went wrong on the way.
    pub fn failed(&mut self, uid: &str, now: Instant) {
        self.unschedulable(uid, now);
        self.wake(uid);
    }

    /// Something changed after which pods may fit that did not.
    pub fn changed(&mut self) {
        self.changes += 1;
        let stuck = self.stuck.clone();
        stuck.iter().for_each(|(_, uid)| self.wake(uid));
    }

    /// Tries those again that wait too long. When the next one is due is returned, or when a pod's backoff is over.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        while let Some((since, uid)) = self.stuck.first().cloned().filter(|(since, _)| *since + STALE <= now)
        {
            self.stuck.remove(&(since, uid.clone()));
            self.wake(&uid);
        }
        let later = self.stuck.first().map(|(since, _)| *since + STALE);
        let backoff = self.backoff.first().map(|(until, _)| *until);
        later.into_iter().chain(backoff).min()
    }

    /// From unschedulable to backoff.
    fn wake(&mut self, uid: &str) {
        if let Some(waiting) = self.pods.get_mut(uid)
            && let Place::Unschedulable(since, until) = waiting.place
        {
            self.stuck.remove(&(since, uid.to_owned()));
            waiting.place = Place::Backoff(until);
            self.backoff.insert((until, uid.to_owned()));
        }
    }

    fn activate(&mut self, uid: &str) {
        self.count += 1;
        if let Some(waiting) = self.pods.get_mut(uid) {
            let rank = (-waiting.pod.priority, self.count);
            waiting.place = Place::Active(rank);
            self.active.insert(rank, uid.to_owned());
        }
    }

    fn leave(&mut self, uid: &str) {
        match self.pods.get(uid).map(|waiting| &waiting.place) {
            Some(Place::Active(rank)) => drop(self.active.remove(rank)),
            Some(Place::Backoff(until)) => {
                self.backoff.remove(&(*until, uid.to_owned()));
            }
            Some(Place::Unschedulable(since, _)) => {
                self.stuck.remove(&(*since, uid.to_owned()));
            }
            _ => {}
        }
    }
}

fn backoff(tries: u32) -> Duration {
    BACKOFF.0.saturating_mul(1 << tries.saturating_sub(1).min(8)).min(BACKOFF.1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, priority: i64) -> Arc<Pod> {
        Arc::new(Pod::of(&json!({"metadata": {"uid": name, "name": name}, "spec": {"priority": priority}})))
    }

    fn taken(queue: &mut Queue, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| queue.take(now)).map(|pod| pod.name.clone()).collect()
    }

    #[test]
    fn the_most_important_pod_goes_first_then_the_one_that_waits_longest() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        [("a", 0), ("b", 5), ("c", 0), ("d", 5)]
            .iter()
            .for_each(|(name, priority)| queue.put(pod(name, *priority)));
        queue.remove("c");
        assert_eq!(taken(&mut queue, now), ["b", "d", "a"]);
    }

    #[test]
    fn what_no_node_took_waits_for_a_change_and_for_its_backoff() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let second = Duration::from_secs(1);
        queue.put(pod("a", 0));
        assert_eq!(taken(&mut queue, now), ["a"]);
        queue.unschedulable("a", now);
        assert_eq!(taken(&mut queue, now + 100 * second), [""; 0], "nothing changed");
        assert_eq!(queue.due(now), Some(now + STALE));
        queue.changed();
        assert_eq!(taken(&mut queue, now), [""; 0], "it waits");
        assert_eq!(queue.due(now), Some(now + second));
        assert_eq!(taken(&mut queue, now + second), ["a"]);
        queue.unschedulable("a", now + second);
        queue.changed();
        assert_eq!(queue.due(now + second), Some(now + 3 * second), "twice as long");
    }

    #[test]
    fn a_change_while_a_node_is_looked_for_is_not_lost() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.put(pod("a", 0));
        assert_eq!(taken(&mut queue, now), ["a"]);
        queue.changed();
        queue.unschedulable("a", now);
        assert_eq!(taken(&mut queue, now + BACKOFF.0), ["a"]);
    }

    #[test]
    fn what_waits_too_long_is_tried_again() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.put(pod("a", 0));
        taken(&mut queue, now);
        queue.unschedulable("a", now);
        queue.due(now + STALE);
        assert_eq!(taken(&mut queue, now + STALE), ["a"]);
        queue.remove("a");
        assert_eq!(taken(&mut queue, now + 2 * STALE), [""; 0]);
    }
}
