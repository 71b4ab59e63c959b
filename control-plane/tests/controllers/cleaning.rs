//! What goes with what it belongs to, and what every namespace has.

use serde_json::json;

use crate::world::{CONFIG_MAPS, DEPLOYMENTS, PODS, REPLICA_SETS, SERVICE_ACCOUNTS, World, deployment};

pub(crate) async fn background() {
    let world = World::start(1).await;
    world.create(&DEPLOYMENTS, &deployment("web", 3)).await;
    world.rolled_out("web").await;
    world.delete(&DEPLOYMENTS, "web", "Background").await.unwrap();
    assert!(world.get(&DEPLOYMENTS, "web").await.is_none(), "it is gone at once");
    let none = async || world.list(&REPLICA_SETS).await.is_empty() && world.list(&PODS).await.is_empty();
    world.until("nothing is left", none).await;
    world.end().await;
}

pub(crate) async fn foreground() {
    let world = World::start(1).await;
    world.create(&DEPLOYMENTS, &deployment("web", 3)).await;
    world.rolled_out("web").await;
    // A pod that somebody holds back holds back everything above it.
    let name = world.list(&PODS).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    world.patch(&PODS, &name, json!({"metadata": {"finalizers": ["test.example/hold"]}})).await;
    let answer = world.delete(&DEPLOYMENTS, "web", "Foreground").await.unwrap();
    assert_eq!(answer["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    world.until("the other pods are gone", async || world.list(&PODS).await.len() == 1).await;
    let set = world.list(&REPLICA_SETS).await.remove(0);
    assert_eq!(set["metadata"]["finalizers"], json!(["foregroundDeletion"]), "it waits for the pod");
    assert!(world.get(&DEPLOYMENTS, "web").await.is_some(), "and the Deployment for it");
    world.patch(&PODS, &name, json!({"metadata": {"finalizers": null}})).await;
    world.until("everything is gone", async || world.get(&DEPLOYMENTS, "web").await.is_none()).await;
    assert!(world.list(&REPLICA_SETS).await.is_empty() && world.list(&PODS).await.is_empty());
    world.end().await;
}

pub(crate) async fn orphans() {
    let world = World::start(1).await;
    world.create(&DEPLOYMENTS, &deployment("web", 2)).await;
    world.rolled_out("web").await;
    let uids = async || -> Vec<String> {
        let pods = world.list(&PODS).await;
        pods.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned()).collect()
    };
    let before = uids().await;
    world.delete(&DEPLOYMENTS, "web", "Orphan").await.unwrap();
    world.until("it is gone", async || world.get(&DEPLOYMENTS, "web").await.is_none()).await;
    let set = world.list(&REPLICA_SETS).await.remove(0);
    assert_eq!(set["metadata"].get("ownerReferences").filter(|owners| **owners != json!([])), None);
    assert_eq!(uids().await, before);
    // A Deployment of the same template takes the set as its own, and its pods stay.
    world.create(&DEPLOYMENTS, &deployment("web", 2)).await;
    world.rolled_out("web").await;
    assert_eq!((world.list(&REPLICA_SETS).await.len(), uids().await), (1, before));
    world.end().await;
}

pub(crate) async fn never_owned() {
    let world = World::start(0).await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "no-such-uid"});
    world.create(&CONFIG_MAPS, &json!({"metadata": {"name": "lost", "ownerReferences": [owner]}})).await;
    world.until("it is collected", async || world.get(&CONFIG_MAPS, "lost").await.is_none()).await;
    let kept = world.create(&CONFIG_MAPS, &json!({"metadata": {"name": "owner"}})).await;
    let owner =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": kept["metadata"]["uid"]});
    world.create(&CONFIG_MAPS, &json!({"metadata": {"name": "kept", "ownerReferences": [owner]}})).await;
    world
        .create(
            &CONFIG_MAPS,
            &json!({"metadata": {"name": "lost", "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "no-such-uid"}]}}),
        )
        .await;
    world.until("it is collected again", async || world.get(&CONFIG_MAPS, "lost").await.is_none()).await;
    assert!(world.get(&CONFIG_MAPS, "kept").await.is_some());
    world.end().await;
}

pub(crate) async fn accounts() {
    let world = World::start(0).await;
    world
        .until("they are there", async || {
            let account = world.get(&SERVICE_ACCOUNTS, "default").await;
            let map = world.get(&CONFIG_MAPS, "kube-root-ca.crt").await;
            account.is_some() && map.is_some_and(|map| map["data"]["ca.crt"] == "pem")
        })
        .await;
    world.delete(&SERVICE_ACCOUNTS, "default", "Background").await.unwrap();
    world.patch(&CONFIG_MAPS, "kube-root-ca.crt", json!({"data": {"ca.crt": "other"}})).await;
    world
        .until("they are put right", async || {
            let map = world.get(&CONFIG_MAPS, "kube-root-ca.crt").await.unwrap();
            map["data"]["ca.crt"] == "pem" && world.get(&SERVICE_ACCOUNTS, "default").await.is_some()
        })
        .await;
    world.end().await;
}
