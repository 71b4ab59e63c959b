//! The control plane as a daemon: the store, the API above it, and who may reach it how.
//!
//! ```text
//!   open the store ─▶ keys and certificates ─▶ listen ─▶ caches follow ─▶ bootstrap ─▶ ready
//!        │                                        │
//!        └──── each step says in readyz what it waits for ────┘
//!   asked to end: no further connections, requests that run are done (or 10 s are over), then the store closes
//! ```

mod config;
mod listen;
mod own;
mod publish;
pub mod snapshot;
mod tracking;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::Readiness;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::apiserver::access::Security;
use crate::apiserver::auth::files::{self, Files, FilesError};
use crate::apiserver::auth::tls::{self, Authorities, Serving, TlsError};
use crate::apiserver::auth::token::{Issuer, Verifier};
use crate::apiserver::auth::{Authenticator, ca, kubeconfig};
pub use crate::apiserver::inflight::Limits;
use crate::apiserver::kinds::RowError;
use crate::apiserver::server::Server;
use crate::apiserver::services::Network;
use crate::apiserver::services::repair::Fault;
use crate::bootstrap::{self, BootstrapError};
use crate::storage::{Embedded, Etcd, Store, StoreError, keep_compacted};
use crate::{controllers, leader, scheduler, simulate};
use publish::Publisher;

pub use config::{Backend, Config, InvalidRange, Names, Parts, PortRange, Ranges};

/// How long requests that run are waited for at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// So long a store may take to forget the address of a server that ends.
const WITHDRAW: Duration = Duration::from_secs(3);
/// How long controllers and scheduler have to end.
const GIVE_BACK: Duration = Duration::from_secs(3);
/// How often certificates are looked at.
const RENEWAL: Duration = Duration::from_secs(12 * 60 * 60);
/// Between two tries to write what every cluster has.
const RETRY: Duration = Duration::from_secs(1);

