//! Pods that were to be disrupted and were not: after two minutes they are the target of a disruption no longer.
//!
//! What a kubelet says of its own doing stays: it may take as long as the pod needs.

use std::time::Duration;

use api_objects::time;
use jiff::Timestamp;
use serde_json::json;

use super::{MOMENT, PATIENCE};
use crate::client::{Gvr, Id, PatchType};
use crate::controllers::Controller;
use crate::controllers::conditions;
use crate::controllers::index::{Change, Index};
use crate::controllers::item::PODS;
use crate::controllers::plan::{Effect, Plan};

const TARGET: &str = "DisruptionTarget";

/// Takes the condition back.
pub struct Stale;

impl Controller for Stale {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn queue(&self) -> &'static str {
        "stale_pod_disruption"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![PODS])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(pod) = &change.new else { return };
        if pod.pod.as_ref().is_some_and(|facts| facts.disrupted && !facts.is_over()) && !pod.deleting {
            wake(pod.id.clone());
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(pod) = index.at(key).filter(|pod| !pod.deleting) else { return plan };
        let object = pod.value();
        let Some(found) = conditions::get(&object["status"], TARGET) else { return plan };
        let over = pod.pod.as_ref().is_none_or(|facts| facts.is_over());
        if found["status"] != "True" || found["reason"] == "TerminationByKubelet" || over {
            return plan;
        }
        let since = found["lastTransitionTime"].as_str().and_then(time::parse).unwrap_or(now);
        if let Ok(left) = Duration::try_from(PATIENCE - now.duration_since(since)) {
            plan.again = Some(left + MOMENT);
            return plan;
        }
        let condition = json!({"type": TARGET, "status": "False", "reason": null, "message": null,
            "lastTransitionTime": time::format(now), "observedGeneration": pod.generation});
        let patch = json!({"metadata": {"uid": pod.uid, "resourceVersion": pod.revision.to_string()},
            "status": {"conditions": [condition]}});
        plan.one(Effect::Patch { id: key.clone(), subresource: "status", how: PatchType::Strategic, patch });
        plan
    }
}
