use serde_json::{Value, json};

use super::eviction::Eviction;
use super::pods::Readiness;
use super::*;
use crate::controllers::item::PODS;
use crate::controllers::plan::Step;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn node(name: &str, ready: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut node = json!({"metadata": {"name": name, "uid": name, "resourceVersion": "7",
            "creationTimestamp": time::format(at(0)), "labels": {}},
        "spec": {}, "status": {"conditions": [
            {"type": "MemoryPressure", "status": "False", "reason": "x"},
            {"type": "Ready", "status": ready, "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}});
    change(&mut node);
    node
}

fn tainted(node: &mut Value, key: &str, effect: &str) {
    let taint = json!({"key": key, "effect": effect, "timeAdded": "2026-01-01T00:00:00Z"});
    match node["spec"]["taints"].as_array_mut() {
        Some(taints) => taints.push(taint),
        None => node["spec"]["taints"] = json!([taint]),
    }
}

/// The controllers with their index.
struct World {
    nodes: Nodes,
    eviction: Eviction,
    index: Index,
    woken: Vec<Id>,
}

impl World {
    fn new(nodes: &[Value]) -> Self {
        let (index, eviction) = (Index::default(), Eviction::default());
        let mut world = Self { nodes: Nodes::default(), eviction, index, woken: Vec::new() };
        nodes.iter().for_each(|node| world.put(&NODES, node));
        world
    }

    fn put(&mut self, kind: &Gvr, object: &Value) {
        let change = self.index.put(Arc::new(Item::of(kind, object).unwrap()));
        let woken = &mut self.woken;
        self.nodes.wake(&self.index, &change, &mut |_| {});
        self.eviction.wake(&self.index, &change, &mut |id| woken.push(id));
        Readiness.wake(&self.index, &change, &mut |_| {});
    }

    fn renew(&mut self, name: &str, seconds: i64) {
        let lease = json!({"metadata": {"name": name, "namespace": LEASE_NAMESPACE},
            "spec": {"renewTime": time::format_micros(at(seconds))}});
        self.put(&LEASES, &lease);
    }

    fn look(&self, name: &str, seconds: i64) -> Plan {
        self.nodes.reconcile(&self.index, &Id::new(&NODES, "", name), at(seconds))
    }

    /// The taints that the controller writes.
    fn taints(&self, name: &str, seconds: i64) -> Option<Vec<String>> {
        self.look(name, seconds).steps.iter().find_map(|step| match step {
            Step::One(Effect::Patch { patch, .. }) => {
                let taints = patch["spec"]["taints"].as_array()?.iter();
                let text = |taint: &Value| {
                    let key = taint["key"].as_str().unwrap().trim_start_matches("node.kubernetes.io/");
                    format!("{key}:{}", taint["effect"].as_str().unwrap())
                };
                Some(taints.map(text).collect())
            }
            _ => None,
        })
    }

    fn evict(&self, seconds: i64) -> Plan {
        self.eviction.reconcile(&self.index, &Id::new(&PODS, "n", "p"), at(seconds))
    }
}

fn status(plan: &Plan) -> Option<&Value> {
    plan.steps.iter().find_map(|step| match step {
        Step::One(Effect::Replace { subresource: "status", object, .. }) => Some(&object["status"]),
        _ => None,
    })
}

fn told(plan: &Plan) -> Vec<&str> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::One(Effect::Tell(telling)) => Some(telling.message.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_node_that_is_silent_for_too_long_is_unknown() {
    let mut world = World::new(&[node("a", "True", |_| {}), node("b", "True", |_| {})]);
    assert_eq!(told(&world.look("a", 0)), ["Node a event: Registered Node a in Controller"]);
    world.renew("a", 100);
    // What counts is when it was seen, not when the node says that it was.
    let plan = world.look("a", 20);
    assert_eq!((status(&plan), plan.again), (None, Some(Duration::from_secs(50) + MOMENT)));
    assert!(status(&world.look("a", 70)).is_none());
    let plan = world.look("a", 71);
    let conditions = status(&plan).unwrap()["conditions"].as_array().unwrap();
    let ready = &conditions[1];
    assert_eq!(ready["type"], "Ready");
    assert_eq!(
        (&ready["status"], &ready["reason"], &ready["message"]),
        (&json!("Unknown"), &json!("NodeStatusUnknown"), &json!("Kubelet stopped posting node status."))
    );
    assert_eq!(ready["lastTransitionTime"], time::format(at(71)));
    let names: Vec<_> = conditions.iter().map(|condition| condition["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["MemoryPressure", "Ready", "DiskPressure", "PIDPressure"]);
    assert_eq!(conditions[2]["reason"], "NodeStatusNeverUpdated");
    let effects = plan.then.unwrap()(&Outcome::default());
    assert!(
        matches!(&effects[..], [Effect::Tell(told)] if told.message == "Node a status is now: NodeNotReady")
    );
}

#[test]
fn a_heartbeat_is_a_sign_of_life_and_one_that_never_said_has_longer() {
    let beat = |time: &str| {
        node("a", "True", |node| node["status"]["conditions"][1]["lastHeartbeatTime"] = time.into())
    };
    let mut world = World::new(&[beat("1"), node("new", "True", |node| node["status"] = Value::Null)]);
    world.look("a", 0);
    world.put(&NODES, &beat("2"));
    world.look("a", 40);
    assert!(status(&world.look("a", 89)).is_none());
    assert!(status(&world.look("a", 91)).is_some());
    assert!(status(&world.look("new", 60)).is_none());
    let plan = world.look("new", 61);
    assert_eq!(status(&plan).unwrap()["conditions"][0]["reason"], "NodeStatusNeverUpdated");
    assert!(plan.then.is_none(), "it was not ready before either");
}

#[test]
fn conditions_and_cordons_keep_new_pods_off_and_taints_of_others_stay() {
    let mut world = World::new(&[node("other", "True", |_| {})]);
    world.put(
        &NODES,
        &node("a", "True", |node| {
            node["status"]["conditions"][0]["status"] = "True".into();
            node["spec"]["unschedulable"] = true.into();
            tainted(node, "mine", "NoSchedule");
            tainted(node, "node.kubernetes.io/not-ready", "NoSchedule");
            tainted(node, "node.kubernetes.io/unreachable", "NoExecute");
        }),
    );
    assert_eq!(
        world.taints("a", 0).unwrap(),
        ["mine:NoSchedule", "memory-pressure:NoSchedule", "unschedulable:NoSchedule"]
    );
    world.put(&NODES, &node("a", "True", |node| tainted(node, "mine", "NoSchedule")));
    assert_eq!(world.taints("a", 0), None);
}

#[test]
fn a_new_node_that_is_ready_loses_the_taint_that_it_came_with() {
    let world =
        World::new(&[node("a", "True", |node| tainted(node, "node.kubernetes.io/not-ready", "NoSchedule"))]);
    assert_eq!(world.taints("a", 0).unwrap(), [""; 0]);
}

#[test]
fn pods_are_driven_away_one_node_after_the_other() {
    let mut world =
        World::new(&[node("a", "Unknown", |_| {}), node("b", "False", |_| {}), node("c", "True", |_| {})]);
    assert_eq!(world.taints("a", 0).unwrap(), ["unreachable:NoSchedule", "unreachable:NoExecute"]);
    let plan = world.look("b", 4);
    assert_eq!(plan.again, Some(Duration::from_secs(5)));
    assert_eq!(world.taints("b", 9).unwrap(), ["not-ready:NoSchedule"]);
    assert_eq!(world.taints("b", 10).unwrap(), ["not-ready:NoSchedule", "not-ready:NoExecute"]);
    // One who is driven away already is so at once for another reason.
    world.put(
        &NODES,
        &node("a", "False", |node| tainted(node, "node.kubernetes.io/unreachable", "NoExecute")),
    );
    assert_eq!(world.taints("a", 11).unwrap(), ["not-ready:NoSchedule", "not-ready:NoExecute"]);
}

#[test]
fn nobody_is_driven_away_where_everything_fails_or_most_of_a_small_zone() {
    let failing = |name: &str| {
        node(name, "Unknown", |node| tainted(node, "node.kubernetes.io/unreachable", "NoExecute"))
    };
    let mut world = World::new(&[failing("a"), failing("b"), failing("c")]);
    assert_eq!(world.taints("a", 0).unwrap(), ["unreachable:NoSchedule"]);
    // Three of four are most of a small zone: who is driven away goes on, nobody else begins.
    world.put(&NODES, &node("d", "True", |_| {}));
    assert_eq!(world.taints("a", 0).unwrap(), ["unreachable:NoExecute", "unreachable:NoSchedule"]);
    world.put(&NODES, &node("b", "Unknown", |_| {}));
    assert_eq!(world.taints("b", 0).unwrap(), ["unreachable:NoSchedule"]);
    // One node more that works is too few, two are enough.
    world.put(&NODES, &node("e", "True", |_| {}));
    world.put(&NODES, &node("f", "True", |_| {}));
    assert_eq!(world.taints("b", 0).unwrap(), ["unreachable:NoSchedule", "unreachable:NoExecute"]);
}

#[test]
fn a_zone_that_fails_as_a_whole_is_driven_away_where_others_live_and_a_large_one_slowly() {
    let zoned = |name: &str, zone: &str, ready: &str| {
        node(name, ready, |node| node["metadata"]["labels"]["topology.kubernetes.io/zone"] = zone.into())
    };
    let mut world = World::new(&[zoned("a", "x", "Unknown"), zoned("b", "y", "True")]);
    assert!(world.taints("a", 0).unwrap().contains(&"unreachable:NoExecute".to_owned()));

    for number in 0..60 {
        world.put(&NODES, &zoned(&format!("n{number}"), "z", if number < 20 { "True" } else { "Unknown" }));
    }
    let drives = |name: &str, seconds: i64| {
        world.taints(name, seconds).unwrap().contains(&"unreachable:NoExecute".to_owned())
    };
    assert!(drives("n20", 0) && !drives("n21", 99) && drives("n21", 100));
}

#[test]
fn when_everything_failed_every_node_is_given_its_time_again() {
    let mut world = World::new(&[node("a", "Unknown", |_| {}), node("b", "True", |_| {})]);
    world.look("b", 0);
    world.put(&NODES, &node("b", "Unknown", |_| {}));
    world.look("b", 100);
    world.put(&NODES, &node("a", "True", |_| {}));
    world.put(&NODES, &node("b", "True", |_| {}));
    assert!(status(&world.look("b", 110)).is_none());
}

#[test]
fn who_is_gone_is_told_of_and_old_labels_are_kept() {
    let mut world = World::new(&[node("a", "True", |node| {
        node["metadata"]["labels"]["kubernetes.io/os"] = "linux".into();
    })]);
    let plan = world.look("a", 0);
    let Some(Step::One(Effect::Patch { patch, .. })) = plan.steps.last() else { panic!("no label") };
    assert_eq!(patch["metadata"]["labels"], json!({"beta.kubernetes.io/os": "linux"}));
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    world.index.remove(&Id::new(&NODES, "", "a"), 9);
    assert_eq!(told(&world.look("a", 1)), ["Node a event: Removing Node a from Controller"]);
    assert!(told(&world.look("a", 2)).is_empty());
}

fn pod(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "p", "resourceVersion": "3"},
        "spec": {"nodeName": "a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    change(&mut pod);
    pod
}

#[test]
fn pods_of_a_silent_node_are_not_ready() {
    let mut index = Index::default();
    let mut woken = Vec::new();
    let mut put = |index: &mut Index, kind: &Gvr, object: &Value| {
        let change = index.put(Arc::new(Item::of(kind, object).unwrap()));
        woken.clear();
        Readiness.wake(index, &change, &mut |id| woken.push(id.name));
        woken.clone()
    };
    put(&mut index, &NODES, &node("a", "True", |_| {}));
    assert_eq!(put(&mut index, &PODS, &pod(|_| {})), ["p"]);
    assert_eq!(put(&mut index, &PODS, &pod(|_| {})).len(), 0);
    let key = Id::new(&PODS, "n", "p");
    assert!(Readiness.reconcile(&index, &key, at(0)).steps.is_empty());
    assert_eq!(put(&mut index, &NODES, &node("a", "Unknown", |_| {})), ["p"]);
    let plan = Readiness.reconcile(&index, &key, at(0));
    let [Step::One(Effect::Patch { subresource: "status", patch, .. })] = &plan.steps[..] else { panic!() };
    assert_eq!(patch["status"]["conditions"][0]["status"], "False");
    put(&mut index, &PODS, &pod(|pod| pod["status"]["conditions"][0]["status"] = "False".into()));
    assert!(Readiness.reconcile(&index, &key, at(0)).steps.is_empty());
}

fn tolerates(seconds: impl Into<Value>) -> impl FnOnce(&mut Value) {
    let seconds = seconds.into();
    move |pod| {
        pod["spec"]["tolerations"] = json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists",
            "effect": "NoExecute", "tolerationSeconds": seconds}]);
    }
}

fn deletes(plan: &Plan) -> bool {
    matches!(plan.steps.last(), Some(Step::One(Effect::Delete { uid, .. })) if uid == "p")
}

#[test]
fn a_pod_leaves_when_what_it_puts_up_with_is_over() {
    let mut world = World::new(&[node("a", "Unknown", |node| {
        tainted(node, "node.kubernetes.io/unreachable", "NoExecute")
    })]);
    world.put(&PODS, &pod(|_| {}));
    let plan = world.evict(0);
    assert!(deletes(&plan));
    assert_eq!(told(&plan), ["Marking for deletion Pod n/p"]);
    let Step::One(Effect::Patch { patch, .. }) = &plan.steps[1] else { panic!("no condition") };
    assert_eq!(patch["status"]["conditions"][0]["reason"], "DeletionByTaintManager");

    let mut world = World::new(&[node("a", "Unknown", |node| {
        tainted(node, "node.kubernetes.io/unreachable", "NoExecute")
    })]);
    world.put(&PODS, &pod(tolerates(300)));
    assert_eq!(world.woken.len(), 1);
    let plan = world.evict(0);
    assert_eq!((plan.steps.len(), plan.again), (0, Some(Duration::from_secs(300))));
    // It is the same while when one taint follows another, and over when the last one goes.
    assert!(!deletes(&world.evict(299)) && deletes(&world.evict(300)));
    world.put(&NODES, &node("a", "True", |_| {}));
    assert_eq!(told(&world.evict(200)), ["Cancelling deletion of Pod n/p"]);
    assert!(told(&world.evict(201)).is_empty());

    world.put(
        &NODES,
        &node("a", "Unknown", |node| tainted(node, "node.kubernetes.io/unreachable", "NoExecute")),
    );
    world.put(&PODS, &pod(tolerates(Value::Null)));
    let plan = world.evict(1000);
    assert!(plan.steps.is_empty() && plan.again.is_none(), "for ever");
}

#[test]
fn a_pod_of_the_same_name_has_its_own_while() {
    let mut world = World::new(&[node("a", "Unknown", |node| {
        tainted(node, "node.kubernetes.io/unreachable", "NoExecute")
    })]);
    world.put(&PODS, &pod(tolerates(10)));
    world.evict(0);
    world.put(
        &PODS,
        &pod(|pod| {
            tolerates(10)(pod);
            pod["metadata"]["uid"] = "q".into();
        }),
    );
    assert_eq!(world.evict(10).again, Some(Duration::from_secs(10)));
}
