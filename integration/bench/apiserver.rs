//! The reading half of the API server, in this process, over connections in memory: 10,000 pods of about 3 kB in a
//! redb file, read one by one, listed, and watched by a thousand clients.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::apiserver::access::Peer;
use control_plane::apiserver::auth::User;
use control_plane::apiserver::http::serve;
use control_plane::apiserver::server::Server;
use control_plane::storage::{Change, Embedded, EmbeddedOptions, Expect, Store};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

const PODS: usize = 10_000;
const WATCHES: usize = 1000;
const ROUNDS: usize = 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let store = Embedded::open(&folder.path().join("store.redb"), &EmbeddedOptions::default())?;
    let store: Arc<dyn Store> = Arc::new(store);
    fill(&store).await?;
    let server = Server::new(store.clone(), "127.0.0.1:6443".to_owned())?;
    let feed = tokio::spawn(server.clone().follow());

    let mut client = connect(&server).await?;
    let start = Instant::now();
    let length = read(&mut client, "/api/v1/pods", "").await?;
    say("the first list, which fills the cache", "ms", millis(start.elapsed()));
    let mib = length as f64 / f64::from(1 << 20);
    say("its length", "MiB", mib);
    say("list of 10,000 pods", "ms", lists(&mut client, "/api/v1/pods", "").await?);
    say("… gzip", "ms", lists(&mut client, "/api/v1/pods", "gzip").await?);
    let paged = "/api/v1/pods?limit=500";
    say("a page of 500", "ms", lists(&mut client, paged, "").await?);
    let selected = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn7";
    say("list of one node's 100 pods", "ms", lists(&mut client, selected, "").await?);
    let one = "/api/v1/namespaces/default/pods/p00042";
    say("get", "µs", lists(&mut client, one, "").await? * 1000.0);
    say("a write acknowledged → all of 1,000 watches", "ms", watches(&server, &store).await?);
    feed.abort();
    Ok(())
}

fn say(what: &str, unit: &str, figure: f64) {
    // A closed pipe is no failure of what was measured.
    let _ = writeln!(std::io::stdout(), "{:48} {figure:10.2}", format!("{what}, {unit}"));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn pod(index: usize, note: &str) -> Change {
    let value = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p{index:05}","namespace":"default","labels":{{"app":"a"}},"annotations":{{"note":"{note}","fill":"{}"}}}},"spec":{{"nodeName":"n{}","containers":[{{"name":"c","image":"i"}}]}},"status":{{"phase":"Running"}}}}"#,
        "x".repeat(2700),
        index % 100,
    );
    Change::Put { value: value.into(), ttl: None }
}

fn key(index: usize) -> String {
    format!("/registry/pods/default/p{index:05}")
}

async fn fill(store: &Arc<dyn Store>) -> Result<(), Failure> {
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for index in (task..PODS).step_by(64) {
                    store.write(&key(index), Expect::Absent, pod(index, "")).await?;
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

type Client = SendRequest<Empty<Bytes>>;

async fn connect(server: &Arc<Server>) -> Result<Client, Failure> {
    let (ours, theirs) = tokio::io::duplex(256 << 10);
    tokio::spawn(serve::connection(server.clone(), Peer::Known(User::master()), theirs));
    let (sender, connection) = handshake(TokioIo::new(ours)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(client: &mut Client, path: &str, encoding: &str) -> Result<Incoming, Failure> {
    let request = Request::get(path).header("host", "api").header("accept-encoding", encoding);
    client.ready().await?;
    let response = client.send_request(request.body(Empty::new())?).await?;
    match response.status().is_success() {
        true => Ok(response.into_body()),
        false => Err(format!("{path}: {}", response.status()).into()),
    }
}

/// The length of an answer.
async fn read(client: &mut Client, path: &str, encoding: &str) -> Result<usize, Failure> {
    let mut body = send(client, path, encoding).await?;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.into_data().map_or(0, |data| data.len());
    }
    Ok(length)
}

/// The median of some reads.
async fn lists(client: &mut Client, path: &str, encoding: &str) -> Result<f64, Failure> {
    let mut figures = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        read(client, path, encoding).await?;
        figures.push(millis(start.elapsed()));
    }
    Ok(median(figures))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// From a write's acknowledgement until the last of all watches has its event.
async fn watches(server: &Arc<Server>, store: &Arc<dyn Store>) -> Result<f64, Failure> {
    let (told, mut tellers) = tokio::sync::mpsc::channel(WATCHES);
    let newest = store.stats().await?.revision;
    for _ in 0..WATCHES {
        let mut client = connect(server).await?;
        let path = format!("/api/v1/pods?watch=1&resourceVersion={newest}&timeoutSeconds=600");
        let mut body = send(&mut client, &path, "").await?;
        let told = told.clone();
        tokio::spawn(async move {
            let _client = client;
            while let Some(Ok(frame)) = body.frame().await {
                let events = frame.into_data().map_or(0, |data| data.iter().filter(|b| **b == b'\n').count());
                for _ in 0..events {
                    if told.send(()).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    let mut figures = Vec::new();
    let mut revision = store.get(&key(0)).await?.what.map_or(0, |entry| entry.modified);
    for round in 0..ROUNDS {
        revision = store.write(&key(0), Expect::At(revision), pod(0, &round.to_string())).await?;
        let start = Instant::now();
        for _ in 0..WATCHES {
            tellers.recv().await.ok_or("the watches ended")?;
        }
        figures.push(millis(start.elapsed()));
    }
    Ok(median(figures))
}
