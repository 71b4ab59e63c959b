//! Starts the daemon: recovers, listens, and ends what it started.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_cri::MAX_MESSAGE_BYTES;
use api_cri::images::images_server::ImagesServer;
use api_cri::v1::image_service_server::ImageServiceServer;
use api_cri::v1::runtime_service_server::RuntimeServiceServer;
use sys::cgroup::Hierarchies;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::core::failure::Failure;
use crate::effects::{CRASH_AT, Performer};
use crate::engine::{self, Engine, Streams};
use crate::image::ImageStore;
use crate::network::{self, Network};
use crate::paths::Paths;
use crate::rootfs::{Rootfs, StoredImages};
use crate::server::Service;
use crate::server::deadline::Deadline;
use crate::server::image::Images;
use crate::stream::StreamServer;
use crate::{Config, disk};

/// How long one CNI plugin may run for one verb.
const CNI_DEADLINE: Duration = Duration::from_secs(60);
/// How long requests may take to end after the daemon was asked to.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot listen.
    #[error("listening on {path}: {source}", path = path.display())]
    Listen {
        /// The socket or the address.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// What earlier daemons left could not be read.
    #[error("recovering: {0}")]
    Recover(String),
    /// The image store cannot be opened.
    #[error("opening the image store: {0}")]
    Images(String),
    /// The machine could not be looked at.
    #[error(transparent)]
    Machine(#[from] sys::Error),
    /// gRPC ended.
    #[error("serving: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// A task that owns state ended, so the daemon does as well and starts again from disk.
    #[error("a task of the daemon ended early: {0}")]
    Task(&'static str),
}

/// A daemon's folders: there, and this process's alone. Nothing else was touched yet.
pub struct Claim {
    config: Config,
    _lock: daemon::FolderLock,
}

impl Claim {
    /// Makes the folders and takes them; refused while another process has them, which the error names.
    pub fn take(config: Config) -> Result<Self, Error> {
        for folder in [&config.root, &config.state] {
            disk::make_dirs(folder).map_err(|error| Error::Recover(error.to_string()))?;
        }
        let lock = daemon::FolderLock::take(&config.state)
            .map_err(|source| Error::Listen { path: config.state.clone(), source })?;
        Ok(Self { config, _lock: lock })
    }
}

/// Serves CRI until `shutdown` is cancelled. Pods keep running under their monitors afterwards.
pub async fn run(claim: Claim, shutdown: CancellationToken) -> Result<(), Error> {
    let config = &claim.config;
    let store = ImageStore::open(&config.root, &config.registry_config_dir)
        .map_err(|error| Error::Images(error.to_string()))?;
    let rootfs: Arc<dyn Rootfs> = Arc::new(StoredImages::new(store.clone(), config.root.clone()));
    let images = Images { store, root: config.root.clone() };
    let (engine, watching) = start(config, rootfs).await?;
    let address = config.stream_address;
    let backend = Arc::new(Streams(Arc::clone(&engine)));
    let (streams, streaming) = StreamServer::start(address, backend, shutdown.clone())
        .await
        .map_err(|source| Error::Listen { path: address.to_string().into(), source })?;
    let listener = daemon::listen_unix(&config.listen)
        .map_err(|source| Error::Listen { path: config.listen.clone(), source })?;
    tracing::info!(socket = %config.listen.display(), "serving CRI");
    let runtime =
        RuntimeServiceServer::new(Service { engine, streams }).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let ends = shutdown.clone();
    let serving = Server::builder()
        .layer(Deadline)
        .add_service(runtime)
        .add_service(ImageServiceServer::new(images.clone()).max_encoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(ImagesServer::new(images))
        .serve_with_incoming_shutdown(
            UnixListenerStream::new(listener),
            async move { ends.cancelled().await },
        );
    // Streams end when asked to; before that, their end is a fault.
    let broken = async {
        let _ = streaming.await;
        if shutdown.is_cancelled() {
            std::future::pending().await
        }
    };
    // A client that watches events never hangs up by itself.
    let patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = patience => Ok(()),
        _ = watching => Err(Error::Task("watching monitors")),
        () = broken => Err(Error::Task("serving streams")),
    }
}

/// Builds the engine and brings it up to date with the machine.
async fn start(
    config: &Config,
    rootfs: Arc<dyn Rootfs>,
) -> Result<(Arc<Engine>, tokio::task::JoinHandle<()>), Error> {
    let hierarchies = Hierarchies::discover()?;
    let host = engine::host(&hierarchies);
    if let Some(lowest) = host.lowest_oom_score_adj {
        tracing::warn!(
            lowest,
            "without CAP_SYS_RESOURCE no container gets a lower oom_score_adj than this daemon has"
        );
    }
    let network = Network::new(network::Config {
        conf_dir: config.cni_conf_dir.clone(),
        bin_dirs: config.cni_bin_dirs.clone(),
        cache_dir: config.cni_cache_dir.clone(),
        deadline: CNI_DEADLINE,
        owner: format!("orlop:{}", config.state.display()),
    });
    let (happened, happenings) = mpsc::unbounded_channel();
    let performer = Performer {
        paths: Paths::new(&config.state),
        network,
        rootfs,
        hierarchies,
        runtime: config.runtime.clone(),
        happened,
        monitors: Mutex::default(),
        count: AtomicU64::new(0),
        crash_at: crash_at(),
    };
    let engine = Engine::new(performer, host, config.cgroup_parent.clone(), config.netns_dir.clone());
    let recovered = engine.recover().await.map_err(|failure: Failure| Error::Recover(failure.message))?;
    let watching = tokio::spawn(Arc::clone(&engine).watch(happenings, recovered.regaining));
    let effects = engine.performer.count.load(Ordering::Relaxed);
    tracing::info!(pods = recovered.pods, effects, "recovered");
    Ok((engine, watching))
}

fn crash_at() -> Option<(String, u64)> {
    let value = std::env::var(CRASH_AT).ok()?;
    let (operation, count) = value.rsplit_once(':')?;
    Some((operation.to_owned(), count.parse().ok()?))
}
