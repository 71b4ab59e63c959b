//! Quotas, with everybody writing at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use control_plane::client::{Client, Gvr, Id};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{CONFIG_MAPS, PODS, World};

static QUOTAS: Gvr = Gvr::of("", "v1", "resourcequotas");
static LIMITS: Gvr = Gvr::of("", "v1", "limitranges");

async fn used(world: &World, name: &str) -> Option<i64> {
    let quota = world.get(&QUOTAS, "q").await?;
    quota["status"]["used"][name].as_str()?.parse().ok()
}

/// Makes the quota, and waits until it is known that there is so much of the first thing that it names.
async fn quota(world: &World, hard: Value, there: i64) {
    let counted = hard.as_object().unwrap().keys().next().unwrap().clone();
    world.create(&QUOTAS, &json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).await;
    world.until("it is counted", async || used(world, &counted).await == Some(there)).await;
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

/// So many of these creations are let in; all others say that the quota is exceeded.
async fn create_at_once(client: &Client, names: impl Iterator<Item = String>) -> usize {
    let made = Arc::new(AtomicUsize::new(0));
    let mut all = JoinSet::new();
    for name in names {
        let (client, made) = (client.clone(), made.clone());
        all.spawn(async move {
            match client.create(&CONFIG_MAPS, "default", &map(&name)).await {
                Ok(_) => drop(made.fetch_add(1, Ordering::Relaxed)),
                Err(refused) => assert!(
                    refused.message.contains("exceeded quota: q, requested: configmaps=1"),
                    "{refused}"
                ),
            }
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    made.load(Ordering::Relaxed)
}

/// However many write, a quota is never exceeded; what goes makes room.
pub(crate) async fn never_exceeded() {
    let world = World::start(0).await;
    world
        .until("the certificate is there", async || {
            world.get(&CONFIG_MAPS, "kube-root-ca.crt").await.is_some()
        })
        .await;
    quota(&world, json!({"configmaps": "21"}), 1).await;
    assert_eq!(create_at_once(&world.client, (0..100).map(|n| format!("m-{n}"))).await, 20);
    assert_eq!(used(&world, "configmaps").await, Some(21));
    let maps = world.list(&CONFIG_MAPS).await;
    let mine =
        maps.iter().filter_map(|map| map["metadata"]["name"].as_str()).filter(|name| name.starts_with("m-"));
    for name in mine.take(5) {
        world.delete(&CONFIG_MAPS, name, "Background").await.unwrap();
    }
    world.until("there is room", async || used(&world, "configmaps").await == Some(16)).await;
    assert_eq!(create_at_once(&world.client, (100..150).map(|n| format!("m-{n}"))).await, 5);
    assert_eq!(world.list(&CONFIG_MAPS).await.len(), 21);
    world.end().await;
}

/// Who comes and goes all the time, while it is counted, never gets more in than there is room for.
pub(crate) async fn exact_while_it_is_counted() {
    let world = World::start(0).await;
    world
        .until("the certificate is there", async || {
            world.get(&CONFIG_MAPS, "kube-root-ca.crt").await.is_some()
        })
        .await;
    quota(&world, json!({"configmaps": "6"}), 1).await;
    let mut all = JoinSet::new();
    for worker in 0..8 {
        let client = world.client.clone();
        all.spawn(async move {
            let mut made = 0;
            for round in 0..40 {
                let id = Id::new(&CONFIG_MAPS, "default", &format!("w-{worker}-{round}"));
                if client.create(&CONFIG_MAPS, "default", &map(&id.name)).await.is_err() {
                    continue;
                }
                made += 1;
                let there = client.list(&CONFIG_MAPS, "default", "").await.unwrap();
                let there = there["items"].as_array().map_or(0, Vec::len);
                assert!(there <= 6, "{there} are there, and 6 are allowed");
                client.delete(&id, &json!({})).await.unwrap();
            }
            made
        });
    }
    let mut made = 0;
    while let Some(done) = all.join_next().await {
        made += done.unwrap();
    }
    assert!(made >= 8, "only {made} were made");
    world.until("all is counted", async || used(&world, "configmaps").await == Some(1)).await;
    world.end().await;
}

/// A write that fails, and one that is only tried, cost nothing.
pub(crate) async fn failed_writes_cost_nothing() {
    let world = World::start(0).await;
    world
        .until("the certificate is there", async || {
            world.get(&CONFIG_MAPS, "kube-root-ca.crt").await.is_some()
        })
        .await;
    quota(&world, json!({"configmaps": "9"}), 1).await;
    world.create(&CONFIG_MAPS, &map("a")).await;
    assert_eq!(used(&world, "configmaps").await, Some(2));
    let again = world.client.create(&CONFIG_MAPS, "default", &map("a")).await.unwrap_err();
    assert!(again.is_conflict(), "{again}");
    assert_eq!(used(&world, "configmaps").await, Some(2));
    let path = format!("{}?dryRun=All", CONFIG_MAPS.path("default", ""));
    let tried = world.client.send(http::Method::POST, &path, "application/json", Some(&map("b"))).await;
    assert!(tried.is_ok());
    assert_eq!(used(&world, "configmaps").await, Some(2));
    world.end().await;
}

/// Pods are charged what they get by default, what they are resized to, and nothing once they are over.
pub(crate) async fn pods_are_charged_what_they_use() {
    let world = World::start(0).await;
    let limits = json!({"metadata": {"name": "l"}, "spec": {"limits": [
        {"type": "Container", "max": {"cpu": "3"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}]}});
    world.create(&LIMITS, &limits).await;
    quota(&world, json!({"requests.cpu": "4"}), 0).await;
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    world.create(&PODS, &pod("a")).await;
    assert_eq!(used(&world, "requests.cpu").await, Some(1));
    let resize = async |cpu: &str| {
        let amounts = json!({ "cpu": cpu });
        let patch = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": amounts, "limits": amounts}}]}});
        let id = Id::new(&PODS, "default", "a");
        world.client.patch(&id, "resize", control_plane::client::PatchType::Strategic, &patch).await
    };
    let refused = resize("4").await.unwrap_err();
    assert!(refused.message.contains("maximum cpu usage per Container is 3, but limit is 4"), "{refused}");
    resize("3").await.unwrap();
    assert_eq!(used(&world, "requests.cpu").await, Some(3));
    world.create(&PODS, &pod("b")).await;
    let refused = world.client.create(&PODS, "default", &pod("c")).await.unwrap_err();
    assert_eq!(
        refused.message,
        "pods \"c\" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=4, limited: \
         requests.cpu=4"
    );
    let over = json!({"status": {"phase": "Succeeded"}});
    let id = Id::new(&PODS, "default", "a");
    world.client.patch(&id, "status", control_plane::client::PatchType::Merge, &over).await.unwrap();
    world
        .until("the one that is over costs nothing", async || used(&world, "requests.cpu").await == Some(1))
        .await;
    world.create(&PODS, &pod("c")).await;
    world.end().await;
}
