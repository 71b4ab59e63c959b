//! Claims and volumes are kept while they are in use, however they were deleted.
//!
//! ```text
//!   a claim    is there ──▶ protected      going ──▶ no pod on a node uses it ──▶ may go
//!   a volume   is there ──▶ protected      going ──▶ no claim has it          ──▶ may go
//! ```

use jiff::Timestamp;
use serde_json::Value;

use super::Controller;
use super::index::{Change, Index};
use super::item::{Item, PODS};
use super::plan::{Effect, Guard, Plan};
use crate::client::{Gvr, Id};

pub(super) static CLAIMS: Gvr = Gvr::of("", "v1", "persistentvolumeclaims");
pub(super) static VOLUMES: Gvr = Gvr::of("", "v1", "persistentvolumes");
const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Protects claims.
pub struct Claims;

/// Protects volumes.
pub struct Volumes;

impl Controller for Claims {
    fn name(&self) -> &'static str {
        "pvc-protection-controller"
    }

    fn queue(&self) -> &'static str {
        "pvcprotection"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![CLAIMS, PODS])
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == CLAIMS {
            if change.new.as_deref().is_some_and(|claim| wants(claim, CLAIM_FINALIZER)) {
                wake(item.id.clone());
            }
        } else if item.id.kind == PODS {
            // Claims that go are few; a pod that is gone or over may have been what one waits for.
            let over = item.pod.as_ref().is_some_and(|facts| facts.is_over());
            if change.new.is_none() || over {
                let claims = index.in_namespace(&CLAIMS, &item.id.namespace);
                claims.filter(|claim| claim.deleting).for_each(|claim| wake(claim.id.clone()));
            }
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(claim) = index.at(key).filter(|claim| wants(claim, CLAIM_FINALIZER)) else { return plan };
        if !claim.deleting {
            plan.one(protect(claim, CLAIM_FINALIZER));
            return plan;
        }
        let used = index.in_namespace(&PODS, &key.namespace).any(|pod| {
            let placed = pod.pod.as_ref().is_some_and(|facts| !facts.node.is_empty());
            placed && uses(&pod.value(), &key.name)
        });
        if !used {
            // The index may not know yet of a pod that came to a node just now.
            let guard = Guard::Unclaimed(key.clone());
            plan.one(Effect::If(vec![guard], Box::new(release(claim, CLAIM_FINALIZER))));
        }
        plan
    }
}

impl Controller for Volumes {
    fn name(&self) -> &'static str {
        "pv-protection-controller"
    }

    fn queue(&self) -> &'static str {
        "pvprotection"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![VOLUMES])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(volume) = change.new.as_ref().filter(|item| item.id.kind == VOLUMES) else { return };
        if wants(volume, VOLUME_FINALIZER) {
            wake(volume.id.clone());
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(volume) = index.at(key).filter(|volume| wants(volume, VOLUME_FINALIZER)) else {
            return plan;
        };
        if !volume.deleting {
            plan.one(protect(volume, VOLUME_FINALIZER));
        } else if volume.value()["status"]["phase"] != "Bound" {
            plan.one(release(volume, VOLUME_FINALIZER));
        }
        plan
    }
}

/// Whether there is something to be done: it is there and not protected, or going and protected.
pub(super) fn wants(item: &Item, finalizer: &str) -> bool {
    item.deleting == item.has_finalizer(finalizer)
}

pub(super) fn protect(item: &Item, finalizer: &str) -> Effect {
    let mut object = item.value();
    match object["metadata"]["finalizers"].as_array_mut() {
        Some(finalizers) => finalizers.push(finalizer.into()),
        None => object["metadata"]["finalizers"] = vec![finalizer].into(),
    }
    Effect::Replace { id: item.id.clone(), subresource: "", object }
}

pub(super) fn release(item: &Item, finalizer: &str) -> Effect {
    let mut object = item.value();
    if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
        finalizers.retain(|other| other != finalizer);
    }
    Effect::Replace { id: item.id.clone(), subresource: "", object }
}

