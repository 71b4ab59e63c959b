//! Deployments: ReplicaSets, one for each template that there was, and the way from one to the next.
//!
//! ```text
//!   going ────────────▶ status
//!   paused, or another number is asked for ──▶ scaled: all sets in proportion ──▶ status
//!   else ──▶ the set of the template is found or made
//!              ├─ RollingUpdate: the new one grows as surge allows, old ones shrink as long as enough is available
//!              └─ Recreate: old ones go to nothing, their pods end, the new one is made and grows
//!            ──▶ status; once complete, sets beyond the history limit are deleted
//! ```
//!
//! All of it happens to a working copy of the sets, from which the effects are read off at the end.

mod hash;
pub(super) mod numbers;
mod rollout;
mod same;
mod scale;
mod sets;
mod status;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Controller;
use super::index::{Change, Index};
use super::item::{Item, PODS};
use super::plan::{Effect, Guard, Plan, Step};
use super::replicaset::REPLICA_SETS;
use crate::client::{Gvr, Id, PatchType};
use rollout::Rollout;

/// Deployments.
pub static DEPLOYMENTS: Gvr = Gvr::of("apps", "v1", "deployments");

/// The controller of Deployments.
pub struct Deployments;

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn queue(&self) -> &'static str {
        "deployment"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![DEPLOYMENTS, REPLICA_SETS, PODS])
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == DEPLOYMENTS && change.new.is_some() {
            wake(item.id.clone());
        } else if item.id.kind == REPLICA_SETS {
            wake_for_set(index, change, wake);
        } else if item.id.kind == PODS
            && (change.new.is_none() || item.pod.as_ref().is_some_and(|pod| pod.is_over()))
        {
            // Who recreates waits for the last of the old pods.
            let set = item.controller().and_then(|owner| index.by_uid(&owner.uid));
            let owner = set.and_then(|set| set.controller()).and_then(|owner| index.by_uid(&owner.uid));
            owner
                .filter(|owner| owner.id.kind == DEPLOYMENTS)
                .into_iter()
                .for_each(|owner| wake(owner.id.clone()));
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let Some(item) = index.at(key) else { return Plan::default() };
        if item.selector().is_none() {
            return Plan::default();
        }
        let object = item.value();
        let claims = claims(index, item);
        if !claims.is_empty() {
            return Plan { steps: vec![Step::Together(claims)], ..Plan::default() };
        }
        let sets = index.managed(&REPLICA_SETS, &item.uid).cloned().collect();
        let pods = |set: &str| -> bool {
            // Pods that are not over, whatever their ReplicaSet says of them.
            let over = |pod: &Arc<Item>| pod.pod.as_ref().is_some_and(|facts| facts.is_over());
            index.managed(&PODS, set).any(|pod| !over(pod))
        };
        let taken = |name: &str| index.get(&REPLICA_SETS, &item.id.namespace, name).is_some();
        Rollout::new(item.clone(), object, sets, now).run(&pods, &taken)
    }
}

/// A set concerns who manages it, and one that nobody manages concerns who selects it.
fn wake_for_set(index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
    let owner = |item: &Option<Arc<Item>>| {
        let owner = index.by_uid(&item.as_ref()?.controller()?.uid)?;
        (owner.id.kind == DEPLOYMENTS).then(|| owner.id.clone())
    };
    let (before, after) = (owner(&change.old), owner(&change.new));
    if before != after {
        before.into_iter().for_each(&mut *wake);
    }
    after.into_iter().for_each(&mut *wake);
    let Some(set) = change.new.as_ref().filter(|set| set.controller().is_none()) else { return };
    if change.old.as_ref().is_some_and(|old| old.controller().is_none() && old.labels == set.labels) {
        return;
    }
    for deployment in index.in_namespace(&DEPLOYMENTS, &set.id.namespace) {
        if deployment.selects(set) {
            wake(deployment.id.clone());
        }
    }
}

/// Takes the sets that are free and selected, and lets go of those that are not selected.
fn claims(index: &Index, deployment: &Item) -> Vec<Effect> {
    if deployment.deleting {
        return Vec::new();
    }
    let foreign = index.managed(&REPLICA_SETS, &deployment.uid).filter(|set| !deployment.selects(set));
    let release = foreign.map(|set| {
        let owners = json!([{"$patch": "delete", "uid": deployment.uid}]);
        Effect::Patch {
            id: set.id.clone(),
            subresource: "",
            how: PatchType::Strategic,
            patch: json!({"metadata": {"uid": set.uid, "ownerReferences": owners}}),
        }
    });
    let free = index.unmanaged(&REPLICA_SETS, &deployment.id.namespace);
    let free = free.filter(|set| !set.deleting && deployment.selects(set));
    let adopt = free.map(|set| {
        let patch = json!({"metadata": {"uid": set.uid, "ownerReferences": [owner(deployment)]}});
        let patch = Effect::Patch { id: set.id.clone(), subresource: "", how: PatchType::Strategic, patch };
        Effect::If(vec![Guard::Alive(deployment.id.clone(), deployment.uid.clone())], Box::new(patch))
    });
    release.chain(adopt).collect()
}

/// The reference to a Deployment in what it manages.
fn owner(deployment: &Item) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": deployment.id.name,
        "uid": deployment.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}
