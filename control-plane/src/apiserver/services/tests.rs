use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::*;
use crate::apiserver::auth::User;
use crate::apiserver::server::Server;
use crate::bootstrap;
use crate::storage::Embedded;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";

/// Servers of one store.
struct World(Vec<Arc<Server>>);

impl World {
    async fn new(ranges: &str, ports: &str, servers: usize) -> Self {
        let store = Arc::new(Embedded::in_memory().unwrap());
        let network = Network { ranges: ranges.parse().unwrap(), node_ports: ports.parse().unwrap() };
        let mut all = Vec::new();
        for _ in 0..servers {
            let server = Server::of(store.clone(), "1.2.3.4:6443".to_owned(), network, None).unwrap();
            drop(tokio::spawn(server.clone().follow()));
            bootstrap::prepare(&server).await.unwrap();
            all.push(server);
        }
        Self(all)
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        send(&self.0[0], method, path, body).await
    }

    async fn create(&self, name: &str, spec: Value) -> (u16, Value) {
        self.send(Method::POST, SERVICES, &service(name, spec)).await
    }

    /// Merges something into a Service.
    async fn patch(&self, name: &str, spec: Value) -> (u16, Value) {
        self.send(Method::PATCH, &format!("{SERVICES}/{name}"), &json!({ "spec": spec })).await
    }

    async fn delete(&self, path: &str) -> u16 {
        self.send(Method::DELETE, path, &Value::Null).await.0
    }

    /// The addresses that are taken, and whose they are.
    async fn taken(&self) -> Vec<(String, String)> {
        let list = self.send(Method::GET, ADDRESSES, &Value::Null).await.1;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| (text(&item["metadata"]["name"]), text(&item["spec"]["parentRef"]["name"])))
            .collect()
    }

    async fn ports(&self) -> Vec<i64> {
        store::ports(&self.0[0]).await.unwrap().unwrap().0.iter().collect()
    }
}

async fn send(server: &Arc<Server>, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let request = Request::builder().method(method).uri(path).header("content-type", media);
    let answer = server.answer_as(User::master(), request.body(Full::new(bytes)).unwrap()).await;
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap())
}

fn service(name: &str, mut spec: Value) -> Value {
    if spec["ports"].is_null() && spec["type"] != "ExternalName" {
        spec["ports"] = json!([{ "port": 80 }]);
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

fn own(address: &str, name: &str) -> (String, String) {
    (address.to_owned(), name.to_owned())
}

fn message(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn an_address_is_taken_with_the_service_and_given_back_with_it() {
    let world = World::new("10.0.0.0/28", "30000-30009", 1).await;
    let (code, made) = world.create("a", json!({"clusterIP": "10.0.0.5"})).await;
    assert_eq!((code, &made["spec"]["clusterIPs"]), (201, &json!(["10.0.0.5"])));
    assert_eq!(world.taken().await, [own("10.0.0.5", "a")]);
    let twice = world.create("b", json!({"clusterIP": "10.0.0.5"})).await;
    let why = "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.0.0.5\"]: failed to allocate IP 10.0.0.5: provided IP is already allocated";
    assert_eq!(message(&twice), (422, why));
    let outside = world.create("b", json!({"clusterIP": "10.0.0.15"})).await;
    assert!(message(&outside).1.ends_with("the provided network does not match the current range"));

    assert_eq!(world.patch("a", json!({"type": "ExternalName", "externalName": "a.b"})).await.0, 200);
    assert_eq!(world.taken().await, []);
    assert_eq!(world.patch("a", json!({"type": "NodePort", "externalName": null})).await.0, 200);
    assert_eq!((world.taken().await.len(), world.ports().await.len()), (1, 1));
    assert_eq!(world.delete(&format!("{SERVICES}/a")).await, 200);
    assert_eq!((world.taken().await, world.ports().await), (vec![], vec![]));
}

#[tokio::test]
async fn what_comes_to_nothing_takes_nothing() {
    let world = World::new("10.0.0.0/28", "30000-30009", 1).await;
    let twice = json!([{"port": 80}, {"port": 81}]);
    for spec in [
        // Ports without names, a port that is none, two ports of one number.
        json!({"type": "NodePort", "ports": twice}),
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001, "name": "A_"}]}),
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}, {"port": 81, "nodePort": 80}]}),
        json!({"ipFamilyPolicy": "RequireDualStack"}),
    ] {
        assert_eq!(world.create("a", spec.clone()).await.0, 422, "{spec}");
    }
    let dry = format!("{SERVICES}?dryRun=All");
    let tried = world.send(Method::POST, &dry, &service("a", json!({"type": "NodePort"}))).await;
    assert!(
        tried.0 == 201
            && tried.1["spec"]["clusterIP"].is_string()
            && tried.1["spec"]["ports"][0]["nodePort"].is_i64()
    );
    assert_eq!((world.taken().await, world.ports().await), (vec![], vec![]));

    assert_eq!(world.create("a", json!({"type": "NodePort"})).await.0, 201);
    let (taken, ports) = (world.taken().await, world.ports().await);
    assert_eq!(world.create("a", json!({"type": "NodePort"})).await.0, 409);
    assert_eq!(world.patch("a", json!({"type": "LoadBalancer", "sessionAffinity": "x"})).await.0, 422);
    assert_eq!(world.delete(&format!("{SERVICES}/a?dryRun=All")).await, 200);
    assert_eq!((world.taken().await, world.ports().await), (taken, ports));
}

