//! The taints that a node has because of how it is.
//!
//! Two kinds: those that keep new pods off follow its conditions at once; those that drive pods away are given when it
//! is the node's turn, and change from one to the other without waiting again.

use serde_json::{Value, json};

use super::facts::{NodeFacts, Taint};
use crate::controllers::item::Item;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// Which status of which condition has which taint.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: key.to_owned(), effect: effect.to_owned() }
}

/// Whether a taint is one of those that follow from how a node is; all others are somebody else's.
fn is_ours(taint: &Taint) -> bool {
    let key = taint.key.as_str();
    match taint.effect.as_str() {
        NO_SCHEDULE => key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(.., ours)| *ours == key),
        NO_EXECUTE => key == NOT_READY || key == UNREACHABLE,
        _ => false,
    }
}

/// The taint that drives pods away from a node like this.
pub(super) fn driving(facts: &NodeFacts) -> Option<Taint> {
    match facts.ready()? {
        "False" => Some(taint(NOT_READY, NO_EXECUTE)),
        "Unknown" => Some(taint(UNREACHABLE, NO_EXECUTE)),
        _ => None,
    }
}

/// Whether pods are driven away already because the node is not ready.
pub(super) fn drives(facts: &NodeFacts) -> bool {
    facts.taints.iter().any(|taint| taint.effect == NO_EXECUTE && is_ours(taint))
}

/// The taints that a node like this is to have of ours; `drive` says whether it drives pods away.
fn wanted(facts: &NodeFacts, drive: bool) -> Vec<Taint> {
    let holds = |(name, status, _): &&(&str, &str, &str)| {
        facts.condition(name).is_some_and(|condition| condition.status == *status)
    };
    let mut taints: Vec<Taint> =
        BY_CONDITION.iter().filter(holds).map(|(.., key)| taint(key, NO_SCHEDULE)).collect();
    if facts.unschedulable {
        taints.push(taint(UNSCHEDULABLE, NO_SCHEDULE));
    }
    taints.extend(driving(facts).filter(|_| drive));
    taints
}

/// The taints that a node is to have, as they are written; none where it has them.
pub(super) fn change(node: &Item, facts: &NodeFacts, drive: bool, now: &str) -> Option<Vec<Value>> {
    let wanted = wanted(facts, drive);
    let stays = |taint: &Taint| !is_ours(taint) || wanted.contains(taint);
    if facts.taints.iter().all(stays) && wanted.iter().all(|taint| facts.taints.contains(taint)) {
        return None;
    }
    let read = |value: &Value| {
        let text = |field: &str| value[field].as_str().unwrap_or_default();
        taint(text("key"), text("effect"))
    };
    let object = node.value();
    let kept = object["spec"]["taints"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|value| stays(&read(value)))
        .cloned();
    let added = wanted.iter().filter(|taint| !facts.taints.contains(taint));
    let added = added.map(|taint| json!({"key": taint.key, "effect": taint.effect, "timeAdded": now}));
    Some(kept.chain(added).collect())
}
