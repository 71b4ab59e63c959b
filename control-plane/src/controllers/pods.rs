//! What controllers ask of a pod: whether it counts, whether it is ready, and for how long.

use api_objects::time;
use jiff::Timestamp;
use serde::Deserialize;

/// Makes a pod go sooner or later than its equals.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The facts of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Where it runs; empty as long as nobody decided.
    pub node: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: String,
    /// It is ready.
    pub ready: bool,
    /// Somebody is about to make it go.
    pub disrupted: bool,
    /// Since when it is ready, or is not.
    pub since: Option<Timestamp>,
    /// Its annotation says how dear it is.
    pub deletion_cost: i32,
    /// Restarts of the container that was restarted most.
    pub restarts: i64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Pod {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<Container>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    r#type: String,
    status: String,
    last_transition_time: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    restart_count: i64,
}

impl PodFacts {
    /// Reads them from a pod's JSON.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let pod: Pod = serde_json::from_slice(json)?;
        let (spec, status) = (pod.spec.unwrap_or_default(), pod.status.unwrap_or_default());
        let mut conditions = status.conditions.unwrap_or_default();
        let holds =
            |condition: &Condition| condition.r#type == "DisruptionTarget" && condition.status == "True";
        let disrupted = conditions.iter().any(holds);
        let ready = conditions.iter().position(|condition| condition.r#type == "Ready");
        let ready = ready.map(|at| conditions.swap_remove(at));
        let cost = pod.metadata.annotations.and_then(|mut annotations| annotations.remove(DELETION_COST));
        Ok(Self {
            node: spec.node_name,
            phase: status.phase,
            ready: ready.as_ref().is_some_and(|ready| ready.status == "True"),
            disrupted,
            since: ready.and_then(|ready| ready.last_transition_time).as_deref().and_then(time::parse),
            deletion_cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
            restarts: status
                .container_statuses
                .into_iter()
                .flatten()
                .map(|container| container.restart_count)
                .max()
                .unwrap_or(0),
        })
    }

    /// It ran to its end.
    pub fn is_over(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// When it will have been ready for so many seconds; none when it is not ready.
    pub fn available_at(&self, seconds: i64) -> Option<Timestamp> {
        if !self.ready {
            return None;
        }
        if seconds == 0 {
            return Some(Timestamp::MIN);
        }
        self.since?.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_available_once_it_was_ready_for_long_enough() {
        let pod = |ready: &str| {
            let pod = json!({"metadata": {"annotations": {DELETION_COST: "7"}}, "spec": {"nodeName": "n"},
                "status": {"phase": "Running", "containerStatuses": [{"restartCount": 1}, {"restartCount": 3}],
                    "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
            PodFacts::read(pod.to_string().as_bytes()).unwrap()
        };
        let ready = pod("True");
        assert_eq!((ready.deletion_cost, ready.restarts, ready.node.as_str()), (7, 3, "n"));
        assert_eq!(ready.available_at(0), Some(Timestamp::MIN));
        assert_eq!(ready.available_at(5), time::parse("2026-01-01T00:00:05Z"));
        assert_eq!(pod("False").available_at(0), None);
        assert_eq!(PodFacts::read(b"{}").unwrap(), PodFacts::default());
    }
}
