//! Nodes that fall silent.

use std::time::Duration;

use control_plane::client::{Gvr, Id};
use control_plane::controllers::Settings;
use control_plane::controllers::node::Grace;
use serde_json::{Value, json};

use crate::world::{DEPLOYMENTS, EVENTS, PODS, World, deployment};

static NODES: Gvr = Gvr::of("", "v1", "nodes");
const MORTAL: &str = "mortal-0";

fn condition<'v>(object: &'v Value, name: &str) -> &'v Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let status = conditions.into_iter().find(|condition| condition["type"] == name);
    status.map_or(&Value::Null, |condition| &condition["status"])
}

async fn node(world: &World) -> Value {
    world.client.get(&Id::new(&NODES, "", MORTAL)).await.unwrap_or_default()
}

fn taints(node: &Value) -> Vec<String> {
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let text =
        |taint: Value| format!("{}:{}", taint["key"].as_str().unwrap(), taint["effect"].as_str().unwrap());
    taints.into_iter().map(text).collect()
}

async fn patient(world: &World) -> Value {
    world.get(&PODS, "patient").await.unwrap()
}

fn toleration(seconds: Value) -> Value {
    json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute",
        "tolerationSeconds": seconds}])
}

fn is_there(pod: &&Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null() && pod["metadata"]["labels"]["app"] == "web"
}

pub(crate) async fn falls_silent() {
    let grace = Grace { known: Duration::from_secs(4), starting: Duration::from_secs(4) };
    let mut world = World::with(2, Settings { grace, ..Settings::default() }).await;
    let life = world.simulate("mortal-", 1);
    world.until("the node is there", async || !node(&world).await.is_null()).await;
    let mut web = deployment("web", 3);
    let spec = &mut web["spec"]["template"]["spec"];
    spec.as_object_mut().unwrap().remove("nodeName");
    spec["tolerations"] = toleration(1.into());
    world.create(&DEPLOYMENTS, &web).await;
    let pod = json!({"metadata": {"name": "patient"}, "spec": {"nodeName": MORTAL,
        "tolerations": toleration(Value::Null), "containers": [{"name": "c", "image": "i"}]}});
    world.create(&PODS, &pod).await;
    world.rolled_out("web").await;
    world.until("both run", async || condition(&patient(&world).await, "Ready") == "True").await;
    let pods = world.list(&PODS).await;
    let lost = pods.iter().find(|pod| is_there(pod) && pod["spec"]["nodeName"] == MORTAL);
    let lost = lost.expect("one of three pods is on one of three nodes")["metadata"]["name"].clone();

    life.cancel();
    world
        .until("nothing is known of it", async || condition(&node(&world).await, "Ready") == "Unknown")
        .await;
    let unreachable =
        ["NoSchedule", "NoExecute"].map(|effect| format!("node.kubernetes.io/unreachable:{effect}"));
    world
        .until("it keeps pods off and drives them away", async || taints(&node(&world).await) == unreachable)
        .await;
    world
        .until("its pods are not ready", async || condition(&patient(&world).await, "Ready") == "False")
        .await;
    world
        .until("three run elsewhere", async || {
            let pods = world.list(&PODS).await;
            let alive = pods.iter().filter(is_there).filter(|pod| condition(pod, "Ready") == "True");
            alive.filter(|pod| pod["spec"]["nodeName"] != MORTAL).count() == 3
        })
        .await;
    let gone = world.get(&PODS, lost.as_str().unwrap()).await.expect("its node does not say that it is gone");
    assert_eq!(condition(&gone, "DisruptionTarget"), "True");
    assert!(gone["metadata"]["deletionTimestamp"].is_string());
    assert!(patient(&world).await["metadata"]["deletionTimestamp"].is_null());
    let told = |events: &[Value], reason: &str, about: &str| {
        events.iter().any(|event| event["reason"] == reason && event["involvedObject"]["name"] == about)
    };
    world
        .until("it is told of", async || {
            let events = world.list(&EVENTS).await;
            told(&events, "RegisteredNode", MORTAL)
                && told(&events, "NodeNotReady", MORTAL)
                && told(&events, "NodeNotReady", "patient")
                && told(&events, "TaintManagerEviction", lost.as_str().unwrap())
        })
        .await;

    world.simulate("mortal-", 1);
    world.until("it is well", async || condition(&node(&world).await, "Ready") == "True").await;
    world.until("it takes pods", async || taints(&node(&world).await).is_empty()).await;
    world.until("its pod is well", async || condition(&patient(&world).await, "Ready") == "True").await;
    world
        .until("and the other one gone", async || world.get(&PODS, lost.as_str().unwrap()).await.is_none())
        .await;
    world.end().await;
}
