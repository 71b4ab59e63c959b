use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::apiserver::auth::tls::Authorities;
use crate::apiserver::auth::token::{Issuer, SigningKey, Verifier};
use crate::apiserver::server::Server;
use crate::storage::Embedded;

struct World {
    server: Arc<Server>,
    following: tokio::task::JoinHandle<Result<(), crate::storage::StoreError>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.following.abort();
    }
}

const AUDIENCE: &str = "https://kubernetes.default.svc";

fn security() -> Security {
    let now = Timestamp::now();
    let key = ca::new_key().unwrap();
    let certificate = ca::issue(&ca::Profile::Authority { name: "kubernetes" }, &key, None, now).unwrap();
    let signing = SigningKey::from_pem(&key).unwrap();
    let tokens = Verifier {
        issuers: vec![AUDIENCE.to_owned()],
        keys: vec![signing.public().clone()],
        audiences: vec![AUDIENCE.to_owned()],
    };
    let issuer = Issuer {
        url: AUDIENCE.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        longest: None,
        extend: true,
        key: signing,
    };
    let clients = Authorities::new(&certificate).unwrap();
    let authenticator = Authenticator { clients, tokens, anonymous: true };
    Security { authenticator, issuer, authority: ca::Pair { certificate, key } }
}

impl World {
    fn new() -> Self {
        let store = Arc::new(Embedded::in_memory().unwrap());
        let server = Server::secured(store, "1.2.3.4:6443".to_owned(), security()).unwrap();
        let following = tokio::spawn(server.clone().follow());
        Self { server, following }
    }

