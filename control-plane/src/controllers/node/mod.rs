//! Nodes that fall silent, and what is to be known of how nodes are.
//!
//! ```text
//!   no heartbeat, no renewed Lease for 50 s (60 s where it never said how it is)
//!     ──▶ its conditions are Unknown ──▶ its pods are not ready ([`pods`])
//!   a condition says that it is not well, or it is cordoned off ──▶ NoSchedule taint, at once
//!   it is not ready ──▶ NoExecute taint, when it is its zone's turn ([`zones`]) ──▶ its pods leave ([`eviction`])
//!   it is well again ──▶ the taints go
//! ```
//!
//! It keeps what it saw when: a node is dead when it was silent while somebody listened, so that nobody is taken for
//! dead because the control plane was. One who starts anew gives every node its whole time again.

pub mod eviction;
pub mod facts;
mod health;
pub mod pods;
mod taints;
#[cfg(test)]
mod tests;
mod zones;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_objects::time;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::facts::NodeFacts;
pub use self::health::Grace;
use super::Controller;
use super::conditions;
use super::index::{Change, Index};
use super::item::Item;
use super::plan::{Effect, Outcome, Plan, Telling};
use crate::client::{Gvr, Id, PatchType};

/// Nodes.
pub static NODES: Gvr = Gvr::of("", "v1", "nodes");
/// Leases, of which each node has one,
pub static LEASES: Gvr = Gvr::of("coordination.k8s.io", "v1", "leases");
/// in this namespace.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";

/// Its service account, which it shares with those that deal with the pods of nodes.
const ACCOUNT: &str = "node-controller";
/// What depends on other nodes is looked at again so often.
const AGAIN: Duration = Duration::from_secs(5);
/// More than the clock's grain.
const MOMENT: Duration = Duration::from_millis(10);
/// What is unknown of a node that is silent.
const UNKNOWN: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Labels that are kept for those who know the older name.
const OLD_LABELS: [(&str, &str); 2] =
    [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];

/// The controller of nodes' lives.
#[derive(Default)]
pub struct Nodes {
    grace: Grace,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    signs: health::Signs,
    zones: zones::Zones,
    /// No node at all was ready when it was looked at last.
    all_failed: bool,
}

