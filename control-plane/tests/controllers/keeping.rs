//! What is kept while it is used, and what nobody else takes away.

use control_plane::client::{Gvr, Id, PatchType};
use serde_json::json;

use crate::world::{PODS, World};

static CLAIMS: Gvr = Gvr::of("", "v1", "persistentvolumeclaims");

pub(crate) async fn claims() {
    let world = World::start(1).await;
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    world.create(&CLAIMS, &claim).await;
    let protected = json!(["kubernetes.io/pvc-protection"]);
    let finalizers =
        async || world.get(&CLAIMS, "c").await.map(|claim| claim["metadata"]["finalizers"].clone());
    world.until("it is protected", async || finalizers().await == Some(protected.clone())).await;
    // The scheduler does not look at volumes yet: the pod has its node.
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "sim-0",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}});
    world.create(&PODS, &pod).await;
    world
        .until("it runs", async || {
            world.get(&PODS, "p").await.is_some_and(|pod| pod["status"]["phase"] == "Running")
        })
        .await;
    world.delete(&CLAIMS, "c", "Background").await.unwrap();
    // Whatever it does about the claim happens before it does something about a later one.
    let mut later = claim.clone();
    later["metadata"]["name"] = "later".into();
    world.create(&CLAIMS, &later).await;
    let met = async || world.get(&CLAIMS, "later").await.unwrap()["metadata"]["finalizers"] == protected;
    world.until("the later one is protected", met).await;
    assert!(world.get(&CLAIMS, "c").await.is_some(), "it is in use");
    world.delete(&PODS, "p", "Background").await.unwrap();
    world.until("it goes with the pod", async || world.get(&CLAIMS, "c").await.is_none()).await;
    world.end().await;
}

pub(crate) async fn classes() {
    let world = World::start(0).await;
    let classes = Gvr::of("storage.k8s.io", "v1", "volumeattributesclasses");
    let id = |name: &str| Id::new(&classes, "", name);
    let class =
        |name: &str| json!({"metadata": {"name": name}, "driverName": "d.example", "parameters": {"a": "b"}});
    for name in ["used", "other"] {
        let made = world.client.create(&classes, "", &class(name)).await.unwrap();
        assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/vac-protection"]));
    }
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "volumeAttributesClassName": "used", "resources": {"requests": {"storage": "1Gi"}}}});
    world.create(&CLAIMS, &claim).await;
    for name in ["used", "other"] {
        world.client.delete(&id(name), &json!({})).await.unwrap();
    }
    let gone = async |name: &str| world.client.get(&id(name)).await.is_err_and(|why| why.is_not_found());
    world.until("the other one is gone", async || gone("other").await).await;
    assert!(!gone("used").await, "it is in use");
    world.delete(&CLAIMS, "c", "Background").await.unwrap();
    world.until("it goes with the claim", async || gone("used").await).await;
    world.end().await;
}

pub(crate) async fn unscheduled() {
    let world = World::start(0).await;
    let pod = json!({"metadata": {"name": "p", "finalizers": ["test.example/hold"]},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    world.create(&PODS, &pod).await;
    world.delete(&PODS, "p", "Background").await.unwrap();
    world
        .until("it failed", async || {
            world.get(&PODS, "p").await.is_some_and(|pod| pod["status"]["phase"] == "Failed")
        })
        .await;
    let free = json!({"metadata": {"finalizers": null}});
    world.client.patch(&Id::new(&PODS, "default", "p"), "", PatchType::Merge, &free).await.unwrap();
    world.until("it is gone", async || world.get(&PODS, "p").await.is_none()).await;
    world.end().await;
}
