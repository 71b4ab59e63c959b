use super::*;
use crate::client::Refused;
use crate::controllers::conditions;

const NOW: &str = "2026-01-01T01:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn put(index: &mut Index, kind: &Gvr, object: &Value) -> Change {
    index.put(Arc::new(Item::of(kind, object).unwrap()))
}

fn set(replicas: i64) -> Value {
    json!({"metadata": {"name": "web", "namespace": "n", "uid": "set", "resourceVersion": "5", "generation": 2},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "x": "y"}, "annotations": {"a": "b"}},
                "spec": {"containers": [{"name": "c"}]}}},
        "status": {"replicas": 0}})
}

fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({"metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": "7",
            "labels": {"app": "web", "x": "y"}, "creationTimestamp": "2026-01-01T00:00:00Z",
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "set", "controller": true}]},
        "spec": {"nodeName": "node"},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    change(&mut pod);
    pod
}

fn world(set: &Value, pods: &[Value]) -> Index {
    let mut index = Index::default();
    put(&mut index, &REPLICA_SETS, set);
    pods.iter().for_each(|pod| drop(put(&mut index, &PODS, pod)));
    index
}

fn reconciled(index: &Index) -> Plan {
    ReplicaSets.reconcile(index, &Id::new(&REPLICA_SETS, "n", "web"), now())
}

fn status(plan: Plan, outcome: &Outcome) -> Option<Value> {
    let effects = plan.then?(outcome);
    effects.into_iter().find_map(|effect| match effect {
        Effect::Replace { subresource: "status", object, .. } => Some(object["status"].clone()),
        _ => None,
    })
}

fn deleted(step: &Step) -> Vec<&str> {
    let Step::Together(effects) = step else { return Vec::new() };
    let names = effects.iter().filter_map(|effect| match effect {
        Effect::Delete { id, .. } => Some(id.name.as_str()),
        _ => None,
    });
    names.collect()
}

#[test]
fn missing_pods_are_made_of_the_template_in_growing_batches() {
    let index = world(&set(3), &[pod("a", |_| {})]);
    let plan = reconciled(&index);
    let [Step::SlowStart(effects)] = plan.steps.as_slice() else { panic!("no batch") };
    assert_eq!(effects.len(), 2);
    let Effect::Create { kind, namespace, object } = &effects[0] else { panic!("no pod") };
    assert_eq!((kind, namespace.as_str()), (&PODS, "n"));
    assert_eq!(object["metadata"]["generateName"], "web-");
    assert_eq!(object["metadata"]["labels"], json!({"app": "web", "x": "y"}));
    assert_eq!(object["metadata"]["annotations"], json!({"a": "b"}));
    assert_eq!(object["metadata"]["ownerReferences"][0], owner(index.by_uid("set").unwrap()));
    assert_eq!(object["spec"], json!({"containers": [{"name": "c"}]}));
}

#[test]
fn pods_that_are_over_or_going_are_replaced() {
    let pods = [
        pod("over", |pod| pod["status"]["phase"] = "Failed".into()),
        pod("going", |pod| pod["metadata"]["deletionTimestamp"] = NOW.into()),
        pod("a", |_| {}),
    ];
    let plan = reconciled(&world(&set(2), &pods));
    assert!(matches!(plan.steps.as_slice(), [Step::SlowStart(effects)] if effects.len() == 1));
}

