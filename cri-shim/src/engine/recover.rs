//! What the daemon does when it starts: finds its pods again, and undoes what was half-made.
//!
//! ```text
//! boot id changed   ──▶ nothing of it runs: what lasts on disk is cleaned, the state is discarded
//! record of another format ──▶ nothing is touched and the daemon does not start
//! record unreadable ──▶ what can be found of it without the record is ended and removed, and so is a monitor of no record
//! sandbox Making    ──▶ undone            container Making ──▶ undone
//! sandbox Ready     ──▶ its monitor's process lives: adopted, with what happened meanwhile, now or once it answers
//!                   └─▶ it does not, or it speaks an unknown version: the pod is ended and told as NOTREADY
//! ```
//! All pods are adopted beside each other, and one whose monitor is slow keeps nobody waiting: after [`ADOPT`] the
//! daemon serves, and goes on looking.

mod adopt;
mod lost;
mod records;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use self::records::Records;
use super::Engine;
use crate::core::container::Container;
use crate::core::failure::Failure;
use crate::core::id;
use crate::core::plan;
use crate::core::sandbox::{Sandbox, SandboxPhase};
use crate::disk;
use crate::effects::Effect;

/// How long serving waits for monitors to answer.
const ADOPT: Duration = Duration::from_secs(2);

/// What the daemon starts with.
pub(crate) struct Recovered {
    /// How many pods there are.
    pub pods: usize,
    /// Those whose monitors have not answered yet.
    pub regaining: JoinSet<()>,
}

impl Engine {
    /// Brings memory, disk and machine together.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<Recovered, Failure> {
        let paths = self.performer.paths.clone();
        for folder in [paths.sandboxes(), paths.containers(), paths.monitors(), paths.runtime()] {
            disk::make_dirs(&folder)?;
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_err(|error| Failure::internal(format!("reading the boot id: {error}")))?;
        let known = std::fs::read_to_string(paths.boot_id()).ok();
        let rebooted = known.as_ref().is_some_and(|known| *known != boot);
        let Records { sandboxes, containers, unreadable, foreign } = records::read(&paths)?;
        if let Some(foreign) = foreign.first().filter(|_| !rebooted) {
            return Err(Failure::state(foreign.to_string()));
        }
        self.end_unreadable(&unreadable, rebooted).await?;
        let mut regaining = JoinSet::new();
        if rebooted {
            tracing::info!(pods = sandboxes.len(), "the state is of an earlier boot and is discarded");
            self.discard(sandboxes, containers).await;
        } else {
            self.end_monitors_without_record(&sandboxes).await?;
            regaining = self.adopt(sandboxes, containers).await;
            self.undo_half_made().await;
        }
        disk::write(&paths.boot_id(), boot.as_bytes())?;
        self.sweep().await;
        let pods = self.state().sandboxes().filter(|sandbox| sandbox.phase == SandboxPhase::Ready).count();
        Ok(Recovered { pods, regaining })
    }

    /// After a reboot: processes, mounts and namespaces are gone, addresses and writable layers are not.
    async fn discard(&self, sandboxes: Vec<Sandbox>, containers: Vec<Container>) {
        let operation = self.performer.begin("Discard");
        for container in containers {
            let _ = operation
                .perform_all(vec![
                    Effect::UnmountRootfs { container: container.id.clone() },
                    Effect::ForgetContainer { container: container.id },
                ])
                .await;
        }
        for sandbox in sandboxes {
            let mut effects = Vec::new();
            if let Some(attachment) = plan::attachment(&sandbox) {
                effects.push(Effect::DetachNetwork(Box::new(attachment)));
            }
            effects.push(Effect::Unmount { path: self.performer.paths.pod_files(&sandbox.id).shm });
            effects.extend(sandbox.netns.clone().map(|path| Effect::RemovePin { path }));
            effects.push(Effect::ForgetSandbox { sandbox: sandbox.id });
            let _ = operation.perform_all(effects).await;
        }
    }

    /// Undoes what the last daemon did not finish.
    async fn undo_half_made(self: &Arc<Self>) {
        let (sandboxes, containers) = {
            let state = self.state();
            (state.unfinished_sandboxes(), state.unfinished_containers())
        };
        let operation = self.performer.begin("Undo");
        for container in containers {
            tracing::info!(container = container.id, "undoing a half-made container");
            let _ = operation.perform_all(plan::remove_container(&container)).await;
            self.state().forget_container(&container.id);
        }
        for sandbox in sandboxes {
            tracing::info!(sandbox = sandbox.id, "undoing a half-made sandbox");
            let _ = operation.perform_all(plan::remove_sandbox(&sandbox, &self.performer.paths)).await;
            self.state().forget_sandbox(&sandbox.id);
        }
    }

    /// Removes what belongs to no record: writable layers, addresses, pins.
    async fn sweep(&self) {
        let (sandboxes, containers): (BTreeSet<String>, Vec<String>) = {
            let state = self.state();
            let sandboxes = state.sandboxes().map(|sandbox| sandbox.id.clone()).collect();
            (sandboxes, state.containers().map(|container| container.id.clone()).collect())
        };
        if let Err(failure) = self.rootfs.retain(&containers) {
            tracing::warn!(%failure, "removing the layers of containers that are gone");
        }
        if let Err(error) = self.performer.network.gc(&sandboxes).await {
            tracing::warn!(%error, "releasing the addresses of pods that are gone");
        }
        for name in disk::names(&self.netns_dir).unwrap_or_default() {
            let ours = name.strip_prefix("orlop-").is_some_and(|id| id::is_id(id) && !sandboxes.contains(id));
            if ours
                && let Err(failure) = self
                    .performer
                    .begin("Sweep")
                    .perform(Effect::RemovePin { path: self.netns_dir.join(&name) })
                    .await
            {
                tracing::warn!(%failure, "removing a namespace without a pod");
            }
        }
    }
}
