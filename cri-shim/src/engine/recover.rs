//! What the daemon does when it starts: finds its pods again, and undoes what was half-made.
//!
//! ```text
//! boot id changed ──▶ nothing of it runs: what lasts on disk is cleaned, the state is discarded
//! sandbox Making  ──▶ undone            container Making ──▶ undone
//! sandbox Ready   ──▶ its monitor answers: adopted, with what happened meanwhile
//!                 └─▶ it does not: the pod is ended and told as NOTREADY
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use api_monitor::{ContainerState, PodStatus};

use super::{Engine, now};
use crate::core::container::{Container, ContainerPhase, End};
use crate::core::failure::Failure;
use crate::core::id;
use crate::core::plan;
use crate::core::sandbox::{Sandbox, SandboxPhase};
use crate::disk;
use crate::effects::Effect;

impl Engine {
    /// Brings memory, disk and machine together. Returns how many pods were adopted.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<usize, Failure> {
        let paths = self.performer.paths.clone();
        for folder in [paths.sandboxes(), paths.containers(), paths.monitors(), paths.runtime()] {
            disk::make_dirs(&folder)?;
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_err(|error| Failure::internal(format!("reading the boot id: {error}")))?;
        let known = std::fs::read_to_string(paths.boot_id()).ok();
        let rebooted = known.as_ref().is_some_and(|known| *known != boot);
        let (sandboxes, containers) = self.read()?;
        if rebooted {
            tracing::info!(pods = sandboxes.len(), "the state is of an earlier boot and is discarded");
            self.discard(sandboxes, containers).await;
        } else {
            self.adopt(sandboxes, containers).await;
        }
        disk::write(&paths.boot_id(), boot.as_bytes())?;
        self.sweep().await;
        Ok(self.state().sandboxes().filter(|sandbox| sandbox.phase == SandboxPhase::Ready).count())
    }

    /// All records. One that cannot be read tells of nothing that could be kept: it is named and its folder removed.
    fn read(&self) -> Result<(Vec<Sandbox>, Vec<Container>), Failure> {
        let paths = &self.performer.paths;
        let mut sandboxes = Vec::new();
        for name in disk::names(&paths.sandboxes())?.into_iter().filter(|name| id::is_id(name)) {
            match disk::read_json::<Sandbox>(&paths.sandbox_file(&name)) {
                Ok(sandbox) => sandboxes.push(sandbox),
                Err(error) => {
                    tracing::warn!(%error, "removing a sandbox without a record");
                    disk::unmount(&paths.pod_files(&name).shm)?;
                    disk::remove_dirs(&paths.monitor(&name))?;
                    disk::remove_dirs(&paths.sandbox(&name))?;
                }
            }
        }
        let mut containers = Vec::new();
        for name in disk::names(&paths.containers())?.into_iter().filter(|name| id::is_id(name)) {
            match disk::read_json::<Container>(&paths.container_file(&name)) {
                Ok(container) => containers.push(container),
                Err(error) => {
                    tracing::warn!(%error, "removing a container without a record");
                    self.rootfs.remove(&name, &paths.rootfs(&name))?;
                    disk::remove_dirs(&paths.container(&name))?;
                }
            }
        }
        Ok((sandboxes, containers))
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

    async fn adopt(self: &Arc<Self>, sandboxes: Vec<Sandbox>, containers: Vec<Container>) {
        for sandbox in &sandboxes {
            self.state().put_sandbox(sandbox.clone());
        }
        for mut container in containers {
            // What became of its start, if one had begun, is the monitor's to tell.
            if matches!(container.phase, ContainerPhase::Created | ContainerPhase::Starting) {
                (container.phase, container.pid, container.started_at) = (ContainerPhase::Created, 0, 0);
            }
            self.state().put_container(container);
        }
        for sandbox in sandboxes {
            if sandbox.phase == SandboxPhase::Ready {
                match self.performer.connect(&sandbox.id).await {
                    Ok(status) => self.take_over(&status).await,
                    Err(error) => {
                        self.pod_ended(&sandbox.id, &format!("its monitor cannot be reached: {error}")).await
                    }
                }
            }
        }
        self.undo_half_made().await;
    }

    /// What happened to a pod's containers while no daemon listened.
    async fn take_over(&self, status: &PodStatus) {
        let known: Vec<Container> = self.state().containers_of(&status.id).cloned().collect();
        for container in known.iter().filter(|container| container.alive()) {
            let Some(found) = status.containers.get(&container.id) else {
                // One that was not started yet never was the monitor's.
                if container.phase != ContainerPhase::Created {
                    self.container_ended(
                        &container.id,
                        End::unseen(now(), "the pod's monitor does not know it"),
                    )
                    .await;
                }
                continue;
            };
            if container.phase == ContainerPhase::Created && found.started_at != 0 {
                let started = self.state().step_container(&container.id, |container| {
                    container.starting(found.started_at) && container.started()
                });
                if let Some(started) = started {
                    self.save(started).await;
                }
            }
            match &found.state {
                ContainerState::Exited(exit) => self.container_ended(&container.id, End::of(*exit)).await,
                ContainerState::Created | ContainerState::Running => match sys::process::pidfd(found.pid) {
                    Ok(pidfd) => {
                        self.set_init(&container.id, Some(pidfd));
                        self.state().change_container(&container.id, |container| container.pid = found.pid);
                    }
                    // It ended just now; its monitor will say how.
                    Err(error) => {
                        tracing::debug!(container = container.id, %error, "holding an adopted container")
                    }
                },
            }
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
