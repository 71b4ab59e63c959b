//! FlowSchemas, and the levels that they lead to.

use control_plane::bootstrap;
use control_plane::client::{Gvr, Id};
use serde_json::{Value, json};

use crate::world::World;

static SCHEMAS: Gvr = Gvr::of("flowcontrol.apiserver.k8s.io", "v1", "flowschemas");
static LEVELS: Gvr = Gvr::of("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations");

async fn all(world: &World, kind: &Gvr) -> Vec<Value> {
    let list = world.client.list(kind, "", "").await.unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

/// What the conditions of all schemas say.
fn dangling(schemas: &[Value]) -> Vec<&str> {
    schemas.iter().map(|schema| schema["status"]["conditions"][0]["status"].as_str().unwrap_or("")).collect()
}

pub(crate) async fn levels_are_looked_for() {
    let world = World::start(0).await;
    world
        .until("every schema of the cluster's own leads somewhere", async || {
            let schemas = all(&world, &SCHEMAS).await;
            schemas.len() == 11 && dangling(&schemas).iter().all(|status| *status == "False")
        })
        .await;
    // What is there is not written again.
    let before = (all(&world, &LEVELS).await, all(&world, &SCHEMAS).await);
    bootstrap::prepare(&world.server).await.unwrap();
    let after = (all(&world, &LEVELS).await, all(&world, &SCHEMAS).await);
    assert_eq!((before.0.len(), &before), (8, &after));
    let managers = |object: &Value| -> Vec<Value> {
        let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        entries.iter().map(|entry| entry["manager"].clone()).collect()
    };
    assert_eq!(managers(&before.0[0]), ["api-priority-and-fairness-config-producer-v1"]);
    assert!(managers(&before.1[0]).contains(&json!("api-priority-and-fairness-config-consumer-v1")));

    let schema =
        json!({"metadata": {"name": "own"}, "spec": {"priorityLevelConfiguration": {"name": "own"}}});
    world.client.create(&SCHEMAS, "", &schema).await.unwrap();
    let id = Id::new(&SCHEMAS, "", "own");
    let says = async |status: &str| dangling(&[world.client.get(&id).await.unwrap()]) == [status];
    world.until("it says that its level is not there", async || says("True").await).await;
    let level = json!({"metadata": {"name": "own"},
        "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}});
    world.client.create(&LEVELS, "", &level).await.unwrap();
    world.until("it says that it is", async || says("False").await).await;
    world.client.delete(&Id::new(&LEVELS, "", "own"), &json!({})).await.unwrap();
    world.until("and that it is not", async || says("True").await).await;
    world.end().await;
}
