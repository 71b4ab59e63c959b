use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::core::{Decision, Event, Scheduler};
use super::node::Facts;
use super::pod::Pod;

fn node(name: &str, cpu: &str, change: impl FnOnce(&mut Value)) -> Event {
    let mut node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}});
    change(&mut node);
    Event::Node(Facts::of(&node))
}

fn pod(name: &str, cpu: &str, change: impl FnOnce(&mut Value)) -> Event {
    let mut pod = json!({"metadata": {"name": name, "uid": name, "namespace": "n"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
    change(&mut pod);
    Event::Pod(Arc::new(Pod::of(&pod)))
}

struct World(Scheduler, Instant);

impl World {
    fn new(events: impl IntoIterator<Item = Event>) -> Self {
        let mut world = Self(Scheduler::default(), Instant::now());
        world.apply(events);
        world.apply([Event::PodsListed, Event::NodesListed]);
        world
    }

    fn apply(&mut self, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.0.apply(event, self.1));
    }

    /// The pods that get a node, and the words for those that do not.
    fn decide(&mut self) -> Vec<(String, String)> {
        let decided = std::iter::from_fn(|| self.0.next(self.1, 0)).map(|decision| match decision {
            Decision::Bind(pod, node) => (pod.name.clone(), node),
            Decision::Unschedulable(pod, why) => (pod.name.clone(), why),
        });
        decided.collect()
    }

    fn why(&mut self, pod: Event) -> String {
        self.apply([pod]);
        self.decide().remove(0).1
    }
}

fn plain(_: &mut Value) {}

#[test]
fn nothing_is_decided_before_everything_is_known() {
    let mut world = World(Scheduler::default(), Instant::now());
    world.apply([node("a", "4", plain), pod("p", "1", plain), Event::NodesListed]);
    assert!(world.decide().is_empty());
    world.apply([Event::PodsListed]);
    assert_eq!(world.decide(), [("p".to_owned(), "a".to_owned())]);
}

#[test]
fn people_are_told_why_no_node_takes_a_pod() {
    let taint = |node: &mut Value| node["spec"]["taints"] = json!([{"key": "k", "effect": "NoSchedule"}]);
    let cordoned = |node: &mut Value| node["spec"]["unschedulable"] = true.into();
    let nodes = || [node("a", "1", plain), node("b", "4", taint), node("c", "4", cordoned)];
    let mut world = World::new(nodes());
    assert_eq!(
        world.why(pod("p", "2", plain)),
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable."
    );
    let memory =
        |pod: &mut Value| pod["spec"]["containers"][0]["resources"]["requests"]["memory"] = "9Gi".into();
    assert_eq!(
        World::new([node("a", "1", plain)]).why(pod("p", "2", memory)),
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
    );
    assert_eq!(World::new([]).why(pod("p", "1", plain)), "no nodes available to schedule pods");
    let selector = |pod: &mut Value| pod["spec"]["nodeSelector"] = json!({"x": "y"});
    let why = World::new([node("a", "1", plain)]).why(pod("p", "1", selector));
    assert_eq!(why, "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.");
    let port = |pod: &mut Value| pod["spec"]["containers"][0]["ports"] = json!([{"hostPort": 80}]);
    let mut world = World::new([node("a", "4", plain), pod("p", "1", port)]);
    world.decide();
    let why = world.why(pod("q", "1", port));
    assert_eq!(why, "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
}

#[test]
fn what_a_pod_puts_up_with_lets_it_in() {
    let cordoned = |node: &mut Value| {
        node["spec"] =
            json!({"unschedulable": true, "taints": [{"key": "k", "value": "v", "effect": "NoExecute"}]});
    };
    let tolerant = |pod: &mut Value| pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    assert_eq!(World::new([node("a", "4", cordoned)]).why(pod("p", "1", tolerant)), "a");
}

#[test]
fn a_burst_does_not_overcommit() {
    let mut world = World::new([node("a", "2", plain), node("b", "2", plain)]);
    world.apply((0..6).map(|n| pod(&n.to_string(), "1", plain)));
    let decided = world.decide();
    let on = |node: &str| decided.iter().filter(|(_, to)| to == node).count();
    assert_eq!((on("a"), on("b")), (2, 2));
    assert!(decided[4].1.contains("2 Insufficient cpu") && decided[5].1.contains("2 Insufficient cpu"));

    // One that is refused gives its place back, and who waits comes in when one goes.
    world.apply([Event::NotBound(decided[0].0.clone())]);
    world.1 += Duration::from_secs(1);
    assert_eq!(world.decide().iter().filter(|(_, to)| to == "a" || to == "b").count(), 1);
    world.apply([Event::PodGone(decided[1].0.clone())]);
    world.1 += Duration::from_secs(10);
    assert_eq!(world.decide().iter().filter(|(_, to)| to == "a" || to == "b").count(), 1);
}

#[test]
fn pods_of_one_controller_are_spread_and_others_go_where_there_is_room() {
    let kin =
        |pod: &mut Value| pod["metadata"]["ownerReferences"] = json!([{"uid": "set", "controller": true}]);
    let mut world = World::new([node("a", "8", plain), node("b", "4", plain)]);
    assert_eq!(world.why(pod("p", "1", kin)), "a");
    assert_eq!(world.why(pod("q", "1", kin)), "b");
    assert_eq!(world.why(pod("r", "1", plain)), "a");
}

#[test]
fn wishes_count_where_they_can_be_met() {
    let wish = |pod: &mut Value| {
        let terms = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]}]);
        pod["spec"]["affinity"]["nodeAffinity"] = json!({"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 1, "preference": {"matchExpressions": terms}}]});
    };
    let shy = |node: &mut Value| node["spec"]["taints"] = json!([{"key": "k", "effect": "PreferNoSchedule"}]);
    let nodes = || [node("a", "8", shy), node("b", "4", plain), node("c", "5", plain)];
    assert_eq!(World::new(nodes()).why(pod("p", "1", wish)), "b");
    assert_eq!(World::new(nodes()).why(pod("p", "1", plain)), "c");
}

#[test]
fn pods_of_others_and_gated_ones_are_left_alone() {
    let other = |pod: &mut Value| pod["spec"]["schedulerName"] = "other".into();
    let gated = |pod: &mut Value| pod["spec"]["schedulingGates"] = json!([{"name": "g"}]);
    let mut world = World::new([node("a", "4", plain), pod("p", "1", other), pod("q", "1", gated)]);
    assert!(world.decide().is_empty());
    world.apply([pod("q", "1", plain)]);
    assert_eq!(world.decide(), [("q".to_owned(), "a".to_owned())]);
    // What others place takes room as well.
    let placed = |pod: &mut Value| pod["spec"]["nodeName"] = "a".into();
    world.apply([pod("r", "3", placed)]);
    assert_eq!(world.why(pod("s", "1", plain)), "0/1 nodes are available: 1 Insufficient cpu.");
}

#[test]
fn a_change_of_a_node_lets_in_who_waited() {
    let mut world = World::new([node("a", "1", plain)]);
    assert!(world.why(pod("p", "2", plain)).contains("Insufficient"));
    world.1 += Duration::from_secs(5);
    world.apply([node("a", "1", plain)]);
    assert!(world.decide().is_empty(), "nothing changed");
    world.apply([node("a", "2", plain)]);
    assert_eq!(world.decide(), [("p".to_owned(), "a".to_owned())]);
}

#[derive(Debug, Clone)]
enum Act {
    Pod(u8, u8),
    Gone(u8),
    Node(u8, u8),
    Decide,
    Answer(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (any::<u8>(), 1..4u8).prop_map(|(name, cpu)| Act::Pod(name % 32, cpu)),
        2 => any::<u8>().prop_map(|name| Act::Gone(name % 32)),
        1 => (0..4u8, 3..6u8).prop_map(|(name, cpu)| Act::Node(name, cpu)),
        4 => Just(Act::Decide),
        3 => any::<bool>().prop_map(Act::Answer),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, goes or is refused: no node is ever given more than it has.
    #[test]
    fn no_node_is_overcommitted(acts in proptest::collection::vec(act(), 0..120)) {
        let mut world = World::new((0..4u8).map(|name| node(&name.to_string(), "3", plain)));
        let mut live: HashMap<String, (u8, Option<String>)> = HashMap::new();
        let (mut serial, mut asked) = (0, Vec::new());
        let mut names: HashMap<u8, String> = HashMap::new();
        for act in acts {
            match act {
                Act::Pod(slot, cpu) => {
                    serial += 1;
                    if names.contains_key(&slot) { continue }
                    let name = serial.to_string();
                    names.insert(slot, name.clone());
                    live.insert(name.clone(), (cpu, None));
                    world.apply([pod(&name, &cpu.to_string(), plain)]);
                }
                Act::Gone(slot) => {
                    let Some(name) = names.remove(&slot) else { continue };
                    live.remove(&name);
                    world.apply([Event::PodGone(name)]);
                }
                // A node only grows, as what is placed is not taken back.
                Act::Node(name, cpu) => {
                    if cpu > 3 { world.apply([node(&name.to_string(), "5", plain)]) }
                }
                Act::Decide => {
                    world.1 += Duration::from_millis(300);
                    if let Some(Decision::Bind(pod, node)) = world.0.next(world.1, 0) {
                        live.get_mut(&pod.name).unwrap().1 = Some(node.clone());
                        asked.push((pod.name.clone(), node));
                    }
                }
                Act::Answer(bound) => {
                    if asked.is_empty() { continue }
                    let (name, to) = asked.remove(0);
                    let Some((cpu, place)) = live.get_mut(&name) else { continue };
                    if bound {
                        let placed = |pod: &mut Value| pod["spec"]["nodeName"] = to.into();
                        world.apply([Event::Bound(name.clone()), pod(&name, &cpu.to_string(), placed)]);
                    } else {
                        *place = None;
                        world.apply([Event::NotBound(name)]);
                    }
                }
            }
            for name in 0..4u8 {
                let on = live.values().filter(|(_, place)| place.as_deref() == Some(&name.to_string()));
                prop_assert!(on.map(|(cpu, _)| u32::from(*cpu)).sum::<u32>() <= 5);
            }
        }
    }
}
