//! Pods on nodes that drive them away: they go when what they put up with is over.
//!
//! ```text
//!   a NoExecute taint that the pod does not tolerate         ──▶ it goes at once
//!   all tolerated, some for a while (tolerationSeconds)      ──▶ it goes when the shortest while is over
//!   all tolerated for ever, or no such taint any more        ──▶ it stays
//! ```
//!
//! A while begins when the pod is first seen on a node that drives it away, and goes on when one taint follows another.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api_objects::time;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{ACCOUNT, NODES, node_of};
use crate::client::{Gvr, Id, PatchType};
use crate::controllers::Controller;
use crate::controllers::index::{Change, Index};
use crate::controllers::item::{Item, PODS};
use crate::controllers::plan::{Effect, Plan, Telling};
use crate::scheduler::taints::{Taint, Toleration};

/// Deletes pods.
#[derive(Default)]
pub struct Eviction {
    /// Since when pods that are to go are where they are, by place and identity.
    since: Mutex<HashMap<Id, (String, Timestamp)>>,
}

impl Eviction {
    fn since(&self) -> MutexGuard<'_, HashMap<Id, (String, Timestamp)>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller for Eviction {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn account(&self) -> &'static str {
        ACCOUNT
    }

    fn queue(&self) -> &'static str {
        "noexec_taint_pod"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![NODES, PODS])
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == PODS {
            let drives = node_of(index, item).and_then(|node| node.node.as_ref()).is_some_and(|n| n.evicts());
            if drives || self.since().contains_key(&item.id) {
                wake(item.id.clone());
            }
        } else if item.id.kind == NODES {
            let taints = |item: &Item| item.node.as_ref().map(|facts| facts.taints.clone());
            let drives = |item: &Item| item.node.as_ref().is_some_and(|facts| facts.evicts());
            let (old, new) = (change.old.as_deref(), change.new.as_deref());
            let same = old.and_then(taints) == new.and_then(taints);
            if !same && (old.is_some_and(drives) || new.is_some_and(drives)) {
                index.on_node(&item.id.name).for_each(|pod| wake(pod.id.clone()));
            }
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let found = index.at(key).filter(|pod| !pod.deleting);
        let patience = found.and_then(|pod| patience(index, pod));
        let mut since = self.since();
        let (Some(pod), Some(patience)) = (found, patience) else {
            if since.remove(key).is_some() && found.is_some() {
                plan.one(tell(key, "Cancelling deletion of Pod"));
            }
            return plan;
        };
        let began = since.entry(key.clone()).or_insert_with(|| (pod.uid.clone(), now));
        if began.0 != pod.uid {
            *began = (pod.uid.clone(), now);
        }
        let due = began.1.checked_add(patience).unwrap_or(Timestamp::MAX);
        if let Some(left) = Duration::try_from(due.duration_since(now)).ok().filter(|left| !left.is_zero()) {
            plan.again = Some(left);
            return plan;
        }
        plan.one(tell(key, "Marking for deletion Pod"));
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": time::format(now),
            "observedGeneration": pod.generation});
        let patch = json!({"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}});
        let id = key.clone();
        plan.one(Effect::Patch { id, subresource: "status", how: PatchType::Strategic, patch });
        let (id, uid) = (key.clone(), pod.uid.clone());
        plan.one(Effect::Delete { id, uid, revision: None, propagation: None, grace: None });
        plan
    }
}

/// How long a pod puts up with its node's taints; none where it is for ever.
fn patience(index: &Index, pod: &Item) -> Option<SignedDuration> {
    let node = node_of(index, pod).filter(|node| node.node.as_ref().is_some_and(|facts| facts.evicts()))?;
    let taints = Taint::of(&node.value()["spec"]);
    let tolerations = Toleration::of(&pod.value()["spec"]);
    let mut shortest = None;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        match tolerations.iter().find(|toleration| toleration.holds(taint)) {
            None => return Some(SignedDuration::ZERO),
            Some(used) => {
                let seconds = used.seconds.map(|seconds| SignedDuration::from_secs(seconds.max(0)));
                shortest = shortest.into_iter().chain(seconds).min();
            }
        }
    }
    shortest
}

fn tell(pod: &Id, what: &str) -> Effect {
    let about = json!({"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name});
    let message = format!("{what} {}/{}", pod.namespace, pod.name);
    Effect::Tell(Telling { about, warning: false, reason: "TaintManagerEviction", message })
}
