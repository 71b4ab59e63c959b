//! What machines that join know a cluster by.

use control_plane::client::{Gvr, Id, PatchType};
use serde_json::json;

use crate::world::{CONFIG_MAPS, World};

static SECRETS: Gvr = Gvr::of("", "v1", "secrets");

/// The names of the tokens that signed what stands there.
async fn signed(world: &World) -> Vec<String> {
    let map = world.client.get(&Id::new(&CONFIG_MAPS, "kube-public", "cluster-info")).await.unwrap();
    let names = map["data"].as_object().unwrap().keys();
    names.filter_map(|name| Some(name.strip_prefix("jws-kubeconfig-")?.to_owned())).collect()
}

pub(crate) async fn cluster_info() {
    let world = World::start(0).await;
    let token = |id: &str| {
        json!({"metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token", "stringData": {"token-id": id,
                "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true"}})
    };
    world.client.create(&SECRETS, "kube-system", &token("abcdef")).await.unwrap();
    let map = json!({"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "c"}});
    world.client.create(&CONFIG_MAPS, "kube-public", &map).await.unwrap();
    world.until("it is signed", async || signed(&world).await == ["abcdef"]).await;
    world.client.create(&SECRETS, "kube-system", &token("ghijkl")).await.unwrap();
    world.until("it is signed twice", async || signed(&world).await == ["abcdef", "ghijkl"]).await;

    let id = Id::new(&CONFIG_MAPS, "kube-public", "cluster-info");
    let of = async || world.client.get(&id).await.unwrap()["data"]["jws-kubeconfig-ghijkl"].clone();
    let before = of().await;
    world.client.patch(&id, "", PatchType::Merge, &json!({"data": {"kubeconfig": "d"}})).await.unwrap();
    world.until("what is new is signed", async || of().await != before).await;
    let gone = Id::new(&SECRETS, "kube-system", "bootstrap-token-abcdef");
    world.client.delete(&gone, &json!({})).await.unwrap();
    world.until("one signature goes", async || signed(&world).await == ["ghijkl"]).await;
    world.end().await;
}
