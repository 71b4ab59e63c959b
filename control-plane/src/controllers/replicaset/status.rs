//! What a ReplicaSet says of itself.

use std::sync::Arc;
use std::time::Duration;

use api_objects::selector::LabelSelector;
use api_objects::time;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::controllers::conditions;
use crate::controllers::item::Item;
use crate::controllers::plan::{Effect, Outcome};

const FAILURE: &str = "ReplicaFailure";

fn min_ready(object: &Value) -> i64 {
    object["spec"]["minReadySeconds"].as_i64().unwrap_or(0)
}

/// When the next pod will have been ready for long enough.
pub(super) fn due(object: &Value, pods: &[Arc<Item>], now: Timestamp) -> Option<Duration> {
    let seconds = min_ready(object);
    let times = pods.iter().filter_map(|pod| pod.pod.as_ref()?.available_at(seconds));
    let next = times.filter(|at| *at > now).min()?;
    Duration::try_from(next.duration_since(now)).ok()
}

/// Writes the status, if it is another one.
pub(super) fn update(
    set: &Item,
    mut object: Value,
    pods: &[Arc<Item>],
    going: usize,
    asked: usize,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<Effect> {
    let labels = LabelSelector::from_map(&object["spec"]["template"]["metadata"]["labels"]);
    let seconds = min_ready(&object);
    let count = |counts: &dyn Fn(&Item) -> bool| pods.iter().filter(|pod| counts(pod)).count();
    let labelled = count(&|pod| labels.matches(|name| pod.label(name)));
    let ready = count(&|pod| pod.pod.as_ref().is_some_and(|facts| facts.ready));
    let available = count(&|pod| {
        let at = pod.pod.as_ref().and_then(|facts| facts.available_at(seconds));
        at.is_some_and(|at| at <= now)
    });
    let before = object["status"].take();
    let mut status = if before.is_object() { before.clone() } else { json!({}) };
    status["replicas"] = pods.len().into();
    status["terminatingReplicas"] = going.into();
    status["observedGeneration"] = set.generation.into();
    for (field, count) in
        [("fullyLabeledReplicas", labelled), ("readyReplicas", ready), ("availableReplicas", available)]
    {
        match (count, status.as_object_mut()) {
            (0, Some(status)) => drop(status.remove(field)),
            _ => status[field] = count.into(),
        }
    }
    match (outcome.failures.first(), conditions::get(&status, FAILURE)) {
        (Some(why), None) => {
            let reason = if pods.len() < asked { "FailedCreate" } else { "FailedDelete" };
            let condition = json!({"type": FAILURE, "status": "True", "reason": reason, "message": why.message,
                "lastTransitionTime": time::format(now)});
            conditions::put(&mut status, condition);
        }
        (None, Some(_)) => conditions::remove(&mut status, FAILURE),
        _ => {}
    }
    if status == before {
        return None;
    }
    object["status"] = status;
    Some(Effect::Replace { id: set.id.clone(), subresource: "status", object })
}
