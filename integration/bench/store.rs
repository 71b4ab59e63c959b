//! The embedded store beside Debian's etcd, through the same trait: both on the same disk, durable, values of 3 kB.
//!
//! By turns and several times, medians are printed. Ratios above 1 say that ours is faster.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::storage::{
    Change, Embedded, EmbeddedOptions, Etcd, EtcdOptions, Expect, Range, Store, StoreError,
};

const ROUNDS: usize = 5;
const VALUE: usize = 3000;
const LISTED: usize = 10_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What one round measured, in the order of [`WHAT`].
type Figures = [f64; 6];

const WHAT: [(&str, &str, bool); 6] = [
    ("create, 1 client", "per s", true),
    ("create, 16 clients", "per s", true),
    ("create, 64 clients", "per s", true),
    ("update of one key", "per s", true),
    ("a write asked for → its event", "µs", false),
    ("list of 10,000 in pages of 500", "ms", false),
];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let etcd = Server::start(folder.path())?;
    let ours: Arc<dyn Store> =
        Arc::new(Embedded::open(&folder.path().join("store.redb"), &EmbeddedOptions::default())?);
    let theirs: Arc<dyn Store> = Arc::new(etcd.connect().await?);
    for store in [&ours, &theirs] {
        create(store, "/listed", LISTED, 64).await?;
    }
    let mut figures = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (store, figures) in [&ours, &theirs].into_iter().zip(&mut figures) {
            figures.push(measure(store, round).await?);
        }
    }
    println(format_args!("{:36} {:>12} {:>12} {:>8}", "medians", "embedded", "etcd", "ratio"));
    for (index, (what, unit, more_is_better)) in WHAT.into_iter().enumerate() {
        let [ours, theirs] = [&figures[0], &figures[1]].map(|rounds| median(rounds, index));
        let ratio = if more_is_better { ours / theirs } else { theirs / ours };
        println(format_args!("{:36} {ours:12.1} {theirs:12.1} {ratio:7.1}×", format!("{what}, {unit}")));
    }
    Ok(())
}

async fn measure(store: &Arc<dyn Store>, round: usize) -> Result<Figures, Failure> {
    let mut creates = [0.0; 3];
    for (rate, (clients, count)) in creates.iter_mut().zip([(1, 300), (16, 2000), (64, 4000)]) {
        let start = Instant::now();
        create(store, &format!("/round{round}/{clients}"), count, clients).await?;
        *rate = count as f64 / start.elapsed().as_secs_f64();
    }
    Ok([
        creates[0],
        creates[1],
        creates[2],
        update(store, round).await?,
        watch(store, round).await?,
        list(store).await?,
    ])
}

fn value() -> Change {
    Change::Put { value: vec![b'x'; VALUE].into(), ttl: None }
}

/// Creates `count` keys from so many tasks at once.
async fn create(store: &Arc<dyn Store>, prefix: &str, count: usize, clients: usize) -> Result<(), Failure> {
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let (store, prefix) = (store.clone(), prefix.to_owned());
            tokio::spawn(async move {
                for n in (client..count).step_by(clients) {
                    store.write(&format!("{prefix}/{n:06}"), Expect::Absent, value()).await?;
                }
                Ok::<(), StoreError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn update(store: &Arc<dyn Store>, round: usize) -> Result<f64, Failure> {
    const COUNT: usize = 300;
    let key = format!("/updated/{round}");
    let mut at = store.write(&key, Expect::Absent, value()).await?;
    let start = Instant::now();
    for _ in 0..COUNT {
        at = store.write(&key, Expect::At(at), value()).await?;
    }
    Ok(COUNT as f64 / start.elapsed().as_secs_f64())
}

/// The median time from asking for a write to its event, in µs.
async fn watch(store: &Arc<dyn Store>, round: usize) -> Result<f64, Failure> {
    let mut watch = store.watch("/watched/", store.stats().await?.revision).await?;
    let (seen, mut told) = tokio::sync::mpsc::unbounded_channel();
    let follow = tokio::spawn(async move {
        loop {
            let batch = watch.next().await?;
            for event in batch.events {
                if seen.send((event.revision, Instant::now())).is_err() {
                    return Ok::<(), StoreError>(());
                }
            }
        }
    });
    let mut delays = Vec::new();
    for n in 0..200 {
        let asked = Instant::now();
        let revision = store.write(&format!("/watched/{round}/{n}"), Expect::Absent, value()).await?;
        match told.recv().await {
            Some((of, when)) if of == revision => delays.push(when - asked),
            other => return Err(format!("{other:?} was told instead of {revision}").into()),
        }
    }
    follow.abort();
    delays.sort();
    Ok(delays[delays.len() / 2].as_secs_f64() * 1e6)
}

async fn list(store: &Arc<dyn Store>) -> Result<f64, Failure> {
    let start = Instant::now();
    let mut range = Range { prefix: "/listed/".to_owned(), limit: Some(500), ..Range::default() };
    let mut listed = 0;
    loop {
        let page = store.list(range.clone()).await?;
        listed += page.what.entries.len();
        range.at = Some(page.revision);
        range.after = page.what.entries.last().map(|e| e.key.clone());
        if page.what.remaining == 0 {
            break;
        }
    }
    if listed != LISTED {
        return Err(format!("{listed} keys were listed, not {LISTED}").into());
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn median(rounds: &[Figures], index: usize) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(|figures| figures[index]).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::print_stdout, reason = "a bench's result")]
fn println(line: std::fmt::Arguments) {
    println!("{line}");
}

/// An etcd of its own, with its data beside ours.
struct Server {
    process: Child,
    client: String,
}

impl Server {
    fn start(folder: &std::path::Path) -> Result<Self, Failure> {
        let held = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [client, peer] = held.each_ref().map(|l| l.local_addr().map(|a| format!("http://{a}")));
        let (client, peer) = (client?, peer?);
        drop(held);
        let process = Command::new("etcd")
            .args(["--name", "bench", "--initial-cluster", &format!("bench={peer}")])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .arg("--data-dir")
            .arg(folder.join("etcd"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("etcd, of Debian's package etcd-server: {e}"))?;
        Ok(Self { process, client })
    }

    async fn connect(&self) -> Result<Etcd, Failure> {
        let options =
            EtcdOptions { endpoints: vec![self.client.clone()], tls: None, timeout: Duration::from_secs(10) };
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let store = Etcd::connect(&options).await?;
            match store.stats().await {
                Ok(_) => return Ok(store),
                Err(e) if Instant::now() > end => return Err(e.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing is to be kept, and it may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
