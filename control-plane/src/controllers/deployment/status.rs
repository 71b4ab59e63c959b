//! What a Deployment says of itself.

use std::time::Duration;

use api_objects::time;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::numbers::Numbers;
use super::sets::Set;
use crate::controllers::conditions;

/// Whether a rollout gets on.
pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";
/// The rollout came to its end.
const COMPLETE: &str = "NewReplicaSetAvailable";
/// It did not get on for too long.
pub(super) const LATE: &str = "ProgressDeadlineExceeded";
/// So long nothing may happen where nobody says how long; a deadline of this is none.
const NO_DEADLINE: i64 = i32::MAX as i64;

/// A new condition, with the time at which it came to be true.
pub(super) fn condition(name: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    json!({"type": name, "status": status, "reason": reason, "message": message,
        "lastUpdateTime": time::format(now), "lastTransitionTime": time::format(now)})
}

/// Writes a condition down, unless it says so already.
pub(super) fn say(status: &mut Value, mut condition: Value) {
    let name = condition["type"].as_str().unwrap_or_default().to_owned();
    if let Some(before) = conditions::get(status, &name) {
        if before["status"] == condition["status"] && before["reason"] == condition["reason"] {
            return;
        }
        if before["status"] == condition["status"] {
            condition["lastTransitionTime"] = before["lastTransitionTime"].clone();
        }
    }
    conditions::put(status, condition);
}

/// The seconds within which something must happen to a rollout.
pub(super) fn deadline(spec: &Value) -> Option<i64> {
    spec["progressDeadlineSeconds"].as_i64().filter(|seconds| *seconds != NO_DEADLINE)
}

/// Counts the pods of all sets.
pub(super) fn count(
    before: &Value,
    generation: i64,
    numbers: Numbers,
    new: Option<&Set>,
    all: &[&Set],
    now: Timestamp,
) -> Value {
    let sum = |field: &str| all.iter().map(|set| set.status(field)).sum::<i64>();
    let (replicas, available) = (sum("replicas"), sum("availableReplicas"));
    let asked: i64 = all.iter().map(|set| set.replicas()).sum();
    let mut status = if before.is_object() { before.clone() } else { json!({}) };
    status["observedGeneration"] = generation.into();
    let counts = [
        ("replicas", replicas),
        ("updatedReplicas", new.map_or(0, |new| new.status("replicas"))),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", (asked - available).max(0)),
    ];
    for (field, count) in counts {
        match (count, status.as_object_mut()) {
            (0, Some(status)) => drop(status.remove(field)),
            _ => status[field] = count.into(),
        }
    }
    status["terminatingReplicas"] = sum("terminatingReplicas").into();
    let (yes, reason, message) = if available >= numbers.least() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    say(&mut status, condition(AVAILABLE, yes, reason, message, now));
    status
}

/// Everything is as it is asked for.
pub(super) fn is_complete(status: &Value, numbers: Numbers, generation: i64) -> bool {
    let is = |field: &str| status[field].as_i64().unwrap_or(0) == numbers.replicas;
    is("updatedReplicas")
        && is("replicas")
        && is("availableReplicas")
        && status["observedGeneration"].as_i64().unwrap_or(0) >= generation
}

/// More is there of the new, or less of the old, than before.
fn gets_on(before: &Value, status: &Value) -> bool {
    let number = |status: &Value, field: &str| status[field].as_i64().unwrap_or(0);
    let old = |status: &Value| number(status, "replicas") - number(status, "updatedReplicas");
    let more = |field: &str| number(status, field) > number(before, field);
    more("updatedReplicas") || old(status) < old(before) || more("readyReplicas") || more("availableReplicas")
}

/// The time at which the rollout is late, if nothing happens until then.
fn late_at(progressing: &Value, seconds: i64) -> Option<Timestamp> {
    let since = progressing["lastUpdateTime"].as_str().and_then(time::parse)?;
    since.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// What a rollout is about.
pub(super) struct About<'a> {
    /// The Deployment's name.
    pub name: &'a str,
    /// Its spec.
    pub spec: &'a Value,
    /// Its numbers.
    pub numbers: Numbers,
    /// What is asked of it changed so often.
    pub generation: i64,
    /// Its status before.
    pub before: &'a Value,
}

/// Says in the status whether the rollout gets on.
pub(super) fn progress(
    about: &About<'_>,
    status: &mut Value,
    new: Option<&Set>,
    all: &[&Set],
    now: Timestamp,
) {
    let seconds = deadline(about.spec);
    let current = conditions::get(status, PROGRESSING).cloned();
    if seconds.is_none() {
        conditions::remove(status, PROGRESSING);
    }
    let was_complete = status["replicas"] == status["updatedReplicas"]
        && current.as_ref().is_some_and(|current| current["reason"] == COMPLETE);
    if let Some(seconds) = seconds.filter(|_| !was_complete) {
        let who = match new {
            Some(new) => format!("ReplicaSet {:?}", new.id.name),
            None => format!("Deployment {:?}", about.name),
        };
        if is_complete(status, about.numbers, about.generation) {
            let message = format!("{who} has successfully progressed.");
            say(status, condition(PROGRESSING, "True", COMPLETE, &message, now));
        } else if gets_on(about.before, status) {
            let message = format!("{who} is progressing.");
            let mut condition = condition(PROGRESSING, "True", "ReplicaSetUpdated", &message, now);
            if let Some(current) = current.as_ref().filter(|current| current["status"] == "True") {
                condition["lastTransitionTime"] = current["lastTransitionTime"].clone();
            }
            conditions::put(status, condition);
        } else if let Some(current) = &current
            && current["reason"] != COMPLETE
            && (current["reason"] == LATE || late_at(current, seconds).is_some_and(|late| late < now))
        {
            let message = format!("{who} has timed out progressing.");
            say(status, condition(PROGRESSING, "False", LATE, &message, now));
        }
    }
    let failure = |set: &Set| conditions::get(&set.object["status"], FAILURE).cloned();
    match new.and_then(failure).or_else(|| all.iter().find_map(|set| failure(set))) {
        Some(mut failure) => {
            failure["lastUpdateTime"] = failure["lastTransitionTime"].clone();
            say(status, failure);
        }
        None => conditions::remove(status, FAILURE),
    }
}

/// When to look whether the rollout is late.
pub(super) fn look_again(about: &About<'_>, status: &Value, now: Timestamp) -> Option<Duration> {
    let current = conditions::get(status, PROGRESSING)?;
    let seconds = deadline(about.spec)?;
    if is_complete(status, about.numbers, about.generation) || current["reason"] == LATE {
        return None;
    }
    let left = Duration::try_from(late_at(current, seconds)?.duration_since(now)).unwrap_or_default();
    // Times have whole seconds.
    Some(left + Duration::from_secs(1))
}
