//! The one seam where something happens to the machine.
//!
//! Operations are lists of [`Effect`]s; [`Performer::perform`] does one and counts it. An effect that changes the
//! machine more than once (CNI runs several plugins) counts each change. With `ORLOP_CRASH_AT` set to `OPERATION:N` the
//! process says what it did last and aborts after the Nth of that operation, which is how the tests kill the daemon
//! between every two of them.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use api_monitor::{CreateRequest, PodConfig, PodStatus, Reply, Request};
use oci_spec::runtime::Spec;
use sys::cgroup::{Cgroup, Hierarchies};
use tokio::sync::mpsc::UnboundedSender;

use crate::core::container::Container;
use crate::core::failure::Failure;
use crate::core::sandbox::Sandbox;
use crate::disk;
use crate::monitor::{self, Client, Happened};
use crate::network::{Attachment, Network, PodIps};
use crate::paths::Paths;
use crate::rootfs::Rootfs;

mod monitors;

/// For the kill tests: `OPERATION:N` aborts after the Nth change of that operation.
pub(crate) const CRASH_AT: &str = "ORLOP_CRASH_AT";

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

/// Counts the changes that one operation makes.
struct Seam {
    name: &'static str,
    count: AtomicU64,
    /// The change to abort after, for the kill tests.
    crash_at: Option<u64>,
}

impl Seam {
    /// Something was done to the machine.
    fn passed(&self, what: &str) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if self.crash_at == Some(count) {
            tracing::error!(operation = self.name, count, after = what, "aborting, as {CRASH_AT} asks for");
            std::process::abort();
        }
    }

    /// What an effect is called; only where somebody will read it, for it prints all of it first.
    fn label(&self, effect: &Effect) -> String {
        let mut text = self.crash_at.map(|_| format!("{effect:?}")).unwrap_or_default();
        text.truncate(text.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(text.len()));
        text
    }
}

/// An operation that effects are counted for.
pub(crate) struct Operation<'a> {
    performer: &'a Performer,
    seam: Seam,
}

impl Operation<'_> {
    /// Does one thing.
    pub(crate) async fn perform(&self, effect: Effect) -> Result<Outcome, Failure> {
        let label = self.seam.label(&effect);
        let outcome = self.performer.perform(effect, &self.seam).await;
        self.seam.passed(&label);
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
                tracing::warn!(operation = self.seam.name, %failure, "teardown goes on after a failure");
                first = first.and(Err(failure));
            }
        }
        first
    }
}

impl Performer {
    /// Begins an operation.
    pub(crate) fn begin(&self, name: &'static str) -> Operation<'_> {
        let crash_at = self.crash_at.as_ref().filter(|(operation, _)| operation == name).map(|(_, at)| *at);
        Operation { performer: self, seam: Seam { name, count: AtomicU64::new(0), crash_at } }
    }

    /// The cgroup of a path below the hierarchies.
    pub(crate) fn cgroup(&self, path: &str) -> Cgroup {
        Cgroup::new(&self.hierarchies, &Path::new("/").join(path))
    }

    async fn perform(&self, effect: Effect, seam: &Seam) -> Result<Outcome, Failure> {
        self.count.fetch_add(1, Ordering::Relaxed);
        match effect {
            Effect::SpawnMonitor(config) => {
                self.spawn(*config).await.map(|pod| Outcome::Monitor(Box::new(pod)))
            }
            Effect::AttachNetwork(attachment) => {
                let added = self.network.add(&attachment, &|step| seam.passed(step)).await;
                added
                    .map(|ips| Outcome::Network(Box::new(ips)))
                    .map_err(|error| Failure::internal(error.to_string()))
            }
            Effect::DetachNetwork(attachment) => {
                let removed = self.network.del(&attachment, &|step| seam.passed(step)).await;
                done(removed.map_err(|error| Failure::internal(error.to_string())))
            }
            Effect::EndMonitor { sandbox } => {
                self.end(&sandbox).await;
                Ok(Outcome::Done)
            }
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
}

fn done(result: Result<(), Failure>) -> Result<Outcome, Failure> {
    result.map(|()| Outcome::Done)
}

impl From<disk::Error> for Failure {
    fn from(error: disk::Error) -> Self {
        Self::internal(error.to_string())
    }
}
