//! ReplicaSets: as many pods as are asked for.
//!
//! ```text
//!   pods of its own that it does not select ──▶ released      pods of nobody that it selects ──▶ adopted
//!   too few ──▶ made, in batches of 1, 2, 4, …                too many ──▶ deleted, the least useful first
//!   else ──▶ status
//! ```
//!
//! Only pods that are neither over nor going count.

mod rank;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Controller;
use super::index::{Change, Index};
use super::item::{Item, PODS};
use super::plan::{Effect, Guard, Outcome, Plan, Step, Telling, reference};
use crate::client::{Gvr, Id, PatchType};

/// ReplicaSets.
pub static REPLICA_SETS: Gvr = Gvr::of("apps", "v1", "replicasets");
/// So many pods are made or deleted at once.
const BURST: usize = 500;

/// The controller of ReplicaSets.
pub struct ReplicaSets;

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn queue(&self) -> &'static str {
        "replicaset"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![REPLICA_SETS, PODS])
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == REPLICA_SETS && change.new.is_some() {
            wake(item.id.clone());
        } else if item.id.kind == PODS {
            wake_for_pod(index, change, wake);
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let Some(set) = index.at(key) else { return Plan::default() };
        if set.selector().is_none() {
            return Plan::default();
        }
        let object = set.value();
        let ours = Ours::of(index, set);
        let claims = claims(set, &ours);
        if !claims.is_empty() {
            // What is ours is known when the index has seen these.
            return Plan { steps: vec![Step::Together(claims)], ..Plan::default() };
        }
        let asked = usize::try_from(object["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
        let mut plan = Plan::default();
        if !set.deleting {
            plan.steps.extend(manage(index, set, &object, &ours.pods, asked, now));
        }
        plan.again = status::due(&object, &ours.pods, now);
        let manages = !plan.steps.is_empty();
        let (set, pods, going) = (set.clone(), ours.pods, ours.going);
        plan.then = Some(Box::new(move |outcome: &Outcome| {
            let mut effects = tellings(&set, asked, pods.len(), outcome);
            // What was made or deleted comes back as a change, and then there is more to say.
            if !manages || !outcome.failures.is_empty() {
                effects.extend(status::update(&set, object, &pods, going, asked, outcome, now));
            }
            effects
        }));
        plan
    }
}

/// A pod concerns who manages it, and one that nobody manages concerns who selects it.
fn wake_for_pod(index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
    let owner = |item: &Option<Arc<Item>>| {
        let owner = item.as_ref()?.controller().filter(|owner| owner.kind == "ReplicaSet")?;
        let set = index.by_uid(&owner.uid)?;
        Some(set.id.clone())
    };
    let (before, after) = (owner(&change.old), owner(&change.new));
    if before != after {
        before.into_iter().for_each(&mut *wake);
    }
    after.into_iter().for_each(&mut *wake);
    let Some(pod) = change.new.as_ref().filter(|pod| pod.controller().is_none()) else { return };
    if change.old.as_ref().is_some_and(|old| old.controller().is_none() && old.labels == pod.labels) {
        return;
    }
    for set in index.in_namespace(&REPLICA_SETS, &pod.id.namespace) {
        if set.selects(pod) {
            wake(set.id.clone());
        }
    }
}

/// The pods that a set has to do with.
struct Ours {
    /// Those that count.
    pods: Vec<Arc<Item>>,
    /// Those that are to be no longer its own.
    foreign: Vec<Arc<Item>>,
    /// Those that are to be its own.
    free: Vec<Arc<Item>>,
    /// How many are its own and on their way out.
    going: usize,
}

impl Ours {
    fn of(index: &Index, set: &Item) -> Self {
        let counts =
            |pod: &&Arc<Item>| !pod.deleting && !pod.pod.as_ref().is_some_and(|facts| facts.is_over());
        let (pods, foreign) =
            index.managed(&PODS, &set.uid).filter(counts).cloned().partition(|pod| set.selects(pod));
        let going = index.managed(&PODS, &set.uid).filter(|pod| pod.deleting && !counts(pod));
        let over = |pod: &&Arc<Item>| !pod.pod.as_ref().is_some_and(|facts| facts.is_over());
        let free = index.unmanaged(&PODS, &set.id.namespace).filter(counts);
        Self {
            pods,
            foreign,
            going: going.filter(over).count(),
            free: free.filter(|pod| set.selects(pod)).cloned().collect(),
        }
    }
}

/// Takes what is free and is selected, and lets go of what is not selected. A set that is going does neither.
fn claims(set: &Item, ours: &Ours) -> Vec<Effect> {
    if set.deleting {
        return Vec::new();
    }
    let release = ours.foreign.iter().map(|pod| Effect::Patch {
        id: pod.id.clone(),
        subresource: "",
        how: PatchType::Strategic,
        patch: json!({"metadata": {"uid": pod.uid, "ownerReferences": [{"$patch": "delete", "uid": set.uid}]}}),
    });
    let adopt = ours.free.iter().map(|pod| {
        let patch = json!({"metadata": {"uid": pod.uid, "ownerReferences": [owner(set)]}});
        let patch = Effect::Patch { id: pod.id.clone(), subresource: "", how: PatchType::Strategic, patch };
        // The index may not know yet that the set is going, and a pod adopted then would go as well.
        Effect::If(vec![Guard::Alive(set.id.clone(), set.uid.clone())], Box::new(patch))
    });
    release.chain(adopt).collect()
}

/// The reference to a set in what it manages.
fn owner(set: &Item) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": set.id.name,
        "uid": set.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Makes the pods that are missing, or deletes those that are too many.
fn manage(
    index: &Index,
    set: &Item,
    object: &Value,
    pods: &[Arc<Item>],
    asked: usize,
    now: Timestamp,
) -> Option<Step> {
    if pods.len() < asked {
        let missing = (asked - pods.len()).min(BURST);
        let create = Effect::Create {
            kind: PODS,
            namespace: set.id.namespace.clone(),
            object: pod(set, &object["spec"]["template"]),
        };
        return Some(Step::SlowStart(vec![create; missing]));
    }
    let excess = (pods.len() - asked).min(BURST);
    let delete = rank::least_useful(index, set, pods, excess, now).into_iter().map(|pod| Effect::Delete {
        id: pod.id.clone(),
        uid: pod.uid.clone(),
        revision: None,
        propagation: None,
        grace: None,
    });
    (excess > 0).then(|| Step::Together(delete.collect()))
}

/// A pod as the template says.
fn pod(set: &Item, template: &Value) -> Value {
    let mut metadata = json!({
        "generateName": format!("{}-", set.id.name),
        "namespace": set.id.namespace,
        "ownerReferences": [owner(set)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    json!({"metadata": metadata, "spec": template["spec"]})
}

fn tellings(set: &Item, asked: usize, before: usize, outcome: &Outcome) -> Vec<Effect> {
    let about = reference(set, "ReplicaSet");
    let tell =
        |warning, reason, message| Effect::Tell(Telling { about: about.clone(), warning, reason, message });
    let (reason, doing) =
        if before < asked { ("FailedCreate", "creating") } else { ("FailedDelete", "deleting") };
    let made =
        outcome.created.iter().map(|name| tell(false, "SuccessfulCreate", format!("Created pod: {name}")));
    let gone =
        outcome.deleted.iter().map(|name| tell(false, "SuccessfulDelete", format!("Deleted pod: {name}")));
    let failed = outcome.failures.iter().map(|why| tell(true, reason, format!("Error {doing}: {why}")));
    made.chain(gone).chain(failed).collect()
}
