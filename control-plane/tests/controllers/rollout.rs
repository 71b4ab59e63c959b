//! Deployments and ReplicaSets.

use serde_json::{Value, json};

use crate::world::{DEPLOYMENTS, PODS, REPLICA_SETS, World, deployment, image};

fn revision(object: &Value) -> i64 {
    let text = object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(crate) async fn scales_rolls_and_goes_back() {
    let world = World::start(1).await;
    world.create(&DEPLOYMENTS, &deployment("web", 3)).await;
    world.rolled_out("web").await;
    assert_eq!(world.list(&PODS).await.len(), 3);

    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"replicas": 7}})).await;
    world.rolled_out("web").await;
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"replicas": 2}})).await;
    world.rolled_out("web").await;
    world.until("no more pods are there than asked for", async || world.list(&PODS).await.len() == 2).await;

    world.patch(&DEPLOYMENTS, "web", image("i:1")).await;
    world.rolled_out("web").await;
    let object = world.get(&DEPLOYMENTS, "web").await.unwrap();
    assert_eq!(revision(&object), 2);
    let sets = world.list(&REPLICA_SETS).await;
    assert_eq!(sets.len(), 2, "the former template is kept");

    // As kubectl does: the template of the former revision, without the label that tells it apart.
    let former = sets.iter().find(|set| revision(set) == 1).unwrap();
    let mut template = former["spec"]["template"].clone();
    template["metadata"]["labels"].as_object_mut().unwrap().remove("pod-template-hash");
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"template": template}})).await;
    world.rolled_out("web").await;
    let object = world.get(&DEPLOYMENTS, "web").await.unwrap();
    assert_eq!(revision(&object), 3);
    assert_eq!(world.list(&REPLICA_SETS).await.len(), 2, "no third one is made");
    let progressing =
        object["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Progressing");
    assert_eq!(progressing.unwrap()["reason"], "NewReplicaSetAvailable");
    world.end().await;
}

pub(crate) async fn no_pod_is_made_twice() {
    let world = World::start(1).await;
    world.create(&DEPLOYMENTS, &deployment("web", 120)).await;
    world.rolled_out("web").await;
    assert_eq!(world.list(&PODS).await.len(), 120);
    // A pod that goes is replaced, once.
    let name = world.list(&PODS).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    world.delete(&PODS, &name, "Background").await.unwrap();
    world.until("it is gone", async || world.get(&PODS, &name).await.is_none()).await;
    world.rolled_out("web").await;
    world.until("as many are there as before", async || world.list(&PODS).await.len() == 120).await;
    world.end().await;
}

pub(crate) async fn paused_waits() {
    let world = World::start(1).await;
    world.create(&DEPLOYMENTS, &deployment("web", 2)).await;
    world.rolled_out("web").await;
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"paused": true}})).await;
    let object = world.patch(&DEPLOYMENTS, "web", image("i:1")).await;
    world
        .until("the change is seen", async || {
            let now = world.get(&DEPLOYMENTS, "web").await.unwrap();
            now["status"]["observedGeneration"] == object["metadata"]["generation"]
        })
        .await;
    assert_eq!(world.list(&REPLICA_SETS).await.len(), 1);
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"paused": false}})).await;
    world.rolled_out("web").await;
    let pods = world.list(&PODS).await;
    assert!(pods.iter().all(|pod| {
        pod["spec"]["containers"][0]["image"] == "i:1" || !pod["metadata"]["deletionTimestamp"].is_null()
    }));
    world.end().await;
}

pub(crate) async fn free_pod_counts() {
    let world = World::start(1).await;
    // Dear, so that it stays also where the set was seen before it.
    let annotations = json!({"controller.kubernetes.io/pod-deletion-cost": "9"});
    let pod = json!({"metadata": {"name": "free", "labels": {"app": "web"}, "annotations": annotations},
        "spec": {"nodeName": "sim-0", "containers": [{"name": "c", "image": "i:0"}]}});
    world.create(&PODS, &pod).await;
    let mut set = deployment("web", 2);
    set["kind"] = "ReplicaSet".into();
    set["spec"].as_object_mut().unwrap().remove("progressDeadlineSeconds");
    world.create(&REPLICA_SETS, &set).await;
    world
        .until("the set has its pods, the free one among them", async || {
            let set = world.get(&REPLICA_SETS, "web").await.unwrap();
            let pods = world.list(&PODS).await;
            let owned = |pod: &&Value| pod["metadata"]["ownerReferences"][0]["uid"] == set["metadata"]["uid"];
            set["status"]["availableReplicas"] == 2
                && pods.len() == 2
                && pods.iter().filter(owned).count() == 2
        })
        .await;
    // Without the label it is nobody's again, and another one takes its place.
    world.patch(&PODS, "free", json!({"metadata": {"labels": {"app": null}}})).await;
    world
        .until("it is released", async || {
            let free = world.get(&PODS, "free").await.unwrap();
            free["metadata"].get("ownerReferences").is_none() && world.list(&PODS).await.len() == 3
        })
        .await;
    world.end().await;
}