#[test]
fn the_least_useful_pods_go_first() {
    let condition =
        |pod: &mut Value, since: &str| pod["status"]["conditions"][0]["lastTransitionTime"] = since.into();
    let pods = [
        pod("old", |_| {}),
        pod("young", |pod| condition(pod, "2026-01-01T00:59:59Z")),
        pod("restarted", |pod| pod["status"]["containerStatuses"] = json!([{"restartCount": 4}])),
        pod("cheap", |pod| {
            pod["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "-1"});
        }),
        pod("alone", |pod| pod["spec"]["nodeName"] = "other".into()),
        pod("unready", |pod| pod["status"]["conditions"][0]["status"] = "False".into()),
        pod("pending", |pod| pod["status"]["phase"] = "Pending".into()),
        pod("unscheduled", |pod| pod["spec"]["nodeName"] = "".into()),
    ];
    let index = world(&set(0), &pods);
    let all: Vec<Arc<Item>> = index.all(&PODS).cloned().collect();
    let first = rank::least_useful(&index, index.by_uid("set").unwrap(), &all, 7, now());
    let names: Vec<&str> = first.iter().map(|pod| pod.id.name.as_str()).collect();
    assert_eq!(names, ["unscheduled", "pending", "unready", "cheap", "young", "restarted", "old"]);

    let plan = reconciled(&world(&set(7), &pods));
    assert_eq!(deleted(&plan.steps[0]), ["unscheduled"]);
    let plan = reconciled(&world(&set(0), &pods));
    assert_eq!(deleted(&plan.steps[0]).len(), 8);
}

#[test]
fn pods_are_adopted_and_released_before_anything_else() {
    let pods = [
        pod("free", |pod| drop(pod["metadata"].as_object_mut().unwrap().remove("ownerReferences"))),
        pod("foreign", |pod| pod["metadata"]["labels"] = json!({"app": "other"})),
        pod("others", |pod| pod["metadata"]["ownerReferences"][0]["uid"] = "else".into()),
    ];
    let plan = reconciled(&world(&set(2), &pods));
    let [Step::Together(effects)] = plan.steps.as_slice() else { panic!("no claims") };
    let [Effect::Patch { id, patch, .. }, Effect::If(guards, adopt)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(id.name, "foreign");
    assert_eq!(patch["metadata"]["ownerReferences"], json!([{"$patch": "delete", "uid": "set"}]));
    assert_eq!(*guards, [Guard::Alive(Id::new(&REPLICA_SETS, "n", "web"), "set".to_owned())]);
    assert!(matches!(&**adopt, Effect::Patch { id, .. } if id.name == "free"));

    let mut going = set(2);
    going["metadata"]["deletionTimestamp"] = NOW.into();
    let plan = reconciled(&world(&going, &pods));
    assert!(plan.steps.is_empty(), "who is going takes nothing and makes nothing");
}

#[test]
fn the_status_counts_pods() {
    let pods = [
        pod("a", |_| {}),
        pod("b", |pod| pod["status"]["conditions"][0]["status"] = "False".into()),
        pod("c", |pod| pod["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:59:55Z".into()),
        pod("d", |pod| pod["metadata"]["labels"] = json!({"app": "web"})),
        pod("e", |pod| pod["metadata"]["deletionTimestamp"] = NOW.into()),
    ];
    let mut asked = set(4);
    asked["spec"]["minReadySeconds"] = 10.into();
    let plan = reconciled(&world(&asked, &pods));
    assert_eq!(plan.again, Some(std::time::Duration::from_secs(5)));
    let expected = json!({"replicas": 4, "fullyLabeledReplicas": 3, "readyReplicas": 3, "availableReplicas": 2,
        "terminatingReplicas": 1, "observedGeneration": 2});
    assert_eq!(status(plan, &Outcome::default()), Some(expected.clone()));

    asked["status"] = expected;
    let plan = reconciled(&world(&asked, &pods));
    assert_eq!(status(plan, &Outcome::default()), None, "nothing is written that is so already");
}

#[test]
fn what_is_refused_is_told() {
    let refused =
        Refused { code: 403, reason: "Forbidden".to_owned(), message: "no".to_owned(), causes: Vec::new() };
    let outcome = Outcome { failures: vec![refused], ..Outcome::default() };
    let plan = reconciled(&world(&set(1), &[]));
    let status = status(plan, &outcome).unwrap();
    let condition = conditions::get(&status, "ReplicaFailure").unwrap();
    assert_eq!((&condition["reason"], &condition["message"]), (&json!("FailedCreate"), &json!("no")));
    let effects = reconciled(&world(&set(1), &[])).then.unwrap()(&outcome);
    let told = effects.iter().any(|effect| {
        matches!(effect, Effect::Tell(telling) if telling.warning && telling.message == "Error creating: no")
    });
    assert!(told);

    // It goes when it is over.
    let mut asked = set(0);
    asked["status"]["conditions"] = json!([condition]);
    let status = super::tests::status(reconciled(&world(&asked, &[])), &Outcome::default()).unwrap();
    assert!(conditions::get(&status, "ReplicaFailure").is_none());
}

#[test]
fn a_pod_wakes_who_manages_it_and_a_free_one_who_selects_it() {
    let mut index = world(&set(1), &[]);
    let woken = |index: &Index, change: &Change| {
        let mut keys = Vec::new();
        ReplicaSets.wake(index, change, &mut |key| keys.push(key.name));
        keys
    };
    let change = put(&mut index, &PODS, &pod("a", |_| {}));
    assert_eq!(woken(&index, &change), ["web"]);
    let free = |pod: &mut Value| drop(pod["metadata"].as_object_mut().unwrap().remove("ownerReferences"));
    let change = put(&mut index, &PODS, &pod("a", free));
    assert_eq!(woken(&index, &change), ["web", "web"]);
    let change = put(&mut index, &PODS, &pod("a", free));
    assert_eq!(woken(&index, &change), [""; 0]);
    let change = index.remove(&Id::new(&PODS, "n", "a"), 9).unwrap();
    assert_eq!(woken(&index, &change), [""; 0]);
}
