//! Pods that nobody takes away: because their node is gone or out of service, because they never had one, or because
//! there are too many of those that are over.
//!
//! ```text
//!   over 12,500 pods that are over            ──▶ the oldest go, those that were evicted before the others
//!   going, and without a node                 ──▶ gone at once
//!   going, on a node that is out of service   ──▶ failed, then gone at once
//!   on a node that is not there for 40 s      ──▶ failed, then gone at once (as the API server itself says)
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api_objects::time;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Controller;
use super::index::{Change, Index};
use super::item::{Item, PODS};
use super::node::NODES;
use super::plan::{Effect, Guard, Plan, Step};
use crate::client::{Gvr, Id, PatchType};

/// So many pods that are over may stay.
const MOST: usize = 12_500;
/// They are counted so often.
const COUNT: Duration = Duration::from_secs(20);
/// A node that is not there is waited for so long.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);
/// So many pods are dealt with at once.
const BURST: usize = 500;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Takes pods away.
#[derive(Default)]
pub struct Pods {
    /// Since when nodes are missing.
    missing: Mutex<HashMap<String, Timestamp>>,
}

/// The key under which pods that are over are counted.
fn everything() -> Id {
    Id::new(&PODS, "", "")
}

impl Controller for Pods {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn queue(&self) -> &'static str {
        "orphaned_pods_nodes"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![NODES, PODS])
    }

    fn start(&self) -> Vec<Id> {
        vec![everything()]
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == NODES {
            if change.new.as_deref().is_none_or(out_of_service) {
                wake(item.id.clone());
            }
            return;
        }
        let Some(pod) = change.new.as_ref().filter(|item| item.id.kind == PODS) else { return };
        let node = pod.pod.as_ref().map_or("", |facts| facts.node.as_str());
        match index.get(&NODES, "", node) {
            _ if node.is_empty() && pod.deleting => wake(pod.id.clone()),
            None if !node.is_empty() => wake(Id::new(&NODES, "", node)),
            Some(there) if pod.deleting && out_of_service(there) => wake(there.id.clone()),
            _ => {}
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        if key.kind == NODES {
            self.of_node(index, key, now)
        } else if *key == everything() {
            over(index, now)
        } else {
            let pod = index.at(key).filter(|pod| pod.deleting && node_of(pod).is_empty());
            remove(pod.into_iter(), None, None, now)
        }
    }
}

impl Pods {
    fn of_node(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let pods = index.on_node(&key.name);
        if let Some(node) = index.at(key) {
            missing.remove(&key.name);
            let going = pods.filter(|pod| pod.deleting && out_of_service(node));
            return remove(going, None, None, now);
        }
        let mut pods = pods.peekable();
        if pods.peek().is_none() {
            missing.remove(&key.name);
            return Plan::default();
        }
        let since = *missing.entry(key.name.clone()).or_insert(now);
        if let Ok(left) = Duration::try_from(QUARANTINE - now.duration_since(since))
            && !left.is_zero()
        {
            return Plan { again: Some(left), ..Plan::default() };
        }
        remove(pods, Some("PodGC: node no longer exists"), Some(Guard::Absent(key.clone())), now)
    }
}

fn node_of(pod: &Item) -> &str {
    pod.pod.as_ref().map_or("", |facts| facts.node.as_str())
}

fn out_of_service(node: &Item) -> bool {
    node.node.as_ref().is_some_and(|facts| {
        !facts.is_ready() && facts.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
    })
}

/// Those that are over and too many.
fn over(index: &Index, now: Timestamp) -> Plan {
    let over = index.all(&PODS).filter(|pod| pod.pod.as_ref().is_some_and(|facts| facts.is_over()));
    let mut pods: Vec<(bool, &Arc<Item>)> = over.map(|pod| (false, pod)).collect();
    let excess = pods.len().saturating_sub(MOST);
    if excess > 0 {
        for (kept, pod) in &mut pods {
            *kept = pod.value()["status"]["reason"] != "Evicted";
        }
        pods.sort_by(|(a_kept, a), (b_kept, b)| {
            a_kept.cmp(b_kept).then(a.created.cmp(&b.created)).then_with(|| a.id.name.cmp(&b.id.name))
        });
    }
    let mut plan = remove(pods.into_iter().take(excess).map(|(_, pod)| pod), None, None, now);
    plan.again = Some(COUNT);
    plan
}

