use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::apiserver::kinds::Registry;
use crate::client::Refused;
use crate::controllers::item::Item;

static CONFIG_MAPS: Gvr = Gvr::of("", "v1", "configmaps");

fn controller() -> Namespaces {
    let registry = Registry::builtin().unwrap();
    Namespaces::new(Kinds::new(move || registry.table()))
}

fn world(finalizers: &Value, objects: &[(&Gvr, &str, bool)]) -> Index {
    let mut index = Index::default();
    let namespace = json!({"metadata": {"name": "n", "uid": "n", "resourceVersion": "3",
            "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"finalizers": finalizers}, "status": {"phase": "Terminating"}});
    index.put(Arc::new(Item::of(&NAMESPACES, &namespace).unwrap()));
    for (kind, name, going) in objects {
        let mut object =
            json!({"metadata": {"name": name, "namespace": "n", "uid": name, "finalizers": ["x/y"]}});
        if *going {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        index.put(Arc::new(Item::of(kind, &object).unwrap()));
    }
    index
}

fn reconciled(index: &Index) -> Plan {
    controller().reconcile(index, &Id::new(&NAMESPACES, "", "n"), Timestamp::UNIX_EPOCH)
}

/// The resources all of whose objects are deleted.
fn cleared(plan: &Plan) -> Vec<String> {
    let effects = plan.steps.iter().flat_map(|step| match step {
        Step::Together(effects) => effects.as_slice(),
        Step::One(effect) => std::slice::from_ref(effect),
        Step::SlowStart(_) => &[],
    });
    let cleared = effects.filter_map(|effect| match effect {
        Effect::DeleteAll { kind, .. } => Some(kind.resource.to_string()),
        _ => None,
    });
    cleared.collect()
}

#[test]
fn pods_go_before_everything_else() {
    let index = world(&json!([FINALIZER]), &[(&PODS, "p", false), (&CONFIG_MAPS, "c", false)]);
    assert_eq!(cleared(&reconciled(&index)), ["pods"]);
    let index = world(&json!([FINALIZER]), &[(&PODS, "p", true), (&CONFIG_MAPS, "c", false)]);
    assert_eq!(cleared(&reconciled(&index)), [""; 0], "it waits for the pods");
    let index = world(&json!([FINALIZER]), &[(&CONFIG_MAPS, "c", false)]);
    assert_eq!(cleared(&reconciled(&index)), ["configmaps"]);
}

#[test]
fn conditions_say_what_remains() {
    let plan =
        reconciled(&world(&json!([FINALIZER]), &[(&CONFIG_MAPS, "c", true), (&CONFIG_MAPS, "d", true)]));
    let refused = Refused { code: 403, reason: String::new(), message: "no".to_owned(), causes: Vec::new() };
    let outcome = Outcome { failures: vec![refused], ..Outcome::default() };
    let effects = plan.then.unwrap()(&outcome);
    let [Effect::Replace { subresource: "status", object, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let said: Vec<(&str, &str)> = conditions
        .iter()
        .map(|condition| (condition["status"].as_str().unwrap(), condition["message"].as_str().unwrap()))
        .collect();
    assert_eq!(said[0], ("False", "All resources successfully discovered"));
    assert_eq!(said[2], ("True", "Failed to delete all resource types, 1 remaining: no"));
    assert_eq!(said[3], ("True", "Some resources are remaining: configmaps. has 2 resource instances"));
    assert_eq!(
        said[4],
        ("True", "Some content in the namespace has finalizers remaining: x/y in 2 resource instances")
    );
}

#[test]
fn an_empty_namespace_is_finalized_if_it_is_really_empty() {
    let plan = reconciled(&world(&json!([FINALIZER, "other"]), &[]));
    assert_eq!(cleared(&plan), ["events"]);
    let Some(Step::One(Effect::If(guards, effect))) = plan.steps.last() else { panic!("{:?}", plan.steps) };
    assert!(guards.contains(&Guard::Empty(PODS, "n".to_owned())) && guards.len() > 20);
    let Effect::Replace { subresource: "finalize", object, .. } = &**effect else { panic!("{effect:?}") };
    assert_eq!(object["spec"]["finalizers"], json!(["other"]));
    assert_eq!(object["metadata"].get("resourceVersion"), None);

    let plan = reconciled(&world(&json!(["other"]), &[]));
    assert!(plan.steps.is_empty() && plan.then.is_none(), "it is done already");
}
