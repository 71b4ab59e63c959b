//! Pods get their nodes, or are told why not.

use serde_json::{Value, json};

use crate::world::{EVENTS, PODS, World};

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
