use std::io::Read as _;

use http_body_util::{BodyExt as _, Full};

use serde_json::{Value, json};

use super::*;
use crate::storage::{Change, Embedded, Expect};

struct World {
    server: Arc<Server>,
    feed: tokio::task::JoinHandle<Result<(), crate::storage::StoreError>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.feed.abort();
    }
}

struct Got {
    code: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl World {
    async fn new() -> Self {
        let server =
            Server::new(Arc::new(Embedded::in_memory().unwrap()), "1.2.3.4:6443".to_owned()).unwrap();
        let feed = tokio::spawn(server.clone().follow());
        let world = Self { server, feed };
        for name in ["default", "n"] {
            let namespace = json!({"metadata": {"name": name}, "status": {"phase": "Active"}});
            world.put(&format!("/registry/namespaces/{name}"), &namespace).await;
        }
        world
    }

    async fn send(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let (parts, body) = self.server.answer_as(User::master(), request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Got { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, uri: &str) -> Got {
        self.send("GET", uri, &[], "").await
    }

    async fn put(&self, key: &str, object: &Value) -> u64 {
        let change = Change::Put { value: object.to_string().into(), ttl: None };
        self.server.caches.store().write(key, Expect::Absent, change).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_as_clients_know_it() {
    let world = World::new().await;
    for (method, uri, code, reason) in [
        ("GET", "/zz", 404, None),
        ("GET", "/apis/zz.example/v1/things", 404, None),
        ("GET", "/api/v1/zz", 404, Some("NotFound")),
        ("GET", "/api/v1/namespaces/a/nodes", 404, Some("NotFound")),
        ("GET", "/api/v1/pods/p", 404, Some("NotFound")),
        ("GET", "/api/v1/namespaces/a/configmaps/c/status", 404, Some("NotFound")),
        ("GET", "/api/v1/namespaces/a/configmaps/c", 404, Some("NotFound")),
        ("POST", "/api/v1/configmaps", 405, Some("MethodNotAllowed")),
        ("POST", "/api/v1/namespaces/a/configmaps/c", 405, Some("MethodNotAllowed")),
        ("DELETE", "/api/v1/namespaces", 405, Some("MethodNotAllowed")),
        ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 405, Some("MethodNotAllowed")),
        ("POST", "/version", 405, Some("MethodNotAllowed")),
        ("PUT", "/api/v1/namespaces/a/configmaps/c", 400, Some("BadRequest")),
    ] {
        let got = world.send(method, uri, &[], "{}").await;
        let found = got.json()["reason"].as_str().map(str::to_owned);
        assert_eq!((got.code, found.as_deref()), (code, reason), "{method} {uri}");
    }
    let accept = [("accept", "text/html")];
    assert_eq!(world.send("GET", "/api/v1/pods", &accept, "").await.code, 406);
    let wrong = [("content-type", "text/plain")];
    assert_eq!(world.send("POST", "/api/v1/namespaces/a/configmaps", &wrong, "x").await.code, 415);
    let large = vec![b' '; request::BODY_LIMIT + 1];
    assert_eq!(world.send("POST", "/api/v1/namespaces/a/configmaps", &[], large).await.code, 413);
}

#[tokio::test]
async fn an_object_is_made_read_and_deleted() {
    let world = World::new().await;
    let body = r#"{"metadata":{"generateName":"c-","labels":{"a":"b"}},"data":{"k":"v"}}"#;
    let made = world.send("POST", "/api/v1/namespaces/n/configmaps", &[], body).await;
    let made = made.json();
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("c-") && name.len() == 7);
    let uri = format!("/api/v1/namespaces/n/configmaps/{name}");
    assert_eq!(world.get(&uri).await.json(), made);
    let yaml = world.send("GET", &uri, &[("accept", "application/yaml")], "").await;
    assert!(yaml.body.starts_with(b"apiVersion: v1\ndata:\n  k: v\nkind: ConfigMap\n"));
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let row = world.send("GET", &format!("{uri}?includeObject=Object"), &table, "").await.json();
    assert_eq!((&row["rows"][0]["cells"][1], &row["rows"][0]["object"]), (&json!(1), &made));

    let wrong = r#"{"preconditions":{"uid":"x"}}"#;
    assert_eq!(world.send("DELETE", &uri, &[], wrong).await.code, 409);
    let gone = world.send("DELETE", &uri, &[], "").await.json();
    assert_eq!((&gone["status"], &gone["details"]["uid"]), (&json!("Success"), &made["metadata"]["uid"]));
    assert_eq!(world.get(&uri).await.code, 404);
    let tried = format!(r#"{{"metadata":{{"name":"{name}"}}}}"#);
    let tried = world.send("POST", "/api/v1/namespaces/n/configmaps?dryRun=All", &[], tried).await;
    assert_eq!((tried.code, world.get(&uri).await.code), (201, 404));
}

#[tokio::test]
async fn one_event_is_served_in_two_groups() {
    let world = World::new().await;
    let body = r#"{"metadata":{"name":"e"},"regarding":{"kind":"Pod","namespace":"n","name":"p"},"note":"n",
        "eventTime":"2026-01-01T00:00:00.000000Z","reportingController":"a.b/c","reportingInstance":"i",
        "action":"A","reason":"R","type":"Normal"}"#;
    let uri = "/apis/events.k8s.io/v1/namespaces/n/events";
    assert_eq!(world.send("POST", uri, &[], body).await.json()["note"], "n");
    let core = world.get("/api/v1/namespaces/n/events/e").await.json();
    assert_eq!((&core["message"], &core["involvedObject"]["name"]), (&json!("n"), &json!("p")));
    assert_eq!((&core["apiVersion"], &core["kind"]), (&json!("v1"), &json!("Event")));
    let selected = world.get(&format!("{uri}?fieldSelector=regarding.name%3Dp,regarding.kind!%3DNode")).await;
    assert_eq!(selected.json()["items"][0]["note"], "n");
    let none = world.get(&format!("{uri}?fieldSelector=regarding.name%3Dq")).await.json();
    assert_eq!((&none["items"], &none["kind"]), (&json!([]), &json!("EventList")));
}

#[tokio::test]
async fn a_long_list_is_compressed_and_can_be_had_in_pages() {
    let world = World::new().await;
    for n in 0..1500 {
        let name = format!("c{n:04}");
        let object = json!({"metadata": {"name": name, "namespace": "n"}, "data": {"k": "v".repeat(100)}});
        world.put(&format!("/registry/configmaps/n/{name}"), &object).await;
    }
    let uri = "/api/v1/namespaces/n/configmaps";
    let plain = world.get(uri).await;
    let zipped = world.send("GET", uri, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(zipped.headers["content-encoding"], "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&zipped.body[..]).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain.body);
    assert_eq!(plain.json()["items"].as_array().unwrap().len(), 1500);

    let first = world.get(&format!("{uri}?limit=700")).await.json();
    assert_eq!(first["metadata"]["remainingItemCount"], 800);
    world.put("/registry/configmaps/n/c0000a", &json!({"metadata": {"name": "c0000a"}})).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = world.get(&format!("{uri}?limit=700&continue={token}")).await.json();
    assert_eq!(second["items"][0]["metadata"]["name"], "c0700");
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);

    let newest = world.put("/registry/configmaps/n/c0001a", &json!({"metadata": {"name": "c0001a"}})).await;
    world.server.caches.store().compact(newest).await.unwrap();
    // While the cache has not heard of the writes it rightly answers for what was before them.
    world.get(&format!("{uri}?limit=1")).await;
    let late = world.get(&format!("{uri}?limit=700&continue={token}")).await;
    assert_eq!((late.code, late.json()["reason"].as_str()), (410, Some("Expired")));
    let late = late.json();
    let token = late["metadata"]["continue"].as_str().unwrap();
    let rest = world.get(&format!("{uri}?limit=10&continue={token}")).await.json();
    assert_eq!(rest["items"][0]["metadata"]["name"], "c0700");
}

#[tokio::test]
async fn discovery_is_not_sent_again_to_those_who_have_it() {
    let world = World::new().await;
    let accept = ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let got = world.send("GET", "/apis", &[accept], "").await;
    assert_eq!(got.json()["kind"], "APIGroupDiscoveryList");
    assert_eq!(got.headers["content-type"], accept.1);
    let tag = got.headers["etag"].to_str().unwrap();
    let again = world.send("GET", "/apis", &[accept, ("if-none-match", tag)], "").await;
    assert_eq!((again.code, again.body.len()), (304, 0));
    let api = world.get("/api").await.json();
    assert_eq!(api["serverAddressByClientCIDRs"][0]["serverAddress"], "1.2.3.4:6443");
}

#[tokio::test]
async fn health_and_metrics() {
    let world = World::new().await;
    world.get("/api/v1/pods").await;
    let waiting = world.get("/readyz").await;
    let told = b"[-]bootstrap failed: what every cluster has is not written yet\nreadyz check failed\n";
    assert!(waiting.code == 500 && waiting.body.ends_with(told));
    world.server.set_prepared();
    assert_eq!(&world.get("/healthz").await.body[..], b"ok");
    let verbose = world.get("/readyz?verbose").await;
    assert_eq!(
        &verbose.body[..],
        b"[+]ping ok\n[+]store ok\n[+]shutdown ok\n[+]watch-cache ok\n[+]bootstrap ok\nreadyz check passed\n"
    );
    assert_eq!(&world.get("/readyz/store").await.body[..], b"ok");
    assert_eq!(world.get("/readyz/zz").await.code, 404);
    let metrics = world.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    let counted = |line: &&str| {
        [
            "apiserver_request_total{code=\"200\",",
            "resource=\"pods\",scope=\"cluster\",",
            "verb=\"LIST\",version=\"v1\"} 1",
        ]
        .iter()
        .all(|part| line.contains(part))
    };
    assert!(metrics.lines().any(|line| counted(&line)), "{metrics}");
    // The request for them is the one that is worked on.
    assert!(metrics.contains("apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n"));
}

#[tokio::test]
async fn a_closing_server_ends_its_watches_and_is_not_ready() {
    let world = World::new().await;
    let uri = "/api/v1/configmaps?watch=1&allowWatchBookmarks=true";
    let watch = world.get(uri);
    let close = async {
        let open = "apiserver_longrunning_requests{component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\"";
        while !String::from_utf8_lossy(&world.get("/metrics").await.body).contains(open) {
            tokio::task::yield_now().await;
        }
        world.server.closing.cancel();
    };
    let (watched, ()) = tokio::join!(watch, close);
    assert!(String::from_utf8_lossy(&watched.body).contains("k8s.io/initial-events-end"));
    assert_eq!(world.get("/readyz").await.code, 500);
    assert_eq!(world.get("/livez").await.code, 200);
}

/// The next line of a watch.
async fn line(body: &mut hyper::body::Incoming, read: &mut Vec<u8>) -> String {
    loop {
        if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let line = read.drain(..=end).collect();
            return String::from_utf8(line).unwrap();
        }
        let frame = body.frame().await.expect("the watch ended").unwrap();
        read.extend(frame.into_data().unwrap());
    }
}

#[tokio::test]
async fn one_http2_connection_carries_many_watches_and_a_slow_one_holds_up_none() {
    use hyper_util::rt::{TokioExecutor, TokioIo};

    const WATCHES: usize = 100;
    let world = World::new().await;
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    tokio::spawn(crate::apiserver::http::serve::connection(
        world.server.clone(),
        Peer::Known(User::master()),
        theirs,
    ));
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    // Room on the connection for what the slow watch does not take.
    builder.initial_connection_window_size(16 << 20).initial_stream_window_size(64 << 10);
    let (sender, connection) = builder.handshake(TokioIo::new(ours)).await.unwrap();
    tokio::spawn(connection);
    let open = async || {
        let uri = "http://api/api/v1/configmaps?watch=1&timeoutSeconds=600";
        let request = Request::get(uri).body(http_body_util::Empty::<Bytes>::new()).unwrap();
        sender.clone().send_request(request).await.unwrap().into_body()
    };
    let slow = open().await;
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push((open().await, Vec::new()));
    }
    for round in 0..50 {
        let object = json!({"metadata": {"name": format!("c{round}")}, "data": {"k": "v".repeat(4000)}});
        world.put(&format!("/registry/configmaps/n/c{round}"), &object).await;
        for (body, read) in &mut watches {
            assert!(line(body, read).await.contains(&format!("\"c{round}\"")));
        }
    }
    drop(slow);
}

type Written = std::result::Result<hyper::body::Frame<Bytes>, std::convert::Infallible>;

/// A request whose body never ends.
fn slow(uri: &str) -> Request<http_body_util::StreamBody<futures_util::stream::Pending<Written>>> {
    let body = http_body_util::StreamBody::new(futures_util::stream::pending());
    Request::post(uri).body(body).unwrap()
}

#[tokio::test]
async fn slow_writers_of_one_user_stop_nobody_else_and_watches_take_no_seats() {
    let world = World::new().await;
    world.server.inflight.set(Limits { reads: 4, writes: 4, per_second: 0 });
    let everything = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
    let role = json!({"metadata": {"name": "all"}, "rules": everything});
    world.put("/registry/clusterroles/all", &role).await;
    let binding = json!({
        "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "all"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "g"}],
    });
    world.put("/registry/clusterrolebindings/all", &binding).await;
    let uri = "/api/v1/namespaces/n/configmaps";
    let user = |name: &str| User::new(name, &["g"]);
    let flood: tokio::task::JoinSet<_> = (0..302)
        .map(|_| {
            let (server, peer) = (world.server.clone(), Peer::Known(user("greedy")));
            async move { server.answer(&peer, slow(uri)).await.status() }
        })
        .collect();
    while world.server.inflight.counts()[1].waiting < 300 {
        tokio::task::yield_now().await;
    }
    let refused =
        world.server.answer_as(user("greedy"), Request::post(uri).body(Full::default()).unwrap()).await;
    let (parts, body) = refused.into_parts();
    assert_eq!((parts.status.as_u16(), parts.headers["retry-after"].to_str().unwrap()), (429, "1"));
    let words = body.collect().await.unwrap().to_bytes();
    assert_eq!(&words[..], b"Too many requests, please try again later.\n");

    let object = || Full::from(r#"{"metadata":{"generateName":"c-"}}"#);
    for _ in 0..3 {
        let made = world.server.answer_as(user("modest"), Request::post(uri).body(object()).unwrap()).await;
        assert_eq!(made.status(), 201);
    }
    let mut watches = Vec::new();
    for _ in 0..20 {
        let watch = Request::get(format!("{uri}?watch=1&timeoutSeconds=600")).body(Full::default()).unwrap();
        watches.push(world.server.answer_as(user("greedy"), watch).await);
    }
    assert!(watches.iter().all(|watch| watch.status() == 200));
    let read = world.server.answer_as(user("greedy"), Request::get(uri).body(Full::default()).unwrap()).await;
    assert_eq!((read.status().as_u16(), world.server.inflight.counts()[0].running), (200, 0));
    drop(flood);
    while world.server.inflight.counts()[1].waiting > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn long_headers_and_queries_are_taken_up_to_a_limit() {
    use hyper_util::rt::TokioIo;

    let world = World::new().await;
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let served =
        crate::apiserver::http::serve::connection(world.server.clone(), Peer::Known(User::master()), theirs);
    tokio::spawn(served);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
    tokio::spawn(connection);
    for (query, header, code) in [(60_000, 10, 200), (10, 200 << 10, 200), (10, 300 << 10, 431)] {
        let request = Request::get(format!("/version?x={}", "x".repeat(query)))
            .header("host", "api")
            .header("x-long", "x".repeat(header))
            .body(http_body_util::Empty::<Bytes>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), code, "{query} {header}");
        answer.into_body().collect().await.unwrap();
    }
}
