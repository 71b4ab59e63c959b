//! PodDisruptionBudgets: how many of the pods that they are about may go now.
//!
//! ```text
//!   a pod is evicted ──▶ the API server takes one disruption and notes the pod in the budget's status
//!   noted pods       ──▶ count as gone until they are, or until two minutes are over
//!   healthy pods − wanted pods ──▶ disruptions that are allowed; none where it cannot be told how many are expected
//!   a pod that was to go and did not for two minutes ──▶ is the target of a disruption no longer ([`stale`])
//! ```

mod expected;
pub mod stale;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use api_objects::time;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use self::expected::Expected;
use super::Controller;
use super::conditions;
use super::index::{Change, Index};
use super::item::{Item, PODS};
use super::plan::{Effect, Plan, Telling, reference};
use crate::client::{Gvr, Id};

/// Budgets.
static BUDGETS: Gvr = Gvr::of("policy", "v1", "poddisruptionbudgets");
/// A pod that was to go is waited for so long.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);
/// More than the clock's grain.
const MOMENT: Duration = Duration::from_millis(10);
const ALLOWED: &str = "DisruptionAllowed";

/// The controller of budgets.
pub struct Budgets;

impl Controller for Budgets {
    fn name(&self) -> &'static str {
        // The source of its Events; the account is another one.
        "controllermanager"
    }

    fn account(&self) -> &'static str {
        "disruption-controller"
    }

    fn queue(&self) -> &'static str {
        "disruption"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some([&[BUDGETS, PODS], &expected::SCALED[..]].concat())
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == BUDGETS {
            wake(item.id.clone());
        } else if item.id.kind == PODS {
            for budget in index.in_namespace(&BUDGETS, &item.id.namespace) {
                let about = |pod: &Option<Arc<Item>>| pod.as_ref().is_some_and(|pod| budget.chooses(pod));
                if about(&change.old) || about(&change.new) {
                    wake(budget.id.clone());
                }
            }
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let Some(budget) = index.at(key) else { return Plan::default() };
        let mut object = budget.value();
        let before = object["status"].take();
        let pods: Vec<_> =
            index.in_namespace(&PODS, &key.namespace).filter(|pod| budget.chooses(pod)).cloned().collect();
        let mut plan = Plan::default();
        let status = match Expected::of(index, &object["spec"], &pods) {
            Ok(expected) => {
                let disrupted = Disrupted::of(&before["disruptedPods"], budget, &pods, now);
                plan.steps.extend(disrupted.late.into_iter().map(super::plan::Step::One));
                plan.again = disrupted.again;
                status(&before, budget, &expected, &pods, disrupted.pods, now)
            }
            Err(why) => failed(&before, &why, now),
        };
        if status != before {
            plan.steps.extend(tellings(budget, &object, &pods).into_iter().map(super::plan::Step::One));
            object["status"] = status;
            plan.one(Effect::Replace { id: key.clone(), subresource: "status", object });
        }
        plan
    }
}

/// The pods that are about to go because of evictions.
struct Disrupted {
    /// Their names, with the time of the eviction.
    pods: Map<String, Value>,
    /// What is to be told of those that did not go.
    late: Vec<Effect>,
    /// When the next one is late.
    again: Option<Duration>,
}

impl Disrupted {
    fn of(noted: &Value, budget: &Item, pods: &[Arc<Item>], now: Timestamp) -> Self {
        let mut found = Self { pods: Map::new(), late: Vec::new(), again: None };
        for pod in pods.iter().filter(|pod| !pod.deleting) {
            let Some(noted) = noted.get(&pod.id.name) else { continue };
            let at = noted.as_str().and_then(time::parse).unwrap_or(now);
            let left = PATIENCE - now.duration_since(at);
            match Duration::try_from(left) {
                Ok(left) => {
                    found.pods.insert(pod.id.name.clone(), noted.clone());
                    found.again = found.again.into_iter().chain([left + MOMENT]).min();
                }
                Err(_) => found.late.push(Effect::Tell(Telling {
                    about: reference(pod, "Pod"),
                    warning: true,
                    reason: "NotDeleted",
                    message: format!(
                        "Pod was expected by PDB {}/{} to be deleted but it wasn't",
                        budget.id.namespace, budget.id.name
                    ),
                })),
            }
        }
        found
    }
}

fn status(
    before: &Value,
    budget: &Item,
    expected: &Expected,
    pods: &[Arc<Item>],
    disrupted: Map<String, Value>,
    now: Timestamp,
) -> Value {
    let healthy = pods.iter().filter(|pod| {
        let ready = pod.pod.as_ref().is_some_and(|facts| facts.ready);
        ready && !pod.deleting && !disrupted.contains_key(&pod.id.name)
    });
    let healthy = i64::try_from(healthy.count()).unwrap_or(i64::MAX);
    // Where no pod is expected nobody has looked at the first ones yet.
    let allowed = if expected.pods > 0 { (healthy - expected.healthy).max(0) } else { 0 };
    let mut status = json!({
        "currentHealthy": healthy,
        "desiredHealthy": expected.healthy,
        "expectedPods": expected.pods,
        "disruptionsAllowed": allowed,
        "observedGeneration": budget.generation,
    });
    if !disrupted.is_empty() {
        status["disruptedPods"] = disrupted.into();
    }
    if let Some(conditions) = before.get("conditions") {
        status["conditions"] = conditions.clone();
    }
    let (said, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    say(&mut status, said, reason, "", budget.generation, now);
    status
}

/// Nothing may go where it cannot be told what is expected.
fn failed(before: &Value, why: &str, now: Timestamp) -> Value {
    let mut status = if before.is_object() { before.clone() } else { json!({}) };
    // The API wants all of them.
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        if status[field].is_null() || field == "disruptionsAllowed" {
            status[field] = 0.into();
        }
    }
    let generation = status["observedGeneration"].as_i64().unwrap_or(0);
    say(&mut status, "False", "SyncFailed", why, generation, now);
    status
}

/// Says whether disruptions are allowed, and since when that is so.
fn say(status: &mut Value, said: &str, reason: &str, message: &str, generation: i64, now: Timestamp) {
    let same = conditions::get(status, ALLOWED).filter(|condition| condition["status"] == said);
    let since = same.map_or_else(|| time::format(now).into(), |same| same["lastTransitionTime"].clone());
    let mut condition = json!({"type": ALLOWED, "status": said, "reason": reason, "message": message,
        "lastTransitionTime": since});
    if generation != 0 {
        condition["observedGeneration"] = generation.into();
    }
    conditions::put_in_place(status, condition);
}

fn tellings(budget: &Item, object: &Value, pods: &[Arc<Item>]) -> Vec<Effect> {
    let tell = |warning, reason, message| {
        let about = reference(budget, "PodDisruptionBudget");
        Effect::Tell(Telling { about, warning, reason, message })
    };
    let mut effects = Vec::new();
    if pods.is_empty() {
        effects.push(tell(false, "NoPods", "No matching pods found".to_owned()));
    }
    let scaled = expected::needs_scale(&object["spec"]);
    if scaled && pods.iter().any(|pod| pod.controller().is_none()) {
        let message = "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the \
             status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for \
             these pods please set \".spec.minAvailable\" field of the PDB to an integer value.";
        effects.push(tell(true, "UnmanagedPods", message.to_owned()));
    }
    effects
}
