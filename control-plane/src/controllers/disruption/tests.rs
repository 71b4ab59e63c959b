use super::stale::Stale;
use super::*;
use crate::controllers::plan::Step;
use crate::controllers::replicaset::REPLICA_SETS;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn budget(spec: Value, status: Value) -> Value {
    let mut budget =
        json!({"metadata": {"name": "b", "namespace": "n", "uid": "b", "generation": 2}, "spec": spec});
    budget["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    if !status.is_null() {
        budget["status"] = status;
    }
    budget
}

fn pod(name: &str, ready: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": "web"}, "generation": 1,
            "ownerReferences": [{"kind": "ReplicaSet", "name": "set", "uid": "set", "controller": true}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
}

/// A Deployment of five pods with a set, this many pods of it ready, and a budget.
fn world(budget: &Value, ready: usize) -> Index {
    let mut index = Index::default();
    let mut put = |kind: &Gvr, object: &Value| drop(index.put(Arc::new(Item::of(kind, object).unwrap())));
    put(&BUDGETS, budget);
    put(
        &expected::SCALED[0],
        &json!({"metadata": {"name": "web", "namespace": "n", "uid": "web"}, "spec": {"replicas": 5}}),
    );
    put(
        &REPLICA_SETS,
        &json!({"metadata": {"name": "set", "namespace": "n", "uid": "set", "ownerReferences": [
        {"kind": "Deployment", "name": "web", "uid": "web", "controller": true}]}, "spec": {"replicas": 3}}),
    );
    (0..ready).for_each(|number| put(&PODS, &pod(&format!("p{number}"), "True")));
    put(&PODS, &pod("unready", "False"));
    index
}

fn looked(index: &Index, seconds: i64) -> Plan {
    Budgets.reconcile(index, &Id::new(&BUDGETS, "n", "b"), at(seconds))
}

fn written(plan: &Plan) -> Option<&Value> {
    plan.steps.iter().find_map(|step| match step {
        Step::One(Effect::Replace { subresource: "status", object, .. }) => Some(&object["status"]),
        _ => None,
    })
}

/// `expectedPods`, `desiredHealthy`, `currentHealthy`, `disruptionsAllowed`.
fn numbers(status: &Value) -> [i64; 4] {
    ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"]
        .map(|field| status[field].as_i64().unwrap())
}

#[test]
fn what_may_go_is_what_is_healthy_beyond_what_is_wanted() {
    for (spec, ready, expected) in [
        (json!({"minAvailable": 2}), 3, [4, 2, 3, 1]),
        (json!({"minAvailable": 4}), 3, [4, 4, 3, 0]),
        (json!({"minAvailable": "50%"}), 4, [5, 3, 4, 1]),
        (json!({"maxUnavailable": 2}), 4, [5, 3, 4, 1]),
        (json!({"maxUnavailable": "30%"}), 4, [5, 3, 4, 1]),
        (json!({"maxUnavailable": 9}), 4, [5, 0, 4, 4]),
    ] {
        let plan = looked(&world(&budget(spec.clone(), Value::Null), ready), 0);
        assert_eq!(numbers(written(&plan).unwrap()), expected, "{spec}");
    }
}

#[test]
fn it_says_whether_disruptions_are_allowed_and_then_is_silent() {
    let spec = || json!({"minAvailable": 2});
    let plan = looked(&world(&budget(spec(), Value::Null), 3), 0);
    let status = written(&plan).unwrap().clone();
    assert_eq!(status["observedGeneration"], 2);
    let condition = json!({"type": ALLOWED, "status": "True", "reason": "SufficientPods", "message": "",
        "observedGeneration": 2, "lastTransitionTime": time::format(at(0))});
    assert_eq!(status["conditions"], json!([condition]));
    let index = world(&budget(spec(), status.clone()), 3);
    assert!(written(&looked(&index, 10)).is_none());

    let plan = looked(&world(&budget(spec(), status), 2), 20);
    let condition = &written(&plan).unwrap()["conditions"][0];
    assert_eq!(
        (&condition["status"], &condition["reason"], &condition["lastTransitionTime"]),
        (&json!("False"), &json!("InsufficientPods"), &json!(time::format(at(20))))
    );
}

#[test]
fn an_evicted_pod_counts_as_gone_for_two_minutes() {
    let noted = json!({"p0": time::format(at(0)), "long-gone": time::format(at(0))});
    let status = json!({"disruptedPods": noted, "disruptionsAllowed": 0});
    let index = world(&budget(json!({"minAvailable": 2}), status), 3);
    let plan = looked(&index, 60);
    let status = written(&plan).unwrap();
    assert_eq!(numbers(status), [4, 2, 2, 0]);
    assert_eq!(status["disruptedPods"], json!({"p0": time::format(at(0))}));
    assert_eq!(plan.again, Some(Duration::from_secs(60) + MOMENT));
    let plan = looked(&index, 121);
    let status = written(&plan).unwrap();
    assert_eq!((numbers(status), status.get("disruptedPods"), plan.again), ([4, 2, 3, 1], None, None));
    assert!(
        plan.steps
            .iter()
            .any(|step| matches!(step, Step::One(Effect::Tell(told)) if told.reason == "NotDeleted"))
    );
}

#[test]
fn nothing_may_go_where_nothing_is_expected_or_that_cannot_be_told() {
    let mut index = Index::default();
    let mut put = |kind: &Gvr, object: &Value| drop(index.put(Arc::new(Item::of(kind, object).unwrap())));
    put(&BUDGETS, &budget(json!({"minAvailable": 0}), Value::Null));
    let plan = looked(&index, 0);
    assert_eq!(numbers(written(&plan).unwrap()), [0, 0, 0, 0]);
    assert!(matches!(&plan.steps[0], Step::One(Effect::Tell(told)) if told.reason == "NoPods"));

    let mut put = |kind: &Gvr, object: &Value| drop(index.put(Arc::new(Item::of(kind, object).unwrap())));
    put(&BUDGETS, &budget(json!({"maxUnavailable": 1}), Value::Null));
    put(&PODS, &pod("p", "True"));
    let why = |index: &Index| {
        let plan = looked(index, 0);
        let status = written(&plan).unwrap();
        assert_eq!(
            (&status["disruptionsAllowed"], &status["conditions"][0]["reason"]),
            (&json!(0), &json!("SyncFailed"))
        );
        status["conditions"][0]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(why(&index), "found no controllers for pod \"p\"");
    let job = Gvr::of("batch", "v1", "jobs");
    index.put(Arc::new(
        Item::of(&job, &json!({"metadata": {"name": "set", "namespace": "n", "uid": "set"}})).unwrap(),
    ));
    assert_eq!(why(&index), "jobs.batch does not implement the scale subresource");
}

#[test]
fn a_pod_wakes_the_budgets_that_are_about_it() {
    let index = world(&budget(json!({"minAvailable": 1}), Value::Null), 0);
    let woken = |labels: Value, old: Option<Value>| {
        let item = |labels: Value| {
            let pod = json!({"metadata": {"name": "x", "namespace": "n", "labels": labels}});
            Arc::new(Item::of(&PODS, &pod).unwrap())
        };
        let change = Change { old: old.map(item), new: Some(item(labels)) };
        let mut woken = 0;
        Budgets.wake(&index, &change, &mut |_| woken += 1);
        woken
    };
    assert_eq!(woken(json!({"app": "web"}), None), 1);
    assert_eq!(woken(json!({"app": "other"}), None), 0);
    assert_eq!(woken(json!({"app": "other"}), Some(json!({"app": "web"}))), 1);
}

#[test]
fn a_pod_that_was_not_disrupted_is_no_target_any_more() {
    let look = |reason: &str, seconds: i64| {
        let mut index = Index::default();
        let mut pod = pod("p", "True");
        let target = json!({"type": "DisruptionTarget", "status": "True", "reason": reason,
            "lastTransitionTime": time::format(at(0))});
        pod["status"]["conditions"].as_array_mut().unwrap().push(target);
        let change = index.put(Arc::new(Item::of(&PODS, &pod).unwrap()));
        let mut woken = 0;
        Stale.wake(&index, &change, &mut |_| woken += 1);
        assert_eq!(woken, 1);
        Stale.reconcile(&index, &Id::new(&PODS, "n", "p"), at(seconds))
    };
    let plan = look("EvictionByEvictionAPI", 20);
    assert_eq!((plan.steps.len(), plan.again), (0, Some(Duration::from_secs(100) + MOMENT)));
    let plan = look("EvictionByEvictionAPI", 121);
    let [Step::One(Effect::Patch { patch, .. })] = &plan.steps[..] else { panic!("it stays a target") };
    assert_eq!(patch["status"]["conditions"][0]["status"], "False");
    assert!(look("TerminationByKubelet", 500).steps.is_empty());
}