/// Whether a pod that has its node uses a claim: by its name, or because the claim was made for one of its volumes. A
/// pod that is over needs the latter no longer.
pub(super) fn uses(pod: &Value, claim: &str) -> bool {
    let Some(node) = pod["spec"]["nodeName"].as_str() else { return false };
    let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let mut volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    !node.is_empty()
        && volumes.any(|volume| {
            let made = || format!("{name}-{}", volume["name"].as_str().unwrap_or_default());
            volume["persistentVolumeClaim"]["claimName"] == claim
                || !over && volume["ephemeral"].is_object() && made() == claim
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::controllers::plan::Step;

    fn object(going: bool, finalizers: &[&str]) -> Value {
        let deleted = if going { json!("2026-01-01T00:00:00Z") } else { Value::Null };
        json!({"metadata": {"name": "c", "namespace": "n", "uid": "c", "deletionTimestamp": deleted,
            "finalizers": finalizers}, "status": {"phase": "Available"}})
    }

    fn pod(node: &str, phase: &str, volume: Value) -> Value {
        json!({"metadata": {"name": "p", "namespace": "n", "uid": "p"},
            "spec": {"nodeName": node, "volumes": [volume]}, "status": {"phase": phase}})
    }

    fn finalizers(claim: &Value, pod: Option<Value>) -> Option<Value> {
        let mut index = Index::default();
        let change = index.put(Arc::new(Item::of(&CLAIMS, claim).unwrap()));
        let mut woken = Vec::new();
        Claims.wake(&index, &change, &mut |id| woken.push(id));
        pod.into_iter().for_each(|pod| drop(index.put(Arc::new(Item::of(&PODS, &pod).unwrap()))));
        let plan = Claims.reconcile(&index, &Id::new(&CLAIMS, "n", "c"), Timestamp::UNIX_EPOCH);
        assert!(plan.steps.is_empty() || !woken.is_empty(), "nobody would look");
        match plan.steps.into_iter().next()? {
            Step::One(Effect::Replace { object, .. }) => Some(object["metadata"]["finalizers"].clone()),
            Step::One(Effect::If(guards, effect)) => {
                assert!(matches!(&guards[..], [Guard::Unclaimed(id)] if id.name == "c"));
                let Effect::Replace { object, .. } = *effect else { panic!("{effect:?}") };
                Some(object["metadata"]["finalizers"].clone())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_claim_goes_when_no_pod_on_a_node_uses_it() {
        let by_name = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        let going = object(true, &["other", CLAIM_FINALIZER]);
        assert_eq!(finalizers(&object(false, &[]), None), Some(json!([CLAIM_FINALIZER])));
        assert_eq!(finalizers(&object(false, &[CLAIM_FINALIZER]), None), None);
        assert_eq!(finalizers(&going, None), Some(json!(["other"])));
        assert_eq!(finalizers(&going, Some(pod("a", "Running", by_name.clone()))), None);
        assert_eq!(finalizers(&going, Some(pod("a", "Succeeded", by_name.clone()))), None);
        assert_eq!(finalizers(&going, Some(pod("", "Pending", by_name))), Some(json!(["other"])));
        let other = json!({"name": "v", "persistentVolumeClaim": {"claimName": "d"}});
        assert_eq!(finalizers(&going, Some(pod("a", "Running", other))), Some(json!(["other"])));
        assert_eq!(finalizers(&object(true, &["other"]), None), None);
    }

    #[test]
    fn a_claim_made_for_a_pod_is_in_use_until_the_pod_is_over() {
        let made = json!({"name": "v", "ephemeral": {"volumeClaimTemplate": {}}});
        assert!(uses(&pod("a", "Running", made.clone()), "p-v"));
        assert!(!uses(&pod("a", "Running", made.clone()), "p-w"));
        assert!(!uses(&pod("a", "Succeeded", made), "p-v"));
    }

    #[test]
    fn a_pod_that_is_gone_or_over_wakes_the_claims_that_go() {
        let mut index = Index::default();
        index.put(Arc::new(Item::of(&CLAIMS, &object(true, &[CLAIM_FINALIZER])).unwrap()));
        let woken = |old: Option<&Value>, new: Option<&Value>| {
            let item = |pod: &Value| Arc::new(Item::of(&PODS, pod).unwrap());
            let mut woken = 0;
            Claims.wake(&index, &Change { old: old.map(item), new: new.map(item) }, &mut |_| woken += 1);
            woken
        };
        let (runs, over) = (pod("a", "Running", json!({})), pod("a", "Failed", json!({})));
        assert_eq!(
            [woken(None, Some(&runs)), woken(Some(&runs), Some(&over)), woken(Some(&over), None)],
            [0, 1, 1]
        );
    }

    #[test]
    fn a_volume_goes_when_no_claim_has_it() {
        let look = |going: bool, finalizers: &[&str], phase: &str| {
            let mut index = Index::default();
            let mut volume = object(going, finalizers);
            volume["metadata"]["namespace"] = "".into();
            volume["status"]["phase"] = phase.into();
            index.put(Arc::new(Item::of(&VOLUMES, &volume).unwrap()));
            let plan = Volumes.reconcile(&index, &Id::new(&VOLUMES, "", "c"), Timestamp::UNIX_EPOCH);
            match plan.steps.into_iter().next() {
                Some(Step::One(Effect::Replace { object, .. })) => {
                    Some(object["metadata"]["finalizers"].clone())
                }
                _ => None,
            }
        };
        assert_eq!(look(false, &[], "Available"), Some(json!([VOLUME_FINALIZER])));
        assert_eq!(look(true, &[VOLUME_FINALIZER], "Bound"), None);
        assert_eq!(look(true, &[VOLUME_FINALIZER], "Released"), Some(json!([])));
    }
}