    async fn send(&self, peer: &Peer, method: &str, uri: &str, token: &str, body: Value) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(uri);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = self.server.answer(peer, request.body(Full::new(body)).unwrap()).await;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }

    /// What the server itself does.
    async fn create(&self, uri: &str, object: Value) -> Value {
        let (code, answer) = self.send(&Peer::Known(User::master()), "POST", uri, "", object).await;
        assert_eq!(code, 201, "{answer}");
        answer
    }

    fn certificate(&self, user: &str) -> Peer {
        let authority = &self.server.access.security().unwrap().authority;
        let key = ca::new_key().unwrap();
        let profile = ca::Profile::Client { user, group: None };
        let pem = ca::issue(&profile, &key, Some(authority), Timestamp::now()).unwrap();
        let (_, der) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        Peer::Shown(Shown::new(vec![der.contents]))
    }
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn binding(name: &str, role: &str, subject: Value) -> Value {
    json!({
        "metadata": {"name": name}, "subjects": [subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
    })
}

#[tokio::test]
async fn what_is_granted_can_be_done_at_once_and_nothing_else() {
    let world = World::new();
    let alice = world.certificate("alice");
    let pods = "/api/v1/namespaces/d/pods";
    let (code, refusal) = world.send(&alice, "GET", pods, "", Value::Null).await;
    assert_eq!(code, 403);
    let why = "pods is forbidden: User \"alice\" cannot list resource \"pods\" in API group \"\" in the namespace \"d\"";
    assert_eq!(refusal["message"], why);
    let role = json!({"metadata": {"name": "r"}, "rules": [
        {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]},
    ]});
    world.create(&format!("{RBAC}/clusterroles"), role).await;
    let user = json!({"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"});
    world.create(&format!("{RBAC}/clusterrolebindings"), binding("b", "r", user)).await;
    assert_eq!(world.send(&alice, "GET", pods, "", Value::Null).await.0, 200);
    assert_eq!(world.send(&alice, "DELETE", pods, "", Value::Null).await.0, 403);
    assert_eq!(world.send(&world.certificate("bob"), "GET", pods, "", Value::Null).await.0, 403);
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_hold() {
    let world = World::new();
    world.create("/api/v1/namespaces", json!({"metadata": {"name": "d"}})).await;
    let role = json!({"metadata": {"name": "maker"}, "rules": [
        {"verbs": ["create", "update"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
    ]});
    world.create(&format!("{RBAC}/clusterroles"), role).await;
    let user = json!({"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"});
    world.create(&format!("{RBAC}/clusterrolebindings"), binding("b", "maker", user)).await;
    let alice = world.certificate("alice");
    let role = |resource: &str| json!({"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}]});
    let roles = format!("{RBAC}/namespaces/d/roles");
    let (code, refusal) = world.send(&alice, "POST", &roles, "", role("secrets")).await;
    let why = refusal["message"].as_str().unwrap_or_default();
    assert!(
        code == 403 && why.contains("is attempting to grant RBAC permissions not currently held"),
        "{why}"
    );
    assert_eq!(world.send(&alice, "POST", &roles, "", role("pods")).await.0, 201);
    assert_eq!(world.send(&alice, "PUT", &format!("{roles}/r"), "", role("secrets")).await.0, 403);
}

#[tokio::test]
async fn a_token_is_good_while_its_account_is_there() {
    let world = World::new();
    let nobody = Peer::Shown(Shown::default());
    world.create("/api/v1/namespaces", json!({"metadata": {"name": "d"}})).await;
    let accounts = "/api/v1/namespaces/d/serviceaccounts";
    world.create(accounts, json!({"metadata": {"name": "a"}})).await;
    let made = world.create(&format!("{accounts}/a/token"), json!({"spec": {"audiences": []}})).await;
    let token = made["status"]["token"].as_str().unwrap();
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let group =
        json!({"kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io"});
    let role = json!({"metadata": {"name": "who"}, "rules": [
        {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
    ]});
    world.create(&format!("{RBAC}/clusterroles"), role).await;
    world.create(&format!("{RBAC}/clusterrolebindings"), binding("who", "who", group)).await;
    let (code, me) = world.send(&nobody, "POST", whoami, token, json!({})).await;
    assert_eq!(
        (code, &me["status"]["userInfo"]["username"]),
        (201, &json!("system:serviceaccount:d:a")),
        "{me}"
    );

    assert_eq!(world.send(&nobody, "POST", whoami, "a.b.c", json!({})).await.0, 401);
    let (code, anonymous) = world.send(&nobody, "POST", whoami, "", json!({})).await;
    assert_eq!((code, anonymous["reason"].as_str()), (403, Some("Forbidden")), "anonymous is nobody");
    let master = Peer::Known(User::master());
    assert_eq!(world.send(&master, "DELETE", &format!("{accounts}/a"), "", Value::Null).await.0, 200);
    assert_eq!(world.send(&nobody, "POST", whoami, token, json!({})).await.0, 401);
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_nobodys() {
    let (world, other) = (World::new(), World::new());
    let foreign = other.certificate("alice");
    assert_eq!(world.send(&foreign, "GET", "/version", "", Value::Null).await.0, 401);
}

#[tokio::test]
async fn a_server_without_credentials_lets_nobody_in() {
    let server = Server::new(Arc::new(Embedded::in_memory().unwrap()), "1.2.3.4:6443".to_owned()).unwrap();
    let request = Request::get("/version").body(Full::new(Bytes::new())).unwrap();
    let answer = server.answer(&Peer::Shown(Shown::default()), request).await;
    assert_eq!(answer.status(), 401);
}

#[test]
fn a_field_selector_can_name_the_object() {
    use crate::apiserver::auth::Target;
    use crate::apiserver::http::path::RequestInfo;
    use crate::apiserver::http::query::Query;
    let ask = |selector: &str| {
        let query = Query::parse(&format!("fieldSelector={selector}"));
        let info = RequestInfo::parse(&http::Method::GET, "/api/v1/namespaces/n/secrets", &query);
        let asked = Asked::new(&info, &query);
        let Target::Resource(on) = asked.action().target else { panic!() };
        (on.name.to_owned(), on.fields.to_vec())
    };
    assert_eq!(ask("metadata.name%3Ds"), ("s".into(), vec![("metadata.name".into(), "s".into())]));
    assert_eq!(ask("type!%3Dx,spec.nodeName%3Dn"), ("".into(), vec![("spec.nodeName".into(), "n".into())]));
    assert_eq!(ask("((").0, "");
}
