//! What is asked of a server, by how many at once, and how long it takes.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Result;
use crate::client::{Client, JSON, Target};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Requests of one kind.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    Create,
    Get,
    /// A page of 100 ConfigMaps.
    List,
    Patch,
    Apply,
    /// Services and EndpointSlices by turns.
    Services,
}

/// How long requests took.
pub(crate) struct Times {
    /// Sorted.
    each: Vec<Duration>,
    all: Duration,
}

impl Times {
    pub(crate) fn per_second(&self) -> f64 {
        self.each.len() as f64 / self.all.as_secs_f64()
    }

    /// In milliseconds; of 100.
    pub(crate) fn percentile(&self, of: usize) -> f64 {
        let at = (self.each.len() * of / 100).min(self.each.len().saturating_sub(1));
        self.each.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// So many requests by so many clients at once, each on a connection of its own. `round` keeps names apart.
pub(crate) async fn run(
    target: &Target,
    what: Request,
    clients: usize,
    count: usize,
    round: usize,
) -> Result<Times> {
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(target.client().await?);
    }
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (index, mut client) in connected.into_iter().enumerate() {
        tasks.spawn(async move {
            let mut times = Vec::new();
            for n in (index..count).step_by(clients) {
                let began = Instant::now();
                what.send(&mut client, index, n, round).await?;
                times.push(began.elapsed());
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(times)
        });
    }
    let mut each = Vec::new();
    while let Some(done) = tasks.join_next().await {
        each.extend(done??);
    }
    let all = began.elapsed();
    each.sort_unstable();
    Ok(Times { each, all })
}

impl Request {
    async fn send(self, client: &mut Client, index: usize, n: usize, round: usize) -> Result<()> {
        let own = format!("{MAPS}/own-{index}");
        match self {
            Self::Create => client.send("POST", MAPS, JSON, &map(&format!("c-{round}-{n}"))).await,
            Self::Get => client.send("GET", &own, "", &Value::Null).await,
            Self::List => client.send("GET", &format!("{MAPS}?limit=100"), "", &Value::Null).await,
            Self::Patch => {
                let patch = json!({"data": {"changed": format!("{round}-{n}")}});
                client.send("PATCH", &own, MERGE, &patch).await
            }
            Self::Apply => {
                let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap"});
                object["metadata"] = json!({"name": format!("own-{index}")});
                object["data"] = json!({"applied": format!("{round}-{n}")});
                client.send("PATCH", &format!("{own}?fieldManager=bench&force=true"), APPLY, &object).await
            }
            Self::Services if n.is_multiple_of(2) => {
                let object = service(&format!("s-{round}-{n}"));
                client.send("POST", "/api/v1/namespaces/default/services", JSON, &object).await
            }
            Self::Services => {
                let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
                client.send("POST", path, JSON, &slice(&format!("e-{round}-{n}"))).await
            }
        }
        .map(drop)
    }
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v".repeat(1000)}})
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
}

fn slice(name: &str) -> Value {
    let endpoint = |n: usize| json!({"addresses": [format!("10.0.0.{n}")], "conditions": {"ready": true}});
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "http", "port": 8080}], "endpoints": [endpoint(1), endpoint(2)]})
}

fn pod(n: usize, node: Option<usize>) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("p{n:05}"), "labels": {"app": "bench"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "nginx:1",
            "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]}});
    if let Some(node) = node {
        pod["spec"]["nodeName"] = format!("n{}", node % 100).into();
    }
    pod
}

/// What the requests are about is there.
pub(crate) async fn prepare(target: &Target) -> Result<()> {
    let mut client = target.client().await?;
    for index in 0..100 {
        client.ensure(MAPS, &map(&format!("own-{index}"))).await?;
    }
    // Pods are taken where there is an account.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    client.ensure("/api/v1/namespaces/default/serviceaccounts", &account).await
}

/// Makes pods, on nodes that are not there or for a scheduler.
pub(crate) async fn pods(target: &Target, count: usize, placed: bool) -> Result<Duration> {
    let mut connected = Vec::new();
    for _ in 0..16 {
        connected.push(target.client().await?);
    }
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (index, mut client) in connected.into_iter().enumerate() {
        tasks.spawn(async move {
            for n in (index..count).step_by(16) {
                let pod = pod(n, placed.then_some(n));
                client.send("POST", "/api/v1/namespaces/default/pods", JSON, &pod).await?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(began.elapsed())
}

/// The median of some lists of all pods.
pub(crate) async fn list_pods(target: &Target, count: usize) -> Result<Duration> {
    let mut client = target.client().await?;
    let mut times = Vec::new();
    for _ in 0..7 {
        let began = Instant::now();
        let bytes = client.send("GET", "/api/v1/pods?resourceVersion=0", "", &Value::Null).await?;
        times.push(began.elapsed());
        let found = String::from_utf8_lossy(&bytes).matches("\"nodeName\":").count();
        if found != count {
            return Err(format!("{found} pods were listed, not {count}").into());
        }
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// From asking for a change until the last of so many watches has it; the median.
pub(crate) async fn watches(target: &Target, count: usize) -> Result<Duration> {
    let (told, mut tellers) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    // From a version that the server has: one that is to be the newest is waited for by a stock server on an etcd that
    // cannot tell of progress.
    let list = target.client().await?.send("GET", &format!("{MAPS}?limit=1"), "", &Value::Null).await?;
    let list: Value = serde_json::from_slice(&list)?;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    for _ in 0..count {
        let mut client = target.client().await?;
        let selects = "fieldSelector=metadata.name%3Dwatched&timeoutSeconds=600";
        let path = format!("{MAPS}?watch=1&resourceVersion={version}&{selects}");
        let mut body = client.watch(&path).await?;
        let told = told.clone();
        tasks.spawn(async move {
            let _client = client;
            while let Some(Ok(frame)) = body.frame().await {
                let lines = frame.into_data().map_or(0, |data| data.iter().filter(|b| **b == b'\n').count());
                if (0..lines).any(|_| told.send(()).is_err()) {
                    return;
                }
            }
        });
    }
    let mut client = target.client().await?;
    let mut times = Vec::new();
    for round in 0..11 {
        let began = Instant::now();
        match round {
            0 => client.send("POST", MAPS, JSON, &map("watched")).await?,
            _ => {
                client
                    .send(
                        "PATCH",
                        &format!("{MAPS}/watched"),
                        MERGE,
                        &json!({"data": {"n": round.to_string()}}),
                    )
                    .await?
            }
        };
        for _ in 0..count {
            tokio::time::timeout(Duration::from_secs(30), tellers.recv())
                .await?
                .ok_or("the watches ended")?;
        }
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// From the first pod's creation until so many pods run on simulated nodes.
pub(crate) async fn scheduled(target: &Target, count: usize) -> Result<Duration> {
    let mut client = target.client().await?;
    let mut body = client.watch("/api/v1/pods?watch=1&timeoutSeconds=600").await?;
    let began = Instant::now();
    let target = target.clone();
    let created = tokio::spawn(async move { pods(&target, count, false).await });
    let (mut bound, mut text) = (std::collections::BTreeSet::new(), Vec::new());
    while bound.len() < count {
        let frame = tokio::time::timeout(Duration::from_secs(60), body.frame()).await?;
        let data = frame.ok_or("the watch ended")??.into_data().unwrap_or_default();
        text.extend_from_slice(&data);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line)?;
            let object = &event["object"];
            if object["spec"]["nodeName"].is_string() {
                bound.insert(object["metadata"]["name"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    created.await??;
    Ok(began.elapsed())
}