/// Takes pods away; one that may still run for all that is known has failed first. `because` is said of those of which
/// it is the node's doing.
fn remove<'a>(
    pods: impl Iterator<Item = &'a Arc<Item>>,
    because: Option<&str>,
    guard: Option<Guard>,
    now: Timestamp,
) -> Plan {
    let pods: Vec<_> = pods.take(BURST).collect();
    let guarded = |effect: Effect| match &guard {
        Some(guard) => Effect::If(vec![guard.clone()], Box::new(effect)),
        None => effect,
    };
    let runs = pods.iter().filter(|pod| !pod.pod.as_ref().is_some_and(|facts| facts.is_over()));
    let fail = runs.map(|pod| {
        let mut patch = json!({"metadata": {"uid": pod.uid}, "status": {"phase": "Failed",
            "observedGeneration": pod.generation}});
        if let Some(message) = because {
            patch["status"]["conditions"] = conditions(pod, message, now);
        }
        let (id, subresource, how) = (pod.id.clone(), "status", PatchType::Strategic);
        guarded(Effect::Patch { id, subresource, how, patch })
    });
    let delete = pods.iter().map(|pod| {
        let (id, uid) = (pod.id.clone(), pod.uid.clone());
        guarded(Effect::Delete { id, uid, revision: None, propagation: None, grace: Some(0) })
    });
    let steps: [Vec<Effect>; 2] = [fail.collect(), delete.collect()];
    let steps = steps.into_iter().filter(|effects| !effects.is_empty()).map(Step::Together);
    let mut plan = Plan { steps: steps.collect(), ..Plan::default() };
    // Who is left is dealt with next.
    plan.again = (pods.len() == BURST).then_some(Duration::ZERO);
    plan
}

