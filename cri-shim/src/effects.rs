//! The one seam where something happens to the machine.
//!
//! Operations are lists of [`Effect`]s; [`Performer::perform`] does one and counts it. With `ORLOP_CRASH_AT` set to
//! `OPERATION:N` the process aborts after the Nth effect of that operation, which is how the tests kill the daemon
//! between every two of them.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api_monitor::{
    CreateRequest, ErrorCode, NamespaceSource, PodConfig, PodStatus, Reply, ReplyError, Request,
};
use oci_spec::runtime::Spec;
use sys::cgroup::{Cgroup, Hierarchies};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedSender;

use crate::core::container::Container;
use crate::core::failure::{Code, Failure};
use crate::core::sandbox::Sandbox;
use crate::disk;
use crate::monitor::{self, Client, Happened};
use crate::network::{Attachment, Network, PodIps};
use crate::paths::Paths;
use crate::rootfs::Rootfs;

/// How long a monitor may take to make a pod's namespaces.
const SPAWN: Duration = Duration::from_secs(30);
/// How long a monitor may take to end by itself.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// One change to the machine.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Writes a sandbox's record, and its folder before that.
    SaveSandbox(Box<Sandbox>),
    /// Writes the files that containers see as `/etc/hostname` and `/etc/resolv.conf`, and makes the folder of `/dev/shm`.
    WritePodFiles {
        /// Whose.
        sandbox: String,
        /// The text of one.
        resolv_conf: String,
        /// The text of the other.
        hostname: String,
    },
    /// Makes a cgroup in every hierarchy.
    MakeCgroup {
        /// Below each hierarchy.
        path: String,
    },
    /// Starts a pod's monitor, which makes its namespaces.
    SpawnMonitor(Box<PodConfig>),
    /// CNI ADD.
    AttachNetwork(Box<Attachment>),
    /// CNI DEL.
    DetachNetwork(Box<Attachment>),
    /// Ends a pod's monitor, by force if need be.
    EndMonitor {
        /// Whose.
        sandbox: String,
    },
    /// Unmounts.
    Unmount {
        /// What.
        path: PathBuf,
    },
    /// Unmounts and removes the file that pins a namespace.
    RemovePin {
        /// The file.
        path: PathBuf,
    },
    /// Kills what is in a cgroup and removes it.
    RemoveCgroup {
        /// Below each hierarchy.
        path: String,
    },
    /// Removes a sandbox's folder.
    ForgetSandbox {
        /// Whose.
        sandbox: String,
    },
    /// Writes a container's record, and its folder before that.
    SaveContainer(Box<Container>),
    /// Mounts a container's root filesystem.
    MountRootfs {
        /// Whose.
        container: String,
        /// Of which image.
        image: String,
    },
    /// Makes folders that the kubelet left to the runtime: sources of mounts, the log's.
    MakeFolders(Vec<PathBuf>),
    /// Writes a container's OCI configuration.
    WriteSpec {
        /// Whose.
        container: String,
        /// The bundle's `config.json`.
        spec: Box<Spec>,
    },
    /// Lets the monitor create a container.
    CreateInMonitor {
        /// In which pod.
        sandbox: String,
        /// What.
        request: Box<CreateRequest>,
    },
    /// Lets the monitor start a container.
    StartInMonitor {
        /// In which pod.
        sandbox: String,
        /// Which.
        container: String,
    },
    /// Kills a container by its cgroup.
    KillCgroup {
        /// Below each hierarchy.
        path: String,
    },
    /// Lets the monitor forget a container.
    DeleteInMonitor {
        /// In which pod.
        sandbox: String,
        /// Which.
        container: String,
    },
    /// Unmounts a container's root filesystem and discards its changes.
    UnmountRootfs {
        /// Whose.
        container: String,
    },
    /// Removes a container's folder.
    ForgetContainer {
        /// Whose.
        container: String,
    },
}

/// What an effect leads to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is done.
    Done,
    /// The monitor and what it made.
    Monitor(Box<PodStatus>),
    /// The pod's addresses.
    Network(Box<PodIps>),
    /// The container's init.
    Created(i32, OwnedFd),
}

/// Does what the plans say.
pub(crate) struct Performer {
    /// The layout.
    pub paths: Paths,
    /// The pods' network.
    pub network: Network,
    /// Images as root filesystems.
    pub rootfs: Arc<dyn Rootfs>,
    /// The machine's cgroup trees.
    pub hierarchies: Hierarchies,
    /// `orlop-runtime`.
    pub runtime: PathBuf,
    /// Where monitors report to: the sandbox and what happened.
    pub happened: UnboundedSender<(String, Happened)>,
    /// The monitors that are connected, by sandbox.
    pub monitors: Mutex<HashMap<String, Arc<Client>>>,
    /// All effects so far, for the metrics.
    pub count: AtomicU64,
    /// Where to abort, for the kill tests.
    pub crash_at: Option<(String, u64)>,
}

