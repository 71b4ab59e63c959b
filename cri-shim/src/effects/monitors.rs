//! The effects on monitors. Those of a teardown need none that works: what hangs is killed, and what it would have
//! done is done by the OCI runtime alone.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use api_monitor::{ErrorCode, NamespaceSource, PodConfig, PodStatus, ReplyError, Request};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use super::Performer;
use crate::core::failure::{Code, Failure};
use crate::disk;
use crate::monitor::{self, Client, Process};

/// How long a monitor may take to make a pod's namespaces.
const SPAWN: Duration = Duration::from_secs(30);
/// How long a new monitor may take to say hello: it needs no worker for that.
const HELLO: Duration = Duration::from_secs(5);
/// How long a monitor may take to end by itself.
const SHUTDOWN: Duration = Duration::from_secs(2);

impl Performer {
    /// The monitor of a sandbox, if it is connected.
    pub(crate) fn monitor(&self, sandbox: &str) -> Result<Arc<Client>, Failure> {
        let monitors = self.monitors.lock().unwrap_or_else(PoisonError::into_inner);
        monitors
            .get(sandbox)
            .cloned()
            .ok_or_else(|| Failure::new(Code::Unavailable, format!("sandbox {sandbox} has no monitor")))
    }

    /// Forgets a monitor's connection if it has ended; whether there is none now.
    pub(crate) fn disconnected(&self, sandbox: &str) -> bool {
        let mut monitors = self.monitors.lock().unwrap_or_else(PoisonError::into_inner);
        if monitors.get(sandbox).is_some_and(|client| client.gone()) {
            monitors.remove(sandbox);
        }
        !monitors.contains_key(sandbox)
    }

    /// Connects to a monitor that runs already.
    pub(crate) async fn connect(
        &self,
        sandbox: &str,
        patience: Duration,
    ) -> Result<PodStatus, monitor::Error> {
        let (happened, id) = (self.happened.clone(), sandbox.to_owned());
        // Nobody listens any more only while the daemon ends.
        let tell = move |what| drop(happened.send((id.clone(), what)));
        let (client, status) = Client::connect(&self.paths.socket(sandbox), patience, tell).await?;
        self.monitors.lock().unwrap_or_else(PoisonError::into_inner).insert(sandbox.to_owned(), client);
        Ok(status)
    }

    /// A monitor's process, whether or not it answers; `None` when it has ended.
    pub(crate) fn process(&self, sandbox: &str) -> Option<Process> {
        Process::find(&self.paths.monitor(sandbox), &self.paths.socket(sandbox))
    }

    pub(super) async fn spawn(&self, config: PodConfig) -> Result<PodStatus, Failure> {
        let log_path = self.paths.monitor_log(&config.id);
        let log = std::fs::File::create(&log_path).map_err(disk::during("making", &log_path))?;
        let text = serde_json::to_vec(&config)
            .map_err(|error| Failure::internal(format!("encoding a pod's configuration: {error}")))?;
        let failed = |error: std::io::Error| {
            Failure::internal(format!("starting {} monitor: {error}", self.runtime.display()))
        };
        if let Some(folder) = pin(&config).and_then(Path::parent) {
            disk::make_dirs(folder)?;
        }
        disk::make_dirs(&self.paths.monitors())?;
        let mut child = Command::new(&self.runtime)
            .arg("monitor")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::internal("a monitor without pipes"));
        };
        let exchange = async {
            stdin.write_all(&text).await?;
            drop(stdin);
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).await?;
            Ok::<_, std::io::Error>(line)
        };
        let line = match tokio::time::timeout(SPAWN, exchange).await {
            Ok(line) => line.map_err(failed)?,
            Err(_) => {
                child.start_kill().map_err(failed)?;
                return Err(Failure::internal(format!(
                    "the pod's monitor was not ready within {} seconds",
                    SPAWN.as_secs()
                )));
            }
        };
        if let Ok(refused) = serde_json::from_str::<ReplyError>(&line) {
            return Err(monitor::Error::Refused(refused).into());
        }
        if serde_json::from_str::<PodStatus>(&line).is_err() {
            let said = std::fs::read_to_string(&log_path).unwrap_or_default();
            return Err(Failure::internal(format!(
                "the pod's monitor ended before it was ready: {}",
                said.trim()
            )));
        }
        // From here on it is held by pidfd; tokio reaps it when it ends.
        Ok(self.connect(&config.id, HELLO).await?)
    }

    /// Ends a pod's monitor: asks it when it is awake, else kills it. The pod's containers are dead by now, so that
    /// nothing is lost by that.
    pub(super) async fn end(&self, sandbox: &str) {
        let client = self.monitors.lock().unwrap_or_else(PoisonError::into_inner).remove(sandbox);
        let Some(client) = client else {
            // A daemon before this one spawned it.
            if let Some(process) = self.process(sandbox) {
                process.kill().await;
            }
            return;
        };
        match client.request_unless_hung(Request::Shutdown).await {
            Ok(_) | Err(monitor::Error::Gone) => {
                if client.process().ends_within(SHUTDOWN).await {
                    return;
                }
            }
            Err(error) => tracing::warn!(sandbox, %error, "killing a monitor that does not end by itself"),
        }
        client.process().kill().await;
    }

    pub(super) async fn delete(&self, sandbox: &str, container: String) -> Result<(), Failure> {
        let Ok(monitor) = self.monitor(sandbox) else { return self.delete_alone(&container).await };
        match monitor.request_unless_hung(Request::Delete { container: container.clone() }).await {
            Ok(_) => Ok(()),
            Err(error) if error.is(ErrorCode::NotFound) => Ok(()),
            Err(monitor::Error::Gone | monitor::Error::Silent(_)) => self.delete_alone(&container).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the OCI runtime kill and forget a container whose monitor is gone or hangs.
    pub(crate) async fn delete_alone(&self, container: &str) -> Result<(), Failure> {
        let failed = |why: String| Failure::internal(format!("deleting container {container}: {why}"));
        if !self.paths.runtime().join(container).exists() {
            return Ok(());
        }
        let root = self.paths.runtime();
        let deleted = Command::new(&self.runtime)
            .arg("--root")
            .arg(root)
            .args(["delete", "--force", container])
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if deleted.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&deleted.stderr).trim().to_owned()))
    }
}

/// Where the network namespace is to be pinned.
fn pin(config: &PodConfig) -> Option<&Path> {
    match &config.namespaces.net {
        NamespaceSource::New { pin } => pin.as_deref(),
        NamespaceSource::Host => None,
    }
}

impl From<monitor::Error> for Failure {
    fn from(error: monitor::Error) -> Self {
        let code = match &error {
            monitor::Error::Gone | monitor::Error::Silent(_) => Code::Unavailable,
            monitor::Error::Refused(refused) => match refused.code {
                ErrorCode::NotFound => Code::NotFound,
                ErrorCode::AlreadyExists => Code::AlreadyExists,
                ErrorCode::WrongState => Code::FailedPrecondition,
                ErrorCode::Invalid => Code::InvalidArgument,
                ErrorCode::Unsupported => Code::Unimplemented,
                ErrorCode::Runtime | ErrorCode::Internal => Code::Internal,
            },
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}