impl Nodes {
    /// One that is so patient.
    pub fn new(grace: Grace) -> Self {
        Self { grace, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller for Nodes {
    fn name(&self) -> &'static str {
        ACCOUNT
    }

    fn queue(&self) -> &'static str {
        "node_lifecycle_controller"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![NODES, LEASES])
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == NODES {
            self.state().zones.count(change);
            wake(item.id.clone());
        } else if item.id.kind == LEASES
            && item.id.namespace == LEASE_NAMESPACE
            && let Some(node) = index.get(&NODES, "", &item.id.name)
        {
            wake(node.id.clone());
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let (mut state, mut plan) = (self.state(), Plan::default());
        let Some(node) = index.at(key) else {
            if state.signs.forget(&key.name) {
                plan.one(tell(&key.name, "", "RemovingNode", &removing(&key.name)));
            }
            return plan;
        };
        let Some(facts) = &node.node else { return plan };
        if !state.signs.knows(&key.name) {
            let message = format!("Node {0} event: Registered Node {0} in Controller", key.name);
            plan.one(tell(&key.name, &node.uid, "RegisteredNode", &message));
        }
        let all_fail = state.zones.all_fail();
        if std::mem::replace(&mut state.all_failed, all_fail) && !all_fail {
            state.signs.renew(now);
        }
        let renewed = index.get(&LEASES, LEASE_NAMESPACE, &key.name).and_then(|lease| renewal(lease));
        let dead = state.signs.see(&key.name, facts, renewed, node.created, self.grace, now);
        let unknown = |name| facts.condition(name).is_some_and(|found| found.status == "Unknown");
        if now > dead && !UNKNOWN.into_iter().all(unknown) {
            // What follows from it is done when the index has seen it.
            declare_dead(node, facts, &mut plan, now);
            return plan;
        }
        let (drive, again) = drive(&mut state, node, facts, now);
        let patch = patch(node, facts, drive, now);
        if let Some(patch) = patch {
            plan.one(Effect::Patch { id: key.clone(), subresource: "", how: PatchType::Strategic, patch });
        }
        // A moment later, since it is dead only when more than its time is over.
        let silent = Duration::try_from(dead.duration_since(now)).ok().map(|left| left + MOMENT);
        plan.again = again.into_iter().chain(silent).min();
        plan
    }
}

/// Whether a node's pods are to be driven away, and when to ask again.
fn drive(state: &mut State, node: &Item, facts: &NodeFacts, now: Timestamp) -> (bool, Option<Duration>) {
    if taints::driving(facts).is_none() {
        return (false, None);
    }
    if state.all_failed {
        return (false, Some(AGAIN));
    }
    if taints::drives(facts) {
        return (true, Some(AGAIN));
    }
    match state.zones.grant(&facts::zone(node), now) {
        Ok(()) => (true, Some(AGAIN)),
        Err(left) => (false, Some(left.map_or(AGAIN, |left| left.min(AGAIN)))),
    }
}

/// When a Lease was renewed.
fn renewal(lease: &Item) -> Option<Timestamp> {
    lease.value()["spec"]["renewTime"].as_str().and_then(time::parse)
}

/// What is to be changed of a node's taints and labels.
fn patch(node: &Item, facts: &NodeFacts, drive: bool, now: Timestamp) -> Option<Value> {
    let labels = OLD_LABELS.iter().filter_map(|(name, old)| {
        let value = node.label(name)?;
        (node.label(old) != Some(value)).then(|| ((*old).to_owned(), Value::from(value)))
    });
    let labels: serde_json::Map<_, _> = labels.collect();
    let taints = taints::change(node, facts, drive, &time::format(now));
    if labels.is_empty() && taints.is_none() {
        return None;
    }
    // The list of taints is one thing: of two who change it at the same time, one has to look again.
    let mut patch = json!({"metadata": {"uid": node.uid, "resourceVersion": node.revision.to_string()}});
    if !labels.is_empty() {
        patch["metadata"]["labels"] = labels.into();
    }
    if let Some(taints) = taints {
        patch["spec"] = json!({"taints": taints});
    }
    Some(patch)
}

/// Says that nothing is known of a node any more.
fn declare_dead(node: &Item, facts: &NodeFacts, plan: &mut Plan, now: Timestamp) {
    let (mut object, stamp) = (node.value(), time::format(now));
    let mut status = object["status"].take();
    for name in UNKNOWN {
        let condition = match conditions::get(&status, name) {
            Some(found) if found["status"] == "Unknown" => continue,
            Some(found) => {
                let mut condition = found.clone();
                condition["status"] = "Unknown".into();
                condition["reason"] = "NodeStatusUnknown".into();
                condition["message"] = "Kubelet stopped posting node status.".into();
                condition["lastTransitionTime"] = stamp.as_str().into();
                condition
            }
            None => json!({"type": name, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": node.created.map(time::format), "lastTransitionTime": stamp}),
        };
        conditions::put_in_place(&mut status, condition);
    }
    object["status"] = status;
    plan.one(Effect::Replace { id: node.id.clone(), subresource: "status", object });
    if facts.is_ready() {
        let message = format!("Node {} status is now: NodeNotReady", node.id.name);
        let telling = tell(&node.id.name, &node.uid, "NodeNotReady", &message);
        plan.then = Some(Box::new(
            move |outcome: &Outcome| {
                if outcome.failures.is_empty() { vec![telling] } else { Vec::new() }
            },
        ));
    }
}

fn removing(name: &str) -> String {
    format!("Node {name} event: Removing Node {name} from Controller")
}

/// An Event about a node, which may be gone.
fn tell(name: &str, uid: &str, reason: &'static str, message: &str) -> Effect {
    let about = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid});
    Effect::Tell(Telling { about, warning: false, reason, message: message.to_owned() })
}

/// The node that a pod is on.
fn node_of<'a>(index: &'a Index, pod: &Item) -> Option<&'a Arc<Item>> {
    let name = &pod.pod.as_ref()?.node;
    index.get(&NODES, "", name)
}
