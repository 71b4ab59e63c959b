//! Evictions keep to budgets.

use control_plane::client::{Gvr, Id, PatchType};
use serde_json::{Value, json};

use crate::world::{DEPLOYMENTS, PODS, World, deployment};

static BUDGETS: Gvr = Gvr::of("policy", "v1", "poddisruptionbudgets");

/// `expectedPods`, `desiredHealthy`, `currentHealthy`, `disruptionsAllowed`.
async fn numbers(world: &World) -> Option<[i64; 4]> {
    let budget = world.get(&BUDGETS, "web").await?;
    let status = &budget["status"];
    if status["observedGeneration"] != budget["metadata"]["generation"] {
        return None;
    }
    Some(
        ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"]
            .map(|field| status[field].as_i64().unwrap_or(-1)),
    )
}

async fn evict(world: &World, name: &str) -> Result<Value, control_plane::client::Refused> {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}});
    world.client.post(&Id::new(&PODS, "default", name), "eviction", &eviction).await
}

pub(crate) async fn keeps_to_budgets() {
    let world = World::start(1).await;
    let selector = json!({"matchLabels": {"app": "web"}});
    let budget =
        json!({"metadata": {"name": "web"}, "spec": {"maxUnavailable": "34%", "selector": selector}});
    world.create(&BUDGETS, &budget).await;
    world.until("nothing is expected", async || numbers(&world).await == Some([0, 0, 0, 0])).await;
    world.create(&DEPLOYMENTS, &deployment("web", 3)).await;
    world.until("two of three may go", async || numbers(&world).await == Some([3, 1, 3, 2])).await;

    // A pod that somebody holds back is going, and counts no longer.
    let names: Vec<String> = world
        .list(&PODS)
        .await
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    for name in &names {
        let hold = json!({"metadata": {"finalizers": ["test.example/hold"]}});
        world.client.patch(&Id::new(&PODS, "default", name), "", PatchType::Merge, &hold).await.unwrap();
    }
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"paused": true}})).await;
    world.patch(&BUDGETS, "web", json!({"spec": {"maxUnavailable": 1}})).await;
    world.until("one may go", async || numbers(&world).await == Some([3, 2, 3, 1])).await;
    evict(&world, &names[0]).await.unwrap();
    let refused = evict(&world, &names[1]).await.unwrap_err();
    assert_eq!((refused.code, refused.causes), (429, vec!["DisruptionBudget".to_owned()]));
    world.until("its successor makes room", async || numbers(&world).await == Some([3, 2, 3, 1])).await;
    evict(&world, &names[1]).await.unwrap();
    let budget = world.get(&BUDGETS, "web").await.unwrap();
    assert_eq!(budget["status"]["conditions"][0]["type"], "DisruptionAllowed");
    world.end().await;
}
