//! Looks at the size of running containers' logs and rotates those that are too large.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use api_cri::v1::ReopenContainerLogRequest;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Rotation, rotate};
use crate::cri::Client;
use crate::translate::Node;
use crate::worker::{View, log_dir};

pub(crate) struct Keeper {
    pub(crate) client: Client,
    pub(crate) view: View,
    pub(crate) node: Arc<Node>,
    pub(crate) policy: Rotation,
    pub(crate) every: Duration,
}

impl Keeper {
    /// Rotates until cancelled.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(self.every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = shutdown.cancelled() => return,
            }
            for (path, id) in self.running() {
                self.look(path, id).await;
            }
        }
    }

    fn running(&self) -> Vec<(PathBuf, String)> {
        let view = Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner));
        let pods = view.values().flat_map(|shown| {
            let folder = log_dir(&self.node, &shown.manifest);
            let runs = shown.pod.containers.iter().filter(|one| one.running().is_some());
            runs.filter_map(move |container| {
                let run = container.current.as_ref()?;
                let file = folder.join(&container.spec.name).join(format!("{}.log", run.attempt));
                Some((file, run.id.clone()))
            })
        });
        pods.collect()
    }

    async fn look(&self, path: PathBuf, id: String) {
        let (runtime, policy, executor) =
            (self.client.runtime.clone(), self.policy, tokio::runtime::Handle::current());
        let shown = path.display().to_string();
        // Compression takes its time: not on the executor's threads.
        let rotated = tokio::task::spawn_blocking(move || {
            rotate(&path, policy, Timestamp::now(), || -> std::io::Result<()> {
                let request = ReopenContainerLogRequest { container_id: id };
                let mut runtime = runtime;
                let answer = executor.block_on(runtime.reopen_container_log(request));
                answer.map(drop).map_err(|status| std::io::Error::other(status.message().to_owned()))
            })
        });
        match rotated.await {
            Ok(Ok(true)) => tracing::debug!(path = shown, "rotated"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Ok(Err(error)) => tracing::warn!(path = shown, %error, "rotating a log"),
            Err(error) => tracing::error!(path = shown, %error, "rotating a log"),
        }
    }
}
