//! ClusterRoles that gather the rules of others.

use control_plane::client::{Gvr, Id};
use serde_json::json;

use crate::world::World;

static CLUSTER_ROLES: Gvr = Gvr::of("rbac.authorization.k8s.io", "v1", "clusterroles");

pub(crate) async fn aggregated() {
    let world = World::start(0).await;
    let rules = async |name: &str| {
        let role = world.client.get(&Id::new(&CLUSTER_ROLES, "", name)).await.unwrap();
        role["rules"].as_array().map_or(0, Vec::len)
    };
    world
        .until("the roles of people grant something", async || {
            let (view, edit, admin) = (rules("view").await, rules("edit").await, rules("admin").await);
            0 < view && view < edit && edit < admin
        })
        .await;
    let before = rules("admin").await;
    let more = json!({"metadata": {"name": "more", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}]});
    world.client.create(&CLUSTER_ROLES, "", &more).await.unwrap();
    world.until("what views may do, admins may", async || rules("admin").await == before + 1).await;
    world.client.delete(&Id::new(&CLUSTER_ROLES, "", "more"), &json!({})).await.unwrap();
    world.until("and no longer", async || rules("admin").await == before).await;
    let role = world.client.get(&Id::new(&CLUSTER_ROLES, "", "view")).await.unwrap();
    let managers = role["metadata"]["managedFields"].as_array().unwrap();
    let manager = managers.iter().find(|entry| entry["manager"] == "clusterrole-aggregation-controller");
    assert_eq!(manager.unwrap()["operation"], "Apply");
    world.end().await;
}
