use std::sync::Arc;

use super::*;
use crate::apiserver::kinds::Registry;
use crate::controllers::item::PODS;
use crate::controllers::plan::Step;

static CONFIG_MAPS: Gvr = Gvr::of("", "v1", "configmaps");
static DEPLOYMENTS: Gvr = Gvr::of("apps", "v1", "deployments");

fn quotas() -> Quotas {
    let table = Registry::builtin().unwrap().table();
    Quotas::new(Kinds::new(move || table.clone()), Charges::default())
}

fn item(kind: &Gvr, name: &str, rest: Value) -> Arc<Item> {
    let mut object = rest;
    object["metadata"]["name"] = name.into();
    object["metadata"]["namespace"] = "n".into();
    object["metadata"]["resourceVersion"] = "5".into();
    Arc::new(Item::of(kind, &object).unwrap())
}

fn index(hard: Value, status: Value) -> Index {
    let mut index = Index::default();
    index.put(item(&QUOTAS, "q", json!({"spec": {"hard": hard}, "status": status})));
    for name in ["a", "b"] {
        index.put(item(&CONFIG_MAPS, name, json!({})));
        let pod = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "500m"}}}]}, "status": {"phase": "Running"}});
        index.put(item(&PODS, name, pod));
    }
    index.put(item(&DEPLOYMENTS, "d", json!({})));
    index.put(item(&PODS, "over", json!({"status": {"phase": "Succeeded"}})));
    index
}

fn used(quotas: &Quotas, index: &Index) -> (Value, Option<Duration>) {
    let plan = quotas.reconcile(index, &Id::new(&QUOTAS, "n", "q"), Timestamp::UNIX_EPOCH);
    let used = match &plan.steps[..] {
        [Step::One(Effect::Replace { object, subresource: "status", .. })] => {
            object["status"]["used"].clone()
        }
        [] => Value::Null,
        other => panic!("{other:?}"),
    };
    (used, plan.again)
}

#[test]
fn what_there_is_is_counted() {
    let hard = json!({"configmaps": "9", "pods": "9", "cpu": "9", "count/pods": "9", "count/deployments.apps": "9",
        "secrets": "9", "count/nobody.knows": "1"});
    let index = index(hard, Value::Null);
    let counted = json!({"configmaps": "2", "pods": "2", "cpu": "1", "count/pods": "3", "count/deployments.apps": "1",
        "secrets": "0"});
    assert_eq!(used(&quotas(), &index), (counted, Some(SOON)));
}

#[test]
fn a_status_that_is_true_stays() {
    let hard = json!({"configmaps": "9"});
    assert_eq!(
        used(&quotas(), &index(hard.clone(), json!({"hard": hard, "used": {"configmaps": "2"}}))).0,
        Value::Null
    );
    let other = index(hard, json!({"hard": {"configmaps": "8"}, "used": {"configmaps": "2"}}));
    assert_eq!(used(&quotas(), &other).0, json!({"configmaps": "2"}));
}

#[test]
fn what_is_on_its_way_counts() {
    let hard = json!({"configmaps": "9"});
    let mut index = index(hard.clone(), json!({"hard": hard, "used": {"configmaps": "2"}}));
    let quotas = quotas();
    let mut charge = quotas.charges.begin();
    charge.moves("n", "q", Amounts::of(&json!({"configmaps": "1"})));
    assert_eq!(used(&quotas, &index), (Value::Null, Some(UNCLEAR)));
    charge.holds();
    assert_eq!(used(&quotas, &index), (Value::Null, Some(UNCLEAR)));
    charge.written(CONFIG_MAPS, 6);
    assert_eq!(used(&quotas, &index), (json!({"configmaps": "3"}), Some(SOON)));
    index.complete(&CONFIG_MAPS, 6);
    assert_eq!(used(&quotas, &index), (Value::Null, Some(RESYNC)));
}

#[test]
fn scopes_leave_pods_out() {
    let mut index = index(json!({}), Value::Null);
    let spec = json!({"hard": {"pods": "9", "configmaps": "9"}, "scopes": ["NotBestEffort"]});
    index.put(item(&QUOTAS, "q", json!({ "spec": spec })));
    index.put(item(&PODS, "best-effort", json!({"spec": {"containers": [{}]}})));
    assert_eq!(used(&quotas(), &index).0, json!({"pods": "2", "configmaps": "0"}));
}

#[test]
fn who_goes_or_uses_something_else_wakes() {
    let index = index(json!({"pods": "9", "configmaps": "9"}), json!({"hard": {}, "used": {}}));
    let woken = |old: Option<Arc<Item>>, new: Option<Arc<Item>>| {
        let mut count = 0;
        quotas().wake(&index, &Change { old, new }, &mut |_| count += 1);
        count
    };
    let pod = |phase: &str| Some(item(&PODS, "p", json!({"status": {"phase": phase}})));
    let map = |data: &str| Some(item(&CONFIG_MAPS, "m", json!({"data": {"a": data}})));
    assert_eq!((woken(pod("Running"), pod("Failed")), woken(pod("Pending"), pod("Running"))), (1, 0));
    assert_eq!((woken(None, map("1")), woken(map("1"), map("2")), woken(map("2"), None)), (0, 0, 1));
    let other = Some(item(&DEPLOYMENTS, "d", json!({})));
    assert_eq!(woken(other, None), 0);
    let quota = |hard: &str, used: &str| {
        Some(item(
            &QUOTAS,
            "new",
            json!({"spec": {"hard": {"pods": hard}}, "status": {"used": {"pods": used}}}),
        ))
    };
    assert_eq!((woken(None, quota("1", "0")), woken(quota("1", "0"), quota("1", "1"))), (1, 0));
    assert_eq!(woken(quota("1", "0"), quota("2", "0")), 1);
}