/// Why the control plane does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store cannot be opened.
    #[error("opening the store: {0}")]
    Store(#[from] StoreError),
    /// The folder of keys cannot be used.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be listened at.
    #[error("listening at {at}: {source}")]
    Listen {
        /// Where.
        at: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A folder cannot be made.
    #[error("making {path}: {source}")]
    Folder {
        /// Which.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The program is not what it was built as.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// A part of it ended by itself.
    #[error("{0} ended by itself: {1}")]
    Ended(&'static str, String),
}

/// Runs until it is asked to end.
///
/// # Errors
/// When it cannot start, or a part of it fails for good.
pub async fn run(config: Config, shutdown: CancellationToken, readiness: Readiness) -> Result<(), RunError> {
    readiness.waits_for("store", format!("opening {}", config.backend));
    readiness.waits_for("bootstrap", "what every cluster has is not written yet");
    let listen_error = |at: String| move |source| RunError::Listen { at, source };
    let tcp = TcpListener::bind(config.bind).await.map_err(listen_error(config.bind.to_string()))?;
    let bound = tcp.local_addr().map_err(listen_error(config.bind.to_string()))?;
    let unix =
        daemon::listen_unix(&config.socket).map_err(listen_error(config.socket.display().to_string()))?;

    let advertised = config.advertised();
    let url = format!("https://{}", std::net::SocketAddr::new(advertised, bound.port()));
    let files = prepare_files(&config)?;
    let kubeconfig = kubeconfig(&url, &files.authority.certificate, &files.admin);
    let serving = Arc::new(Serving::new(&files.serving)?);
    let tls = Arc::new(tls::server_config(serving.clone(), &files.authority.certificate)?);
    let security = security(files)?;

    let store = open(&config).await?;
    readiness.has("store");
    // Only who has the store speaks for it.
    files::write_private(&config.kubeconfig, &kubeconfig)?;
    let address = url.trim_start_matches("https://").to_owned();
    let network = Network { ranges: config.service_range, node_ports: config.node_ports };
    let server = Server::of(store.clone(), address, network, Some(security))?;
    server.inflight.set(config.limits);
    let served = serve(&config, &server, &readiness, (tcp, tls, serving), unix, &shutdown).await;
    server.closing.cancel();
    drop(server);
    served
}

/// Opens the store; a file that must be mended takes a while, and is not to hold up the executor.
async fn open(config: &Config) -> Result<Arc<dyn Store>, RunError> {
    Ok(match &config.backend {
        Backend::Etcd(options) => Arc::new(Etcd::connect(options).await?),
        Backend::File { path, options } => {
            if let Some(folder) = path.parent() {
                config::private_folder(folder)
                    .map_err(|source| RunError::Folder { path: folder.display().to_string(), source })?;
            }
            let (path, options) = (path.clone(), options.clone());
            let opened = tokio::task::spawn_blocking(move || Embedded::open(&path, &options)).await;
            Arc::new(opened.map_err(|error| RunError::Ended("opening the store", error.to_string()))??)
        }
    })
}

/// Everything at once, until it is asked to end or one of them fails.
async fn serve(
    config: &Config,
    server: &Arc<Server>,
    readiness: &Readiness,
    (tcp, tls, serving): (TcpListener, Arc<rustls::ServerConfig>, Arc<Serving>),
    unix: UnixListener,
    shutdown: &CancellationToken,
) -> Result<(), RunError> {
    let mut connections = JoinSet::new();
    let (mut background, mut working) = (Background::new(), Background::new());
    let following = server.clone().follow();
    background.spawn(async move { ("following the store", following.await.map_err(|e| e.to_string())) });
    let compaction = keep_compacted(server.caches.store().clone(), config.retention, shutdown.clone());
    background.spawn(async move {
        ("compacting the store", {
            compaction.await;
            Ok(())
        })
    });
    let renewal = renew(config.clone(), serving, shutdown.clone());
    background.spawn(async move {
        ("renewing certificates", {
            renewal.await;
            Ok(())
        })
    });
    let (address, port) = (config.advertised(), tcp.local_addr().map_or(0, |bound| bound.port()));
    let publisher = Publisher::new(server.clone(), address, port, matches!(config.backend, Backend::Etcd(_)));
    let mut publishing = std::pin::pin!(publisher.run());
    let prepare = bootstrap(server.clone(), readiness.clone(), shutdown.clone());
    let mut prepare = std::pin::pin!(prepare);
    let mut prepared = false;
    let ended = loop {
        tokio::select! {
            () = shutdown.cancelled() => break Ok(()),
            faults = prepare.as_mut(), if !prepared => {
                prepared = true;
                let own = own::run(server.clone(), faults, shutdown.clone());
                background.spawn(async move {
                    ("looking at what Services have", own.await.map_err(|e| e.to_string()))
                });
                start_parts(config, server, shutdown, &mut working);
            }
            () = publishing.as_mut(), if prepared => {}
            Some(ended) = background.join_next() => if !shutdown.is_cancelled() {
                break Err(too_early(ended));
            },
            Some(ended) = working.join_next(), if !working.is_empty() => if !shutdown.is_cancelled() {
                break Err(too_early(ended));
            },
            accepted = listen::next(|| tcp.accept()) => listen::secured(server, &tls, accepted, &mut connections),
            accepted = listen::next(|| unix.accept()) => listen::local(server, accepted, &mut connections),
            // Who is done makes room.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    };
    // Nobody is to be sent here who could be served elsewhere.
    if prepared && tokio::time::timeout(WITHDRAW, publisher.withdraw()).await.is_err() {
        tracing::warn!("the store takes too long to forget where this server was");
    }
    // Who leads gives that back while it is still answered, so that another one need not wait.
    let given_back = async { while working.join_next().await.is_some() {} };
    if ended.is_ok() && tokio::time::timeout(GIVE_BACK, given_back).await.is_err() {
        tracing::warn!("controllers that did not end in time are cut off");
    }
    server.closing.cancel();
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(left = connections.len(), "requests that did not end in time are cut off");
    }
    let _ = std::fs::remove_file(&config.socket);
    ended
}

/// A task that is not to end before it is asked to, by what it does.
type Background = JoinSet<Task>;
type Task = (&'static str, Result<(), String>);

fn too_early(ended: Result<Task, JoinError>) -> RunError {
    match ended {
        Ok((what, result)) => RunError::Ended(what, result.err().unwrap_or_default()),
        Err(error) => RunError::Ended("a task", error.to_string()),
    }
}

/// Starts what works on the cluster, once there is what it needs to be allowed to.
fn start_parts(
    config: &Config,
    server: &Arc<Server>,
    shutdown: &CancellationToken,
    working: &mut Background,
) {
    let office =
        |name| leader::Office { name, identity: leader::identity(), times: leader::Times::default() };
    if config.parts.controllers {
        let authority = server.access.security().map(|security| security.authority.clone());
        let root_ca = authority.as_ref().map(|authority| authority.certificate.clone());
        let settings = controllers::Settings { root_ca, authority, ..controllers::Settings::default() };
        let (server, shutdown, shared) = (server.clone(), shutdown.clone(), config.parts.shared);
        let office = office("kube-controller-manager");
        let work = move |server: &Arc<Server>, term: controllers::Term| {
            // What they remember holds for as long as they act.
            let standard = controllers::standard(server, &settings);
            controllers::run(server.clone(), standard, term)
        };
        working.spawn(async move {
            let ended = match shared {
                true => leader::lead(server.clone(), office, shutdown, |term| work(&server, term)).await,
                false => work(&server, shutdown.into()).await,
            };
            ("the controllers", ended.map_err(|e| e.to_string()))
        });
    }
    if config.parts.scheduler {
        let (server, shutdown, shared) = (server.clone(), shutdown.clone(), config.parts.shared);
        let office = office("kube-scheduler");
        working.spawn(async move {
            let ended = match shared {
                true => {
                    let work = |term| scheduler::run(server.clone(), term);
                    leader::lead(server.clone(), office, shutdown, work).await
                }
                false => scheduler::run(server, shutdown).await,
            };
            ("the scheduler", ended.map_err(|e| e.to_string()))
        });
    }
    if config.parts.simulated_nodes > 0 {
        let settings =
            simulate::Settings { nodes: config.parts.simulated_nodes, ..simulate::Settings::default() };
        let running = simulate::run(server.clone(), settings, shutdown.clone());
        working.spawn(async move { ("the simulated nodes", running.await.map_err(|e| e.to_string())) });
    }
}

/// Writes what every cluster has, again until it is there; says what is wrong with it.
async fn bootstrap(server: Arc<Server>, readiness: Readiness, shutdown: CancellationToken) -> Vec<Fault> {
    loop {
        match bootstrap::prepare(&server).await {
            Ok(faults) => {
                server.set_prepared();
                readiness.has("bootstrap");
                return faults;
            }
            Err(error @ BootstrapError { .. }) => {
                tracing::warn!(%error, "writing what every cluster has; trying again");
                readiness.waits_for("bootstrap", error.to_string());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shutdown.cancelled() => return Vec::new(),
        }
    }
}

fn prepare_files(config: &Config) -> Result<Files, FilesError> {
    let mut addresses: Vec<IpAddr> = vec![[127, 0, 0, 1].into(), config.service_range.primary.first()];
    for address in [config.bind.ip(), config.advertised()].into_iter().chain(daemon::own_addresses()) {
        if !address.is_unspecified() && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.extend(&config.names.addresses);
    let mut names = files::cluster_names(&config.cluster_domain);
    names.extend(config.names.hosts.iter().cloned());
    files::prepare(&config.pki, &names, &addresses, jiff::Timestamp::now())
}

/// Looks at the certificates now and then, and shows new ones to new connections.
async fn renew(config: Config, serving: Arc<Serving>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEWAL) => {}
            () = shutdown.cancelled() => return,
        }
        let files = prepare_files(&config).map_err(|error| error.to_string());
        if let Err(error) = files.and_then(|files| serving.replace(&files.serving).map_err(|e| e.to_string()))
        {
            tracing::error!(%error, "certificates could not be renewed; those in use stay");
        }
    }
}

/// What the files make the server know.
fn security(files: Files) -> Result<Security, TlsError> {
    let url = "https://kubernetes.default.svc.cluster.local".to_owned();
    let tokens = Verifier {
        issuers: vec![url.clone()],
        keys: vec![files.signing_key.public().clone()],
        audiences: vec![url.clone()],
    };
    let clients = Authorities::new(&files.authority.certificate)?;
    let issuer = Issuer {
        url: url.clone(),
        audiences: vec![url],
        longest: None,
        extend: true,
        key: files.signing_key,
    };
    let authority: ca::Pair = files.authority;
    Ok(Security { authenticator: Authenticator { clients, tokens, anonymous: true }, issuer, authority })
}