/// An operation that effects are counted for.
pub(crate) struct Operation<'a> {
    performer: &'a Performer,
    name: &'static str,
    count: AtomicU64,
}

impl Operation<'_> {
    /// Does one thing.
    pub(crate) async fn perform(&self, effect: Effect) -> Result<Outcome, Failure> {
        let outcome = self.performer.perform(effect).await;
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if self.performer.crash_at.as_ref().is_some_and(|(name, at)| name == self.name && *at == count) {
            std::process::abort();
        }
        outcome
    }

    /// Does all of a teardown whatever fails, and returns the first failure.
    pub(crate) async fn perform_all(&self, effects: Vec<Effect>) -> Result<(), Failure> {
        let mut first = Ok(());
        for effect in effects {
            // The record is what a later attempt, or a later daemon, knows the rest by.
            if first.is_err()
                && matches!(effect, Effect::ForgetSandbox { .. } | Effect::ForgetContainer { .. })
            {
                continue;
            }
            if let Err(failure) = self.perform(effect).await {
                tracing::warn!(operation = self.name, %failure, "teardown goes on after a failure");
                first = first.and(Err(failure));
            }
        }
        first
    }
}

impl Performer {
    /// Begins an operation.
    pub(crate) fn begin(&self, name: &'static str) -> Operation<'_> {
        Operation { performer: self, name, count: AtomicU64::new(0) }
    }

    /// The monitor of a sandbox, if it is connected.
    pub(crate) fn monitor(&self, sandbox: &str) -> Result<Arc<Client>, Failure> {
        let monitors = self.monitors.lock().unwrap_or_else(PoisonError::into_inner);
        monitors
            .get(sandbox)
            .cloned()
            .ok_or_else(|| Failure::new(Code::Unavailable, format!("sandbox {sandbox} has no monitor")))
    }

    /// Forgets a monitor's connection.
    pub(crate) fn disconnect(&self, sandbox: &str) -> Option<Arc<Client>> {
        self.monitors.lock().unwrap_or_else(PoisonError::into_inner).remove(sandbox)
    }

    /// Connects to a monitor that runs already.
    pub(crate) async fn connect(&self, sandbox: &str) -> Result<PodStatus, monitor::Error> {
        let (happened, id) = (self.happened.clone(), sandbox.to_owned());
        // Nobody listens any more only while the daemon ends.
        let tell = move |what| drop(happened.send((id.clone(), what)));
        let (client, status) = Client::connect(&self.paths.socket(sandbox), tell).await?;
        self.monitors.lock().unwrap_or_else(PoisonError::into_inner).insert(sandbox.to_owned(), client);
        Ok(status)
    }

    /// The cgroup of a path below the hierarchies.
    pub(crate) fn cgroup(&self, path: &str) -> Cgroup {
        Cgroup::new(&self.hierarchies, &Path::new("/").join(path))
    }

    async fn perform(&self, effect: Effect) -> Result<Outcome, Failure> {
        self.count.fetch_add(1, Ordering::Relaxed);
        match effect {
            Effect::SpawnMonitor(config) => {
                self.spawn(*config).await.map(|pod| Outcome::Monitor(Box::new(pod)))
            }
            Effect::AttachNetwork(attachment) => {
                let added = self.network.add(&attachment).await;
                added
                    .map(|ips| Outcome::Network(Box::new(ips)))
                    .map_err(|error| Failure::internal(error.to_string()))
            }
            Effect::DetachNetwork(attachment) => done(
                self.network.del(&attachment).await.map_err(|error| Failure::internal(error.to_string())),
            ),
            Effect::EndMonitor { sandbox } => done(self.end(&sandbox).await),
            Effect::CreateInMonitor { sandbox, request } => {
                match self.monitor(&sandbox)?.request(Request::Create(*request), &[]).await? {
                    (Reply::Created { pid }, fds) => {
                        let pidfd = fds.into_iter().next().ok_or(monitor::Error::Unexpected)?;
                        Ok(Outcome::Created(pid, pidfd))
                    }
                    _ => Err(monitor::Error::Unexpected.into()),
                }
            }
            Effect::StartInMonitor { sandbox, container } => {
                let started = self.monitor(&sandbox)?.request(Request::Start { container }, &[]).await;
                done(started.map(drop).map_err(Failure::from))
            }
            Effect::DeleteInMonitor { sandbox, container } => done(self.delete(&sandbox, container).await),
            other => self.perform_at_once(other),
        }
    }

    /// What takes microseconds on a tmpfs or in the kernel, and so blocks no other task for long.
    fn perform_at_once(&self, effect: Effect) -> Result<Outcome, Failure> {
        match effect {
            Effect::SaveSandbox(sandbox) => {
                disk::make_dirs(&self.paths.sandbox(&sandbox.id))?;
                disk::make_dirs(&self.paths.monitor(&sandbox.id))?;
                disk::write_json(&self.paths.sandbox_file(&sandbox.id), &sandbox)?;
            }
            Effect::WritePodFiles { sandbox, resolv_conf, hostname } => {
                let files = self.paths.pod_files(&sandbox);
                disk::make_dirs(&files.shm)?;
                disk::write(&files.resolv_conf, resolv_conf.as_bytes())?;
                disk::write(&files.hostname, hostname.as_bytes())?;
            }
            Effect::MakeCgroup { path } => {
                self.cgroup(&path).create().map_err(|error| Failure::internal(error.to_string()))?
            }
            Effect::RemoveCgroup { path } => {
                let cgroup = self.cgroup(&path);
                // Whoever is left in it keeps it from going.
                cgroup.signal(9).map_err(|error| Failure::internal(error.to_string()))?;
                cgroup.remove().map_err(|error| Failure::internal(error.to_string()))?;
            }
            Effect::KillCgroup { path } => {
                self.cgroup(&path).signal(9).map_err(|error| Failure::internal(error.to_string()))?;
            }
            Effect::Unmount { path } => disk::unmount(&path)?,
            Effect::RemovePin { path } => {
                disk::unmount(&path)?;
                disk::remove_file(&path)?;
            }
            Effect::ForgetSandbox { sandbox } => {
                disk::remove_dirs(&self.paths.monitor(&sandbox))?;
                disk::remove_dirs(&self.paths.sandbox(&sandbox))?;
            }
            Effect::SaveContainer(container) => {
                disk::make_dirs(&self.paths.rootfs(&container.id))?;
                disk::write_json(&self.paths.container_file(&container.id), &container)?;
            }
            Effect::MountRootfs { container, image } => {
                self.rootfs.mount(&container, &image, &self.paths.rootfs(&container))?;
            }
            Effect::UnmountRootfs { container } => {
                self.rootfs.remove(&container, &self.paths.rootfs(&container))?
            }
            Effect::MakeFolders(folders) => {
                for folder in folders {
                    disk::make_dirs(&folder)?;
                }
            }
            Effect::WriteSpec { container, spec } => disk::write_json(&self.paths.spec(&container), &spec)?,
            Effect::ForgetContainer { container } => disk::remove_dirs(&self.paths.container(&container))?,
            other => return Err(Failure::internal(format!("{other:?} needs to wait"))),
        }
        Ok(Outcome::Done)
    }

    async fn spawn(&self, config: PodConfig) -> Result<PodStatus, Failure> {
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
        Ok(self.connect(&config.id).await?)
    }

    async fn end(&self, sandbox: &str) -> Result<(), Failure> {
        if self.monitor(sandbox).is_err() && self.paths.socket(sandbox).exists() {
            // A daemon before this one spawned it. One that does not answer is killed by the attempt.
            let _ = self.connect(sandbox).await;
        }
        let Some(client) = self.disconnect(sandbox) else { return Ok(()) };
        match client.request(Request::Shutdown, &[]).await {
            Ok(_) | Err(monitor::Error::Gone) => {}
            Err(error) => tracing::warn!(sandbox, %error, "a monitor does not end by itself"),
        }
        client.ended(SHUTDOWN).await;
        Ok(())
    }

    async fn delete(&self, sandbox: &str, container: String) -> Result<(), Failure> {
        let Ok(monitor) = self.monitor(sandbox) else { return self.delete_alone(&container).await };
        match monitor.request(Request::Delete { container: container.clone() }, &[]).await {
            Ok(_) => Ok(()),
            Err(error) if error.is(ErrorCode::NotFound) => Ok(()),
            Err(monitor::Error::Gone) => self.delete_alone(&container).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the OCI runtime forget a container whose monitor is gone.
    async fn delete_alone(&self, container: &str) -> Result<(), Failure> {
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

fn done(result: Result<(), Failure>) -> Result<Outcome, Failure> {
    result.map(|()| Outcome::Done)
}

impl From<disk::Error> for Failure {
    fn from(error: disk::Error) -> Self {
        Self::internal(error.to_string())
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
