//! Namespaces that are going: their content goes first, pods before everything else.
//!
//! ```text
//!   going ──▶ pods deleted ──▶ no pods left ──▶ everything else deleted ──▶ nothing left ──▶ finalized
//!                └── conditions say what remains, and why ──┘                (as the API server itself says)
//! ```

mod conditions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Controller;
use super::events::EVENTS;
use super::index::{Change, Index};
use super::item::PODS;
use super::kinds::{KindFacts, Kinds};
use super::plan::{Effect, Guard, Outcome, Plan, Step};
use crate::client::{Gvr, Id};

/// Namespaces.
pub static NAMESPACES: Gvr = Gvr::of("", "v1", "namespaces");
/// What keeps a namespace until it is empty.
const FINALIZER: &str = "kubernetes";
/// What the index did not see yet has come by then.
const AGAIN: Duration = Duration::from_secs(1);

/// The controller of namespaces.
pub struct Namespaces {
    kinds: Kinds,
}

impl Namespaces {
    /// A controller that clears away objects of these kinds.
    pub fn new(kinds: Kinds) -> Self {
        Self { kinds }
    }
}

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn queue(&self) -> &'static str {
        "namespace"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        None
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == NAMESPACES {
            if change.new.as_ref().is_some_and(|namespace| namespace.deleting) {
                wake(item.id.clone());
            }
        } else if let Some(namespace) = index.get(&NAMESPACES, "", &item.id.namespace)
            && namespace.deleting
        {
            wake(namespace.id.clone());
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let Some(item) = index.at(key).filter(|item| item.deleting) else { return Plan::default() };
        let object = item.value();
        let finalizers = object["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Plan::default();
        }
        let left = Left::of(index, &key.name, self.kinds.deletable());
        let mut plan = Plan { steps: left.clear(&key.name), ..Plan::default() };
        if left.content.is_empty() {
            let mut done = object.clone();
            done["spec"]["finalizers"] = finalizers.into_iter().filter(|other| other != FINALIZER).collect();
            // Its status may be written in between; what is meant is the one of this uid.
            if let Some(metadata) = done["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
            let finalize = Effect::Replace { id: key.clone(), subresource: "finalize", object: done };
            let guards = left.kinds.iter().map(|kind| Guard::Empty(kind.gvr, key.name.clone()));
            plan.one(Effect::If(guards.collect(), Box::new(finalize)));
            plan.again = Some(AGAIN);
            return plan;
        }
        let id = key.clone();
        plan.then = Some(Box::new(move |outcome: &Outcome| {
            let status = conditions::update(&object["status"], &left, &outcome.failures, now);
            let replace = |status| {
                let mut object = object.clone();
                object["status"] = status;
                Effect::Replace { id, subresource: "status", object }
            };
            status.map(replace).into_iter().collect()
        }));
        plan
    }
}

/// What is left in a namespace.
struct Left {
    kinds: Vec<KindFacts>,
    /// How many objects of each kind, and how many of them nobody deleted yet.
    content: BTreeMap<Gvr, (usize, Vec<(Id, String)>)>,
    /// How many objects each finalizer keeps.
    finalizers: BTreeMap<String, usize>,
}

impl Left {
    fn of(index: &Index, namespace: &str, kinds: Vec<KindFacts>) -> Self {
        let mut left = Self { kinds, content: BTreeMap::new(), finalizers: BTreeMap::new() };
        let pods = index.in_namespace(&PODS, namespace).next().is_some();
        // As long as there are pods, they may need what else there is.
        let kinds = left.kinds.iter().filter(|kind| !pods || kind.gvr == PODS);
        for kind in kinds {
            let mut count = 0;
            let mut live = Vec::new();
            for item in index.in_namespace(&kind.gvr, namespace) {
                count += 1;
                if !item.deleting {
                    live.push((item.id.clone(), item.uid.clone()));
                }
                for finalizer in &item.finalizers {
                    *left.finalizers.entry(finalizer.clone()).or_default() += 1;
                }
            }
            if count > 0 {
                left.content.insert(kind.gvr, (count, live));
            }
        }
        left
    }

    /// Deletes what nobody deleted yet. Events are not in the index: they go at last.
    fn clear(&self, namespace: &str) -> Vec<Step> {
        let mut effects = Vec::new();
        for kind in &self.kinds {
            let all = Effect::DeleteAll { kind: kind.gvr, namespace: namespace.to_owned() };
            let live = self.content.get(&kind.gvr).map_or(&[][..], |(_, live)| live);
            if kind.gvr == EVENTS {
                effects.extend(self.content.is_empty().then_some(all));
            } else if kind.deletes_collections {
                effects.extend((!live.is_empty()).then_some(all));
            } else {
                effects.extend(live.iter().map(|(id, uid)| {
                    let (id, uid, propagation) = (id.clone(), uid.clone(), Some("Background"));
                    Effect::Delete { id, uid, revision: None, propagation, grace: None }
                }));
            }
        }
        if effects.is_empty() { Vec::new() } else { vec![Step::Together(effects)] }
    }
}