fn conditions(pod: &Item, message: &str, now: Timestamp) -> Value {
    json!([{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": message,
        "lastTransitionTime": time::format(now), "observedGeneration": pod.generation}])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn put(index: &mut Index, kind: &Gvr, object: &Value) -> Change {
        index.put(Arc::new(Item::of(kind, object).unwrap()))
    }

    fn pod(name: &str, node: &str, going: bool, phase: &str) -> Value {
        let deleted = if going { json!("2026-01-01T00:00:00Z") } else { Value::Null };
        json!({"metadata": {"name": name, "namespace": "n", "uid": name, "deletionTimestamp": deleted,
            "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"nodeName": node}, "status": {"phase": phase}})
    }

    fn woken(pods: &Pods, index: &Index, change: &Change) -> Vec<Id> {
        let mut woken = Vec::new();
        pods.wake(index, change, &mut |id| woken.push(id));
        woken
    }

    /// What is patched, and what is deleted at once.
    fn done(plan: &Plan) -> (Vec<Value>, Vec<String>) {
        let (mut patched, mut deleted) = (Vec::new(), Vec::new());
        for step in &plan.steps {
            let Step::Together(effects) = step else { panic!("one by one") };
            for effect in effects {
                match effect {
                    Effect::If(_, inner) => match &**inner {
                        Effect::Patch { patch, .. } => patched.push(patch.clone()),
                        Effect::Delete { id, grace: Some(0), .. } => deleted.push(id.name.clone()),
                        other => panic!("{other:?}"),
                    },
                    Effect::Patch { patch, .. } => patched.push(patch.clone()),
                    Effect::Delete { id, grace: Some(0), .. } => deleted.push(id.name.clone()),
                    other => panic!("{other:?}"),
                }
            }
        }
        (patched, deleted)
    }

    #[test]
    fn who_goes_without_a_node_is_gone_at_once() {
        let (pods, mut index) = (Pods::default(), Index::default());
        let change = put(&mut index, &PODS, &pod("p", "", true, "Pending"));
        let keys = woken(&pods, &index, &change);
        let (patched, deleted) = done(&pods.reconcile(&index, &keys[0], at(0)));
        assert_eq!((&patched[0]["status"]["phase"], &deleted[..]), (&json!("Failed"), &["p".to_owned()][..]));
        let change = put(&mut index, &PODS, &pod("q", "", false, "Pending"));
        assert!(woken(&pods, &index, &change).is_empty());
    }

    #[test]
    fn pods_of_a_node_that_is_gone_are_gone_after_a_while() {
        let (pods, mut index) = (Pods::default(), Index::default());
        let node = json!({"metadata": {"name": "a", "uid": "a"}});
        put(&mut index, &NODES, &node);
        let change = put(&mut index, &PODS, &pod("p", "a", false, "Running"));
        assert!(woken(&pods, &index, &change).is_empty());
        let key = Id::new(&NODES, "", "a");
        let change = index.remove(&key, 9).unwrap();
        assert_eq!(woken(&pods, &index, &change), std::slice::from_ref(&key));
        let plan = pods.reconcile(&index, &key, at(0));
        assert_eq!((plan.steps.len(), plan.again), (0, Some(Duration::from_secs(40))));
        let plan = pods.reconcile(&index, &key, at(40));
        let (patched, deleted) = done(&plan);
        assert_eq!(patched[0]["status"]["conditions"][0]["message"], "PodGC: node no longer exists");
        assert_eq!(deleted, ["p"]);
        let Step::Together(effects) = &plan.steps[0] else { panic!() };
        assert!(matches!(&effects[0], Effect::If(guards, _) if guards[..] == [Guard::Absent(key.clone())]));
        // A node that comes back in time keeps its pods, and has its whole time the next time.
        put(&mut index, &NODES, &node);
        assert!(pods.reconcile(&index, &key, at(41)).steps.is_empty());
        index.remove(&key, 10);
        assert!(pods.reconcile(&index, &key, at(42)).steps.is_empty());
    }

    #[test]
    fn pods_that_go_on_a_node_out_of_service_are_gone_at_once() {
        let (pods, mut index) = (Pods::default(), Index::default());
        let node = json!({"metadata": {"name": "a", "uid": "a"}, "spec": {"taints": [
            {"key": OUT_OF_SERVICE, "effect": "NoExecute"}]}});
        put(&mut index, &NODES, &node);
        put(&mut index, &PODS, &pod("stays", "a", false, "Running"));
        let change = put(&mut index, &PODS, &pod("p", "a", true, "Running"));
        let keys = woken(&pods, &index, &change);
        assert_eq!(done(&pods.reconcile(&index, &keys[0], at(0))).1, ["p"]);
    }

    #[test]
    fn of_those_that_are_over_the_oldest_go() {
        let (pods, mut index) = (Pods::default(), Index::default());
        for number in 0..MOST + 2 {
            let mut pod = pod(&format!("p{number}"), "a", false, "Succeeded");
            pod["metadata"]["creationTimestamp"] = time::format(at(1 + number as i64)).into();
            put(&mut index, &PODS, &pod);
        }
        let mut evicted = pod("evicted", "a", false, "Failed");
        evicted["status"]["reason"] = "Evicted".into();
        evicted["metadata"]["creationTimestamp"] = time::format(at(1_000_000)).into();
        put(&mut index, &PODS, &evicted);
        let plan = pods.reconcile(&index, &everything(), at(0));
        assert_eq!(done(&plan), (Vec::new(), vec!["evicted".to_owned(), "p0".to_owned(), "p1".to_owned()]));
        assert_eq!(plan.again, Some(COUNT));
    }
}
