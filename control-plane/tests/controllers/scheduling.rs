//! Pods get their nodes, or are told why not.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{DEPLOYMENTS, EVENTS, PODS, World, deployment};

fn pod(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [
        {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}})
}

pub(crate) async fn told_why() {
    let world = World::start(3).await;
    world.create(&PODS, &pod("large", "100")).await;
    let why = "0/3 nodes are available: 3 Insufficient cpu.";
    world
        .until("its condition says why", async || {
            let pod = world.get(&PODS, "large").await.unwrap();
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|condition| {
                condition["type"] == "PodScheduled"
                    && condition["reason"] == "Unschedulable"
                    && condition["message"] == why
            })
        })
        .await;
    world
        .until("so does an Event", async || {
            let events = world.list(&EVENTS).await;
            events.iter().any(|event| event["reason"] == "FailedScheduling" && event["message"] == why)
        })
        .await;
    world.end().await;
}

/// The cores that are asked for on each node.
async fn cores(world: &World) -> BTreeMap<String, i64> {
    let mut cores = BTreeMap::new();
    for pod in world.list(&PODS).await {
        let asked = pod["spec"]["containers"][0]["resources"]["requests"]["cpu"].as_str().unwrap_or("0");
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        *cores.entry(node).or_default() += asked.parse::<i64>().unwrap_or(0);
    }
    cores
}

pub(crate) async fn burst() {
    // Three nodes with eight cores each take 24 pods of one core, and no more.
    let world = World::start(3).await;
    let mut web = deployment("web", 30);
    let spec = &mut web["spec"]["template"]["spec"];
    spec.as_object_mut().unwrap().remove("nodeName");
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    world.create(&DEPLOYMENTS, &web).await;
    world
        .until("every node is full", async || {
            let cores = cores(&world).await;
            let full = |node: &str| cores.get(node).copied().unwrap_or(0) == 8;
            full("sim-0") && full("sim-1") && full("sim-2") && cores.get("") == Some(&6)
        })
        .await;
    let told = "0/3 nodes are available: 3 Insufficient cpu.";
    world
        .until("the others are told why", async || {
            let pods = world.list(&PODS).await;
            let says = |pod: &&Value| {
                let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
                conditions.iter().any(|condition| condition["message"] == told)
            };
            pods.iter().filter(says).count() == 6
        })
        .await;
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"replicas": 24}})).await;
    world.rolled_out("web").await;
    let events = world.list(&EVENTS).await;
    assert!(events.iter().any(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        event["reason"] == "Scheduled" && message.starts_with("Successfully assigned default/web-")
    }));

    // One goes, and what waits comes in its place.
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"replicas": 25}})).await;
    world.until("one waits", async || cores(&world).await.get("") == Some(&1)).await;
    let pods = world.list(&PODS).await;
    let running = pods.iter().find(|pod| pod["spec"]["nodeName"] == "sim-1").unwrap();
    let name = running["metadata"]["name"].as_str().unwrap().to_owned();
    world.delete(&PODS, &name, "Background").await.unwrap();
    world
        .until("there is one that waits again, and the nodes are full", async || {
            let cores = cores(&world).await;
            world.get(&PODS, &name).await.is_none()
                && ["sim-0", "sim-1", "sim-2", ""].map(|node| cores.get(node).copied().unwrap_or(0))
                    == [8, 8, 8, 1]
        })
        .await;
    world.end().await;
}
