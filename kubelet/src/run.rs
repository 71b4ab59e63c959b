//! Starts the kubelet's tasks and waits for their end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::Readiness;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cgroups::Tree;
use crate::config::Config;
use crate::core::Settings;
use crate::cri::{self, Watch};
use crate::facts;
use crate::images::{Collector, Images};
use crate::logs::{Keeper, Rotation};
use crate::server::{self, Server};
use crate::source::{self, SourceConfig};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::worker::{self, Machine, Performer, Told, Worker};

/// How often the folder of manifests is looked at although nothing was told.
const RESCAN: Duration = Duration::from_secs(20);

/// How long tasks that were asked to end may take.
const DRAIN: Duration = Duration::from_secs(5);

/// A runtime that starts together with the kubelet answers within this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the kubelet could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be worked with.
    #[error("{0}")]
    Config(String),
    /// The runtime answers, but not as a CRI v1 runtime does.
    #[error(transparent)]
    Runtime(#[from] cri::Error),
    /// A file or a socket of the kubelet's own.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with its path.
        what: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A task that owns state ended although nobody asked it to.
    #[error("{0} ended unexpectedly")]
    Task(&'static str),
}

/// Runs the kubelet until `shutdown` is cancelled. Pods keep running when it ends. What it waits for before it is
/// ready stands in `ready`.
pub async fn run(config: Config, ready: Readiness, shutdown: CancellationToken) -> Result<(), Error> {
    let io = |what: String| move |source| Error::Io { what, source };
    // Two kubelets over one folder would end each other's pods.
    let state = config.root_dir.join("orlop");
    let _lock = daemon::FolderLock::take(&state).map_err(io(state.display().to_string()))?;
    ready.waits_for(worker::RUNTIME, "does not answer yet");
    let client =
        cri::Client::new(&config.container_runtime_endpoint, config.image_service_endpoint.as_deref());
    let version = tokio::select! {
        version = wait_for_runtime(&client, &config) => version?,
        () = shutdown.cancelled() => return Ok(()),
    };
    tracing::info!(runtime = version.runtime_name, version = version.runtime_version, "connected");
    let store = Store::open(&config.root_dir)
        .map_err(io(format!("making a folder below {}", config.root_dir.display())))?;
    let saved = store.load().map_err(io(format!("reading {}", config.root_dir.display())))?;
    let listener = daemon::listen_unix(&config.listen_socket)
        .map_err(io(format!("listening at {}", config.listen_socket.display())))?;
    let tcp = match config.listen_address {
        Some(at) => Some(tokio::net::TcpListener::bind(at).await.map_err(io(format!("listening at {at}")))?),
        None => None,
    };
    let node = Arc::new(facts::gather(&config, &client).await);
    let settings = Settings {
        max_restart_period: config.max_container_restart_period,
        host_ips: node.ips.clone(),
        max_pods: config.max_pods,
        recursive_read_only: node.recursive_read_only,
        runtime_name: version.runtime_name,
    };
    let cgroups = Tree::open(&node.cgroup_root, node.cgroup_driver)
        .map_err(|error| Error::Config(format!("cgroups below {}: {error}", node.cgroup_root)))?;
    let epoch = Instant::now();
    let told = Told { ready, ..Told::default() };
    let server = Server {
        told: told.clone(),
        settings: Arc::new(settings.clone()),
        client: client.clone(),
        node: Arc::clone(&node),
        epoch,
    };
    let performer = Performer {
        client: client.clone(),
        images: Images::new(client.clone()),
        node: Arc::clone(&node),
        machine: Machine { node: Arc::clone(&node), cgroups: Arc::new(cgroups) },
    };
    let (reports, reported) = mpsc::channel(256);
    let (events, sourced) = mpsc::channel(256);
    let mut begun: BTreeSet<String> = saved.keys().cloned().collect();
    let worker = Worker::new(settings, performer, store, saved, epoch, told.clone());
    let stop = shutdown.child_token();
    let mut tasks = Tasks::default();
    tasks.add("the pods' worker", worker.run(sourced, reported, stop.clone()));
    let watch = Watch { client: client.clone(), epoch, reports };
    tasks.add("the watch on the runtime", watch.run(stop.clone()));
    match config.pod_manifest_path.clone() {
        Some(folder) => {
            let (node_name, client, stop) = (config.node_name.clone(), client.clone(), stop.clone());
            tasks.add("the watch on the manifests", async move {
                match cri::observe::list(&client).await {
                    Ok(items) => begun.extend(items.into_values().map(|item| item.uid)),
                    Err(status) => tracing::warn!(error = status.message(), "asking for what runs"),
                }
                let config = SourceConfig { folder, node_name, begun, rescan: RESCAN };
                if let Err(error) = source::watch(config, events, stop).await {
                    tracing::error!(%error, "watching manifests");
                }
            });
        }
        // Nothing is wanted, so what runs is ended.
        None => drop(events.send(source::SourceEvent::Synced).await),
    }
    let policy = Rotation {
        max_size: config.container_log_max_size,
        max_files: config.container_log_max_files as usize,
    };
    let every = config.container_log_monitor_interval;
    let keeper = Keeper { client: client.clone(), view: told.view, node, policy, every };
    tasks.add("log rotation", keeper.run(stop.clone()));
    tasks.add("image collection", Collector::new(client, &config).run(stop.clone()));
    let router = server.router();
    tasks.add("the server", serving(listener, router.clone(), stop.clone()));
    if let Some(tcp) = tcp {
        tasks.add("the server on TCP", serving(tcp, router, stop.clone()));
    }
    let first = tasks.first().await;
    stop.cancel();
    tasks.rest(DRAIN).await;
    if shutdown.is_cancelled() { Ok(()) } else { Err(Error::Task(first)) }
}

async fn serving<L>(listener: L, router: axum::Router, stop: CancellationToken)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    if let Err(error) = server::serve(listener, router, stop).await {
        tracing::error!(%error, "serving");
    }
}

/// The runtime may start after us: only an answer that is no CRI v1 ends the wait.
async fn wait_for_runtime(
    client: &cri::Client,
    config: &Config,
) -> Result<api_cri::v1::VersionResponse, Error> {
    let mut backoff = daemon::Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    let begin = Instant::now();
    let mut said = false;
    loop {
        match client.version().await {
            Ok(version) => return Ok(version),
            Err(status) if status.code() == tonic::Code::Unimplemented => {
                return Err(cri::Error {
                    socket: config.container_runtime_endpoint.clone(),
                    message: format!("speaks no CRI v1: {}", status.message()),
                }
                .into());
            }
            Err(status) if !said && begin.elapsed() > PATIENCE => {
                let socket = config.container_runtime_endpoint.display();
                tracing::warn!(%socket, error = status.message(), "waiting for the runtime");
                said = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(backoff.after_failure()).await;
    }
}
