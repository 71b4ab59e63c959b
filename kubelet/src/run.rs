//! Starts the kubelet's tasks and waits for their end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::cri;

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

/// Runs the kubelet until `shutdown` is cancelled. Pods keep running when it ends.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    if config.node_name.is_empty() {
        return Err(Error::Config("the node has no name".into()));
    }
    let client =
        cri::Client::new(&config.container_runtime_endpoint, config.image_service_endpoint.as_deref());
    let version = tokio::select! {
        version = wait_for_runtime(&client, &config) => version?,
        () = shutdown.cancelled() => return Ok(()),
    };
    tracing::info!(runtime = version.runtime_name, version = version.runtime_version, "connected");
    shutdown.cancelled().await;
    Ok(())
}

/// The runtime may start after us: only an answer that is no CRI v1 ends the wait.
async fn wait_for_runtime(
    client: &cri::Client,
    config: &Config,
) -> Result<api_cri::v1::VersionResponse, Error> {
    let mut backoff = daemon::Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
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
            Err(status) if !said => {
                let socket = config.container_runtime_endpoint.display();
                tracing::warn!(%socket, error = status.message(), "waiting for the runtime");
                said = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(backoff.after_failure()).await;
    }
}