#[tokio::test]
async fn writers_of_several_servers_never_have_the_same() {
    const SERVERS: usize = 3;
    let world = World::new("10.0.0.0/26", "30000-30031", SERVERS).await;
    // As many as there are ports, each of several servers at once, twice over: half of them give theirs back meanwhile.
    let made = join_all((0..32).map(|index| {
        let server = world.0[index % SERVERS].clone();
        tokio::spawn(async move {
            let object = service(&format!("s{index}"), json!({"type": "NodePort"}));
            let (code, made) = send(&server, Method::POST, SERVICES, &object).await;
            assert_eq!(code, 201, "{made}");
            if index % 2 == 0 {
                let path = format!("{SERVICES}/s{index}");
                assert_eq!(send(&server, Method::DELETE, &path, &Value::Null).await.0, 200);
                assert_eq!(send(&server, Method::POST, SERVICES, &object).await.0, 201);
            }
        })
    }));
    assert!(made.await.into_iter().all(|done| done.is_ok()));
    let list = world.send(Method::GET, SERVICES, &Value::Null).await.1;
    let all = list["items"].as_array().unwrap();
    let each = |pointer: &str| -> BTreeSet<String> {
        all.iter().map(|service| service.pointer(pointer).unwrap().to_string()).collect()
    };
    assert_eq!((each("/spec/clusterIP").len(), each("/spec/ports/0/nodePort").len()), (32, 32));
    assert_eq!((world.taken().await.len(), world.ports().await.len()), (32, 32));
    let full = world.create("more", json!({"type": "NodePort"})).await;
    assert_eq!(
        message(&full),
        (500, "Internal error occurred: failed to allocate a nodePort: range is full")
    );
    assert_eq!(world.taken().await.len(), 32);

    // One address, and many who ask for it.
    let asked = join_all((0..8).map(|index| {
        let server = world.0[index % SERVERS].clone();
        tokio::spawn(async move {
            let object = service(&format!("t{index}"), json!({"clusterIP": "10.0.0.1"}));
            send(&server, Method::POST, SERVICES, &object).await.0
        })
    }));
    let codes: Vec<u16> = asked.await.into_iter().map(|code| code.unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), 1, "{codes:?}");
}

