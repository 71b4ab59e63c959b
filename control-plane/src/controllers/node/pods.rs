//! Pods of nodes of which nothing is known: they are ready no longer.
//!
//! Who does that is woken when a node falls silent and when a pod comes to a node, and not whenever the two do not fit:
//! a node that lives and is not ready says itself how its pods are, and would be contradicted for ever.

use std::sync::Arc;

use api_objects::time;
use jiff::Timestamp;
use serde_json::json;

use super::{ACCOUNT, NODES, node_of};
use crate::client::{Gvr, Id, PatchType};
use crate::controllers::Controller;
use crate::controllers::index::{Change, Index};
use crate::controllers::item::{Item, PODS};
use crate::controllers::plan::{Effect, Outcome, Plan, Telling, reference};

/// Marks pods as not ready.
pub struct Readiness;

fn ready(node: &Option<Arc<Item>>) -> Option<&str> {
    node.as_ref()?.node.as_ref()?.ready()
}

fn place(pod: &Option<Arc<Item>>) -> &str {
    pod.as_ref().and_then(|pod| pod.pod.as_ref()).map_or("", |facts| facts.node.as_str())
}

impl Controller for Readiness {
    fn name(&self) -> &'static str {
        ACCOUNT
    }

    fn queue(&self) -> &'static str {
        "node_lifecycle_controller_pods"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![NODES, PODS])
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = &change.new else { return };
        if item.id.kind == PODS {
            if place(&change.new) != place(&change.old) {
                wake(item.id.clone());
            }
        } else if item.id.kind == NODES
            && ready(&change.old) == Some("True")
            && ready(&change.new) == Some("Unknown")
        {
            index.on_node(&item.id.name).for_each(|pod| wake(pod.id.clone()));
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let Some(pod) = index.at(key) else { return Plan::default() };
        let silent = node_of(index, pod)
            .and_then(|node| node.node.as_ref()?.ready())
            .is_some_and(|ready| ready != "True");
        let mut plan = Plan::default();
        if !silent || !pod.pod.as_ref().is_some_and(|facts| facts.ready) {
            return plan;
        }
        let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": time::format(now)});
        let patch = json!({"metadata": {"uid": pod.uid, "resourceVersion": pod.revision.to_string()},
            "status": {"conditions": [condition]}});
        plan.one(Effect::Patch { id: key.clone(), subresource: "status", how: PatchType::Strategic, patch });
        let telling = Telling {
            about: reference(pod, "Pod"),
            warning: true,
            reason: "NodeNotReady",
            message: "Node is not ready".to_owned(),
        };
        plan.then = Some(Box::new(move |outcome: &Outcome| {
            if outcome.failures.is_empty() { vec![Effect::Tell(telling)] } else { Vec::new() }
        }));
        plan
    }
}
