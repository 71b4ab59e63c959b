//! Namespaces that are going.

use control_plane::client::{Id, PatchType};
use serde_json::{Value, json};

use crate::world::{CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, SERVICE_ACCOUNTS, World, deployment};

const NAME: &str = "going";

async fn count(world: &World, kind: &control_plane::client::Gvr) -> usize {
    let list = world.client.list(kind, NAME, "").await.unwrap();
    list["items"].as_array().map_or(0, Vec::len)
}

async fn condition(world: &World, name: &str) -> Value {
    let namespace = world.client.get(&Id::new(&NAMESPACES, "", NAME)).await.unwrap_or_default();
    let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == name).unwrap_or_default()
}

pub(crate) async fn goes() {
    let world = World::start(1).await;
    let namespace = json!({"metadata": {"name": NAME}});
    world.client.create(&NAMESPACES, "", &namespace).await.unwrap();
    world.until("it has its account", async || count(&world, &SERVICE_ACCOUNTS).await == 1).await;
    let map = json!({"metadata": {"name": "map"}});
    world.client.create(&CONFIG_MAPS, NAME, &map).await.unwrap();
    world.client.create(&DEPLOYMENTS, NAME, &deployment("web", 3)).await.unwrap();
    world.until("its pods are there", async || count(&world, &PODS).await == 3).await;
    let pods = world.client.list(&PODS, NAME, "").await.unwrap();
    let held = Id::new(&PODS, NAME, pods["items"][0]["metadata"]["name"].as_str().unwrap());
    let hold = json!({"metadata": {"finalizers": ["test.example/hold"]}});
    world.client.patch(&held, "", PatchType::Merge, &hold).await.unwrap();

    let id = Id::new(&NAMESPACES, "", NAME);
    let answer = world.client.delete(&id, &json!({})).await.unwrap();
    assert_eq!(answer["status"]["phase"], "Terminating");
    world
        .until("it says what keeps it", async || {
            let said = condition(&world, "NamespaceFinalizersRemaining").await;
            said["message"]
                .as_str()
                .is_some_and(|said| said.ends_with("test.example/hold in 1 resource instances"))
        })
        .await;
    world
        .client
        .get(&Id::new(&CONFIG_MAPS, NAME, "map"))
        .await
        .expect("what the pod may need stays as long as it does");
    let free = json!({"metadata": {"finalizers": null}});
    world.client.patch(&held, "", PatchType::Merge, &free).await.unwrap();
    world
        .until("it is gone", async || {
            world.client.get(&id).await.is_err_and(|refused| refused.is_not_found())
        })
        .await;
    for kind in [&PODS, &DEPLOYMENTS, &CONFIG_MAPS, &SERVICE_ACCOUNTS] {
        assert_eq!(count(&world, kind).await, 0, "{}", kind.resource);
    }
    world.end().await;
}
