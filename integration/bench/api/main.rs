//! The API server from outside, over TLS with client certificates: how soon it is ready, what it weighs, how fast it is.
//!
//! ```text
//! hack/bench api [PODS [WATCHES [NODES]]]      10,000 pods, 1,000 watches, 1,000 simulated nodes by default
//! ```
//!
//! Ours stands on its file and on Debian's etcd; a stock API server on etcd is asked the same where
//! `ORLOP_STOCK_APISERVER` names its binary. All of it runs in a network of its own, one server after the other; what is
//! acknowledged is on the disk in each.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod client;
mod load;
mod servers;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use load::Request;
use servers::{Server, Which};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// So long a server is left alone before it counts as idle, and is then looked at.
const IDLE: Duration = Duration::from_secs(10);

/// How many there are of what there are many.
#[derive(Clone, Copy)]
struct Sizes {
    pods: usize,
    watches: usize,
    nodes: usize,
}

fn main() -> Result<()> {
    // Before there is a second thread.
    integration::world::enter()?;
    // A stock server wants an address that is not loopback's.
    if !Command::new("ip").args(["address", "add", "192.0.2.2/32", "dev", "lo"]).status()?.success() {
        return Err("ip address add failed".into());
    }
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let sizes = Sizes { pods: number(10_000)?, watches: number(1000)?, nodes: number(1000)? };
    let folder = tempfile::tempdir()?;
    let mut which = vec![Which::File, Which::OnEtcd];
    match std::env::var_os("ORLOP_STOCK_APISERVER") {
        Some(_) => which.push(Which::Stock),
        None => println!("no stock API server: ORLOP_STOCK_APISERVER names none"),
    }
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut columns = Vec::new();
    for which in &which {
        eprintln!("{} …", which.name());
        let rows = executor.block_on(measure(*which, folder.path(), sizes));
        columns.push(rows.map_err(|error| format!("{}: {error}", which.name()))?);
    }
    print(&which, &columns);
    let seconds = executor.block_on(schedule(folder.path(), sizes))?.as_secs_f64();
    println!(
        "{} pods created and bound on {} simulated nodes: {:.0} per s",
        sizes.pods,
        sizes.nodes,
        sizes.pods as f64 / seconds
    );
    Ok(())
}

/// A row: what, in which unit, whether more is better, how much.
type Row = (String, &'static str, bool, f64);

async fn measure(which: Which, folder: &Path, sizes: Sizes) -> Result<Vec<Row>> {
    let more = ["--disable", "controllers,scheduler"];
    let mut rows: Vec<Row> = Vec::new();
    let mut row = |what: &str, unit, more, figure| {
        // It takes minutes.
        eprintln!("  {what}: {figure:.2} {unit}");
        rows.push((what.to_owned(), unit, more, figure));
    };
    let first = servers::start(which, folder, &more).await?;
    row("first start → ready", "ms", false, millis(first.start));
    first.stop()?;
    let mut starts = Vec::new();
    for _ in 0..5 {
        let server = servers::start(which, folder, &more).await?;
        starts.push(server.start);
        server.stop()?;
    }
    starts.sort();
    row("start → ready", "ms", false, millis(starts[starts.len() / 2]));

    let server = servers::start(which, folder, &more).await?;
    let idle = idle(&server).await;
    row("idle: memory", "MiB", false, server.memory());
    row("idle: CPU", "% of a core", false, idle);
    load::prepare(&server.target).await?;
    for (what, request) in [
        ("get", Request::Get),
        ("list of 100", Request::List),
        ("create", Request::Create),
        ("patch", Request::Patch),
        ("apply", Request::Apply),
    ] {
        for (clients, count) in [(1, 200), (50, 2000)] {
            // The first ones open what stays open.
            load::run(&server.target, request, clients, clients * 2, clients).await?;
            let times = load::run(&server.target, request, clients, count, 1000 + clients).await?;
            let of = format!("{what}, {clients} at once");
            row(&of, "per s", true, times.per_second());
            row(&format!("{of}: median"), "ms", false, times.percentile(50));
            row(&format!("{of}: p99"), "ms", false, times.percentile(99));
        }
    }
    let times = load::run(&server.target, Request::Services, 16, 2000, 0).await?;
    row("create Services and EndpointSlices, 16", "per s", true, times.per_second());

    let took = load::pods(&server.target, sizes.pods, true).await?;
    row("create pods, 16 at once", "per s", true, sizes.pods as f64 / took.as_secs_f64());
    row("list of all pods", "ms", false, millis(load::list_pods(&server.target, sizes.pods).await?));
    row("a change → all watches", "ms", false, millis(load::watches(&server.target, sizes.watches).await?));
    server.stop()?;
    let server = servers::start(which, folder, &more).await?;
    row("start with all pods → ready", "ms", false, millis(server.start));
    load::list_pods(&server.target, sizes.pods).await?;
    let idle = self::idle(&server).await;
    row("with all pods, listed: memory", "MiB", false, server.memory());
    row("with all pods: CPU", "% of a core", false, idle);
    server.stop()?;
    Ok(rows)
}

/// How busy a server is that nobody asks, in percent of a core.
async fn idle(server: &Server) -> f64 {
    tokio::time::sleep(IDLE / 2).await;
    let before = server.cpu();
    tokio::time::sleep(IDLE).await;
    (server.cpu() - before) / IDLE.as_secs_f64() * 100.0
}

/// With its own scheduler, controllers and simulated nodes, in a folder of its own.
async fn schedule(folder: &Path, sizes: Sizes) -> Result<Duration> {
    let nodes = sizes.nodes.to_string();
    let server =
        servers::start(Which::File, &folder.join("scheduled"), &["--simulate-nodes", &nodes]).await?;
    load::prepare(&server.target).await?;
    let mut client = server.target.client().await?;
    let registered = async {
        loop {
            let list = client.send("GET", "/api/v1/nodes", "", &serde_json::Value::Null).await?;
            let list: serde_json::Value = serde_json::from_slice(&list)?;
            if list["items"].as_array().is_some_and(|items| items.len() == sizes.nodes) {
                return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), registered).await??;
    let took = load::scheduled(&server.target, sizes.pods).await?;
    server.stop()?;
    Ok(took)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A column for each server; and how many times better the first one is than the last one, where there are two.
fn print(which: &[Which], columns: &[Vec<Row>]) {
    print!("{:52}", "");
    which.iter().for_each(|which| print!(" {:>12}", which.name()));
    println!("    ratio");
    for (index, (what, unit, more_is_better, first)) in columns[0].iter().enumerate() {
        print!("{:52}", format!("{what}, {unit}"));
        let figures: Vec<f64> = columns.iter().map(|rows| rows[index].3).collect();
        figures.iter().for_each(|figure| print!(" {figure:12.2}"));
        let last = figures[figures.len() - 1];
        println!(" {:7.1}×", if *more_is_better { first / last } else { last / first });
    }
}
