//! What admission has to say, asked by clients.

use control_plane::client::{Client, Gvr, Id, PatchType, Refused};
use serde_json::{Value, json};

use crate::world::{PODS, SERVICE_ACCOUNTS, World};

static NODES: Gvr = Gvr::of("", "v1", "nodes");
static CLAIMS: Gvr = Gvr::of("", "v1", "persistentvolumeclaims");
static STORAGE_CLASSES: Gvr = Gvr::of("storage.k8s.io", "v1", "storageclasses");
static INGRESSES: Gvr = Gvr::of("networking.k8s.io", "v1", "ingresses");
static INGRESS_CLASSES: Gvr = Gvr::of("networking.k8s.io", "v1", "ingressclasses");
static RUNTIME_CLASSES: Gvr = Gvr::of("node.k8s.io", "v1", "runtimeclasses");
static PRIORITIES: Gvr = Gvr::of("scheduling.k8s.io", "v1", "priorityclasses");

fn says(refused: Result<Value, Refused>, why: &str) {
    let refused = refused.expect_err(why);
    assert!(refused.code == 403 && refused.message.contains(why), "{}: {refused}", refused.code);
}

fn pod(name: &str, node: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}})
}

/// A node writes itself and what runs on it, and nothing else.
pub(crate) async fn nodes_write_about_themselves() {
    let world = World::start(0).await;
    let node = Client::new(world.server.clone(), "system:node:n", &["system:nodes"], "kubelet");
    let named = |name: &str| json!({"metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}}});
    let own = node.create(&NODES, "", &named("n")).await.unwrap();
    says(node.create(&NODES, "", &named("m")).await, "node \"n\" is not allowed to modify node \"m\"");
    let id = Id::new(&NODES, "", "n");
    let label = json!({"metadata": {"labels": {"a.node-restriction.kubernetes.io/b": "c"}}});
    says(
        node.patch(&id, "", PatchType::Merge, &label).await,
        "is not allowed to modify labels: a.node-restriction",
    );
    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    says(node.patch(&id, "", PatchType::Merge, &taint).await, "is not allowed to modify taints");
    let fine = json!({"metadata": {"labels": {"kubelet.kubernetes.io/x": "y"}}});
    node.patch(&id, "", PatchType::Merge, &fine).await.unwrap();

    says(node.create(&PODS, "default", &pod("p", "n")).await, "can only create mirror pods");
    let mut mirror = pod("mirror", "n");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "other", "controller": true});
    mirror["metadata"]["ownerReferences"] = json!([owner]);
    says(node.create(&PODS, "default", &mirror).await, "UID mismatch");
    mirror["metadata"]["ownerReferences"][0]["uid"] = own["metadata"]["uid"].clone();
    node.create(&PODS, "default", &mirror).await.unwrap();
    node.delete(&Id::new(&PODS, "default", "mirror"), &json!({"gracePeriodSeconds": 0})).await.unwrap();

    for (name, on) in [("mine", "n"), ("foreign", "m")] {
        world.create(&PODS, &pod(name, on)).await;
    }
    let running = json!({"status": {"phase": "Running"}});
    let [mine, foreign] = ["mine", "foreign"].map(|name| Id::new(&PODS, "default", name));
    node.patch(&mine, "status", PatchType::Merge, &running).await.unwrap();
    says(node.patch(&foreign, "status", PatchType::Merge, &running).await, "spec.nodeName set to itself");
    says(node.delete(&foreign, &json!({})).await, "can only delete pods with spec.nodeName set to itself");
    let evict =
        |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    says(node.post(&foreign, "eviction", &evict("foreign")).await, "can only evict pods");

    let account = Id::new(&SERVICE_ACCOUNTS, "default", "default");
    let request =
        |spec: Value| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    says(node.post(&account, "token", &request(json!({}))).await, "not bound to a pod");
    let uid = |pod: &Value| pod["metadata"]["uid"].clone();
    let other = world.get(&PODS, "foreign").await.unwrap();
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "foreign", "uid": uid(&other)});
    says(
        node.post(&account, "token", &request(json!({"boundObjectRef": bound}))).await,
        "scheduled on a different node",
    );
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": uid(&world.get(&PODS, "mine").await.unwrap())});
    let asked = request(json!({"boundObjectRef": bound, "audiences": ["elsewhere"]}));
    says(node.post(&account, "token", &asked).await, "audience \"elsewhere\" not found in pod spec volume");
    world.end().await;
}

/// Who names no class gets the marked one; what a class costs and allows is the class's to say.
pub(crate) async fn classes_fill_in() {
    let world = World::start(0).await;
    let class = |mark: &str, rest: Value| {
        let mut class = rest;
        class["metadata"] = json!({"name": "marked", "annotations": {mark: "true"}});
        class
    };
    let storage = class(
        "storageclass.kubernetes.io/is-default-class",
        json!({"provisioner": "p", "allowVolumeExpansion": true}),
    );
    world.client.create(&STORAGE_CLASSES, "", &storage).await.unwrap();
    let ingresses = class(
        "ingressclass.kubernetes.io/is-default-class",
        json!({"spec": {"controller": "example.com/c"}}),
    );
    world.client.create(&INGRESS_CLASSES, "", &ingresses).await.unwrap();
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(world.create(&CLAIMS, &claim).await["spec"]["storageClassName"], "marked");
    let service = json!({"service": {"name": "s", "port": {"number": 80}}});
    let ingress = json!({"metadata": {"name": "i"}, "spec": {"defaultBackend": service}});
    assert_eq!(world.create(&INGRESSES, &ingress).await["spec"]["ingressClassName"], "marked");

    let fixed = json!({"metadata": {"name": "fixed"}, "provisioner": "p"});
    world.client.create(&STORAGE_CLASSES, "", &fixed).await.unwrap();
    let mut of_fixed = claim;
    of_fixed["metadata"]["name"] = "f".into();
    of_fixed["spec"]["storageClassName"] = "fixed".into();
    world.create(&CLAIMS, &of_fixed).await;
    let more = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    for name in ["c", "f"] {
        let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        let id = Id::new(&CLAIMS, "default", name);
        world.client.patch(&id, "status", PatchType::Merge, &bound).await.unwrap();
    }
    world.patch(&CLAIMS, "c", more.clone()).await;
    let id = Id::new(&CLAIMS, "default", "f");
    let grown = world.client.patch(&id, "", PatchType::Merge, &more).await;
    says(grown, "the storageclass that provisions the pvc must support resize");

    let costs = json!({"metadata": {"name": "sandboxed"}, "handler": "h", "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {"nodeSelector": {"sandbox": "yes"}}});
    world.client.create(&RUNTIME_CLASSES, "", &costs).await.unwrap();
    let mut pod = pod("p", "n");
    pod["spec"]["runtimeClassName"] = "sandboxed".into();
    let made = world.create(&PODS, &pod).await;
    assert_eq!(
        (&made["spec"]["overhead"]["cpu"], &made["spec"]["nodeSelector"]["sandbox"]),
        (&json!("250m"), &json!("yes"))
    );
    pod["metadata"]["name"] = "q".into();
    pod["spec"]["runtimeClassName"] = "none".into();
    says(world.client.create(&PODS, "default", &pod).await, "pod rejected: RuntimeClass \"none\" not found");

    let default = |name: &str| json!({"metadata": {"name": name}, "value": 5, "globalDefault": true});
    world.client.create(&PRIORITIES, "", &default("one")).await.unwrap();
    says(
        world.client.create(&PRIORITIES, "", &default("two")).await,
        "PriorityClass one is already marked as default",
    );
    world.end().await;
}
