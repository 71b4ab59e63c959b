//! ClusterRoles whose rules are those of others: `admin`, `edit` and `view`, and whoever says so by `aggregationRule`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Controller;
use super::index::{Change, Index};
use super::plan::{Effect, Plan, Step};
use crate::apiserver::auth::rbac::aggregate::stale_rules;
use crate::client::{Gvr, Id, PatchType};

/// ClusterRoles.
static CLUSTER_ROLES: Gvr = Gvr::of("rbac.authorization.k8s.io", "v1", "clusterroles");
const NAME: &str = "clusterrole-aggregation-controller";

/// Gathers the rules. They depend on each other, so that all roles are looked at when one changed.
pub struct Aggregation;

fn all() -> Id {
    Id::new(&CLUSTER_ROLES, "", "")
}

impl Controller for Aggregation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn queue(&self) -> &'static str {
        "ClusterRoleAggregator"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![CLUSTER_ROLES])
    }

    fn start(&self) -> Vec<Id> {
        vec![all()]
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        if change.item().is_some_and(|item| item.id.kind == CLUSTER_ROLES) {
            wake(all());
        }
    }

    fn reconcile(&self, index: &Index, _key: &Id, _now: Timestamp) -> Plan {
        let roles: Vec<Value> = index.all(&CLUSTER_ROLES).map(|role| role.value()).collect();
        let effects = stale_rules(&roles).into_iter().map(|(name, rules)| Effect::Patch {
            id: Id::new(&CLUSTER_ROLES, "", &name),
            subresource: "",
            how: PatchType::Apply(NAME),
            patch: json!({"metadata": {"name": name}, "rules": rules}),
        });
        let effects: Vec<_> = effects.collect();
        let steps = if effects.is_empty() { Vec::new() } else { vec![Step::Together(effects)] };
        Plan { steps, ..Plan::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::controllers::item::Item;

    #[test]
    fn rules_are_gathered_once() {
        let mut index = Index::default();
        let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
        let mut put = |role: Value| drop(index.put(Arc::new(Item::of(&CLUSTER_ROLES, &role).unwrap())));
        let selectors = json!({"clusterRoleSelectors": [{"matchLabels": {"to-view": "true"}}]});
        put(json!({"metadata": {"name": "view"}, "aggregationRule": selectors, "rules": null}));
        put(json!({"metadata": {"name": "pods", "labels": {"to-view": "true"}}, "rules": rules}));
        let plan = Aggregation.reconcile(&index, &all(), Timestamp::UNIX_EPOCH);
        let [Step::Together(effects)] = &plan.steps[..] else { panic!("nothing is written") };
        let [Effect::Patch { id, patch, .. }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((id.name.as_str(), &patch["rules"]), ("view", &rules));
        let mut put = |role: Value| drop(index.put(Arc::new(Item::of(&CLUSTER_ROLES, &role).unwrap())));
        put(json!({"metadata": {"name": "view"}, "aggregationRule": selectors, "rules": rules}));
        assert!(Aggregation.reconcile(&index, &all(), Timestamp::UNIX_EPOCH).steps.is_empty());
    }
}
