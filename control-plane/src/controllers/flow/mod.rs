//! PriorityLevelConfigurations and FlowSchemas: those that every cluster has are kept, and a schema says whether its
//! level is there. Who gets a seat is decided elsewhere ([`crate::apiserver::inflight`]), without them.

mod dangling;
pub mod ensure;
mod standard;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

pub use dangling::Dangling;

use super::Controller;
use super::index::{Change, Index};
use super::plan::{Effect, Identity, Plan, Step};
use crate::client::{Gvr, Id};

pub(crate) static LEVELS: Gvr = Gvr::of("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations");
pub(crate) static SCHEMAS: Gvr = Gvr::of("flowcontrol.apiserver.k8s.io", "v1", "flowschemas");
/// Who owns the fields of what every cluster has.
pub(crate) const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
/// Who deletes one of these, to make it anew perhaps, has so long.
const PERIOD: Duration = Duration::from_secs(60);

/// It is the API server's own work, which no account of the cluster may do.
fn server() -> Option<Identity> {
    Some(Identity { name: "system:apiserver".to_owned(), group: "system:masters" })
}

/// Looks every minute whether the levels and schemas are there that every cluster has, and as they should be.
pub struct Standards;

impl Controller for Standards {
    fn name(&self) -> &'static str {
        "priority-and-fairness-config-producer"
    }

    fn identity(&self) -> Option<Identity> {
        server()
    }

    fn agent(&self) -> &'static str {
        PRODUCER
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![LEVELS, SCHEMAS])
    }

    fn start(&self) -> Vec<Id> {
        vec![Id::new(&LEVELS, "", "")]
    }

    fn wake(&self, _index: &Index, _change: &Change, _wake: &mut dyn FnMut(Id)) {}

    fn reconcile(&self, index: &Index, _key: &Id, _now: Timestamp) -> Plan {
        let found = |kind| -> Vec<Value> { index.all(kind).map(|item| item.value()).collect() };
        let due = ensure::plan(&found(&LEVELS), &found(&SCHEMAS));
        let steps = ensure::together(&due).map(|steps| Step::Together(steps.iter().map(effect).collect()));
        Plan { steps: steps.collect(), again: Some(PERIOD), ..Plan::default() }
    }
}

fn effect(step: &ensure::Step) -> Effect {
    match step.clone() {
        ensure::Step::Create(kind, object) => Effect::Create { kind, namespace: String::new(), object },
        ensure::Step::Update(id, object) => Effect::Replace { id, subresource: "", object },
        ensure::Step::Delete { id, uid, revision } => {
            Effect::Delete { id, uid, revision: Some(revision), propagation: None, grace: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::controllers::item::Item;

    #[test]
    fn what_is_missing_is_made_and_looked_at_again_in_a_minute() {
        let mut index = Index::default();
        let now = Timestamp::UNIX_EPOCH;
        let key = &Standards.start()[0];
        let plan = Standards.reconcile(&index, key, now);
        assert_eq!(plan.again, Some(PERIOD));
        let mut made = 0;
        for step in plan.steps {
            let Step::Together(effects) = step else { panic!("{step:?}") };
            for effect in effects {
                let Effect::Create { kind, object, .. } = effect else { panic!("{effect:?}") };
                index.put(Arc::new(Item::of(&kind, &object).unwrap()));
                made += 1;
            }
        }
        assert_eq!(made, 19);
        let plan = Standards.reconcile(&index, key, now);
        assert_eq!((plan.steps, plan.again), (vec![], Some(PERIOD)));
    }
}