#[tokio::test]
async fn a_second_family_comes_and_goes() {
    let world = World::new("10.0.0.0/28,fd00::/120", "30000-30009", 1).await;
    let (code, made) = world.create("a", json!({"ipFamilyPolicy": "PreferDualStack"})).await;
    assert_eq!((code, &made["spec"]["ipFamilies"]), (201, &json!(["IPv4", "IPv6"])));
    assert_eq!((made["spec"]["clusterIPs"].as_array().unwrap().len(), world.taken().await.len()), (2, 2));
    let (code, single) = world.patch("a", json!({"ipFamilyPolicy": "SingleStack"})).await;
    assert_eq!((code, &single["spec"]["clusterIPs"]), (200, &json!([made["spec"]["clusterIP"]])));
    assert_eq!(world.taken().await.len(), 1);
    let (code, dual) = world.patch("a", json!({"ipFamilyPolicy": "RequireDualStack"})).await;
    assert_eq!(
        (code, dual["spec"]["clusterIPs"].as_array().unwrap().len(), world.taken().await.len()),
        (200, 2, 2)
    );
    let (_, six) = world.create("b", json!({"ipFamilies": ["IPv6"]})).await;
    assert!(six["spec"]["clusterIP"].as_str().unwrap().starts_with("fd00::"));
    let (_, range) = world.send(Method::GET, &format!("{RANGES}/kubernetes"), &Value::Null).await;
    assert_eq!(range["spec"]["cidrs"], json!(["10.0.0.0/28", "fd00::/120"]));
    assert_eq!(range["status"]["conditions"][0]["status"], "True");
}

#[tokio::test]
async fn a_full_range_is_helped_by_another_one() {
    let world = World::new("10.0.0.0/28", "30000-30009", 1).await;
    for index in 0..14 {
        assert_eq!(world.create(&format!("s{index}"), json!({})).await.0, 201);
    }
    let full = world.create("more", json!({})).await;
    let why = "Internal error occurred: failed to allocate a serviceIP for Service \"more\": range is full";
    assert_eq!(message(&full), (500, why));
    let more = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"},
        "spec": {"cidrs": ["10.0.1.0/28"]}});
    assert_eq!(world.send(Method::POST, RANGES, &more).await.0, 201);
    let (code, made) = world.create("more", json!({})).await;
    assert!(code == 201 && made["spec"]["clusterIP"].as_str().unwrap().starts_with("10.0.1."), "{made}");
}

#[tokio::test]
async fn ports_that_nobody_has_are_found() {
    let world = World::new("10.0.0.0/28", "30000-30009", 1).await;
    assert_eq!(world.create("a", json!({"type": "NodePort"})).await.0, 201);
    let used = world.ports().await;
    let (mut map, revision) = store::ports(&world.0[0]).await.unwrap().unwrap();
    map.take_any(3).unwrap();
    assert!(store::put_ports(&world.0[0], &map, Some(revision)).await.unwrap());
    let mut leaks = repair::Leaks::new();
    for left in [2, 2, 1] {
        repair::pass(&world.0[0], &mut leaks).await.unwrap();
        assert_eq!(world.ports().await.len(), left);
    }
    assert_eq!(world.ports().await, used);
}

#[test]
fn a_cluster_has_a_block_or_one_of_each_family() {
    let both: Ranges = "10.96.0.0/12,fd00::/112".parse().unwrap();
    assert_eq!((both.to_string().as_str(), both.blocks().count()), ("10.96.0.0/12,fd00::/112", 2));
    assert_eq!("fd00::/112".parse::<Ranges>().unwrap().to_string(), "fd00::/112");
    let twice = "10.0.0.0/16,10.1.0.0/16".parse::<Ranges>().unwrap_err();
    assert_eq!(twice.to_string(), "\"10.0.0.0/16,10.1.0.0/16\" has two blocks of one family");
    assert!("10.0.0.0/16,".parse::<Ranges>().is_err());
    assert_eq!(Network::default().ranges.to_string(), "10.96.0.0/12");
    assert_eq!(Network::default().families(), [Family::V4]);
}
