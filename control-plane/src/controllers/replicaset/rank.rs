//! Which pods go first when there are too many.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::REPLICA_SETS;
use crate::controllers::index::Index;
use crate::controllers::item::{Item, PODS};
use crate::controllers::pods::PodFacts;

/// The pods of which the least is lost: without a node, then not begun, then not ready, then cheap, then those that
/// share a node with many of their kind, then the younger and the often restarted ones.
pub(super) fn least_useful(
    index: &Index,
    set: &Item,
    pods: &[Arc<Item>],
    count: usize,
    now: Timestamp,
) -> Vec<Arc<Item>> {
    if count == 0 {
        return Vec::new();
    }
    let mut pods = pods.to_vec();
    // All go: no order matters.
    if count < pods.len() {
        let neighbours = neighbours(index, set, &pods);
        pods.sort_by(|a, b| order(a, b, &neighbours, now));
    }
    pods.truncate(count);
    pods
}

/// How many pods there are on each node of this set and of the others with the same owner.
fn neighbours(index: &Index, set: &Item, pods: &[Arc<Item>]) -> HashMap<String, usize> {
    let mut nodes = HashMap::new();
    let mut count = |pod: &Item| {
        if let Some(facts) = pod.pod.as_ref().filter(|facts| !pod.deleting && !facts.is_over()) {
            *nodes.entry(facts.node.clone()).or_default() += 1;
        }
    };
    match set.controller() {
        Some(owner) => {
            let sets = index.managed(&REPLICA_SETS, &owner.uid);
            sets.flat_map(|set| index.managed(&PODS, &set.uid)).for_each(|pod| count(pod));
        }
        None => pods.iter().for_each(|pod| count(pod)),
    }
    nodes
}

fn order(a: &Item, b: &Item, neighbours: &HashMap<String, usize>, now: Timestamp) -> Ordering {
    let none = PodFacts::default();
    let (x, y) = (a.pod.as_ref().unwrap_or(&none), b.pod.as_ref().unwrap_or(&none));
    let crowd = |facts: &PodFacts| neighbours.get(&facts.node).copied().unwrap_or(0);
    let phase = |facts: &PodFacts| match facts.phase.as_str() {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let by_ready = if x.ready && y.ready { younger(x.since, y.since, a, b, now) } else { Ordering::Equal };
    (!x.node.is_empty())
        .cmp(&!y.node.is_empty())
        .then(phase(x).cmp(&phase(y)))
        .then(x.ready.cmp(&y.ready))
        .then(x.deletion_cost.cmp(&y.deletion_cost))
        .then(crowd(y).cmp(&crowd(x)))
        .then(by_ready)
        .then(y.restarts.cmp(&x.restarts))
        .then_with(|| younger(a.created, b.created, a, b, now))
}

/// The younger one first. Ages of the same power of two are the same, and then chance decides, which uids are: so that
/// not only the newest zone or node loses pods.
fn younger(x: Option<Timestamp>, y: Option<Timestamp>, a: &Item, b: &Item, now: Timestamp) -> Ordering {
    let (Some(x), Some(y)) = (x, y) else { return x.is_some().cmp(&y.is_some()) };
    if x == y {
        return Ordering::Equal;
    }
    let power = |time: Timestamp| {
        u128::try_from((now - time).total(jiff::Unit::Nanosecond).unwrap_or(0.0) as i128)
            .ok()
            .and_then(u128::checked_ilog2)
    };
    power(x).cmp(&power(y)).then_with(|| a.uid.cmp(&b.uid))
}
