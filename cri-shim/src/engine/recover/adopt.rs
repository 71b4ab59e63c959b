//! Finding monitors again: when the daemon starts, and when a connection ends.
//!
//! Only the death of its monitor's process ends a pod. A connection that is refused, a daemon without descriptors and a
//! monitor that is stopped or starved all pass; while the process lives it is tried again, for [`PATIENCE`]. So many
//! are connected to at once as there are pods: each takes the two descriptors that it keeps anyway.

use std::sync::Arc;
use std::time::Duration;

use api_monitor::{ContainerState, ContainerStatus, PodStatus, Request};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::{Engine, now};
use super::ADOPT;
use crate::core::container::{Container, ContainerPhase, End};
use crate::core::sandbox::{Sandbox, SandboxPhase};
use crate::monitor::Error;

/// How long a monitor may live and not answer: what a kubelet gives a call. Then nobody can manage its pod.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long to wait between two attempts; less when the monitor dies.
const PAUSE: Duration = Duration::from_millis(100);

impl Engine {
    /// Takes the records for the present state and connects to the monitors; those that are left when serving cannot
    /// wait any longer are returned.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        sandboxes: Vec<Sandbox>,
        containers: Vec<Container>,
    ) -> JoinSet<()> {
        for mut container in containers {
            // What became of its start, if one had begun, is the monitor's to tell.
            if matches!(container.phase, ContainerPhase::Created | ContainerPhase::Starting) {
                (container.phase, container.pid, container.started_at) = (ContainerPhase::Created, 0, 0);
            }
            self.hold_init(&container);
            self.state().put_container(container);
        }
        let mut regaining = JoinSet::new();
        for sandbox in sandboxes {
            let ready = sandbox.phase == SandboxPhase::Ready;
            let id = sandbox.id.clone();
            self.state().put_sandbox(sandbox);
            if ready {
                regaining.spawn(Arc::clone(self).regain(id));
            }
        }
        let all = async {
            while let Some(joined) = regaining.join_next().await {
                if let Err(error) = joined {
                    tracing::error!(%error, "adopting a pod");
                }
            }
        };
        if tokio::time::timeout(ADOPT, all).await.is_err() {
            tracing::warn!(pods = regaining.len(), "serving before all monitors have answered");
        }
        regaining
    }

    /// Holds the first process of a container by what its record says, so that stopping it needs no monitor. The
    /// number is its own only if it is in its cgroup.
    fn hold_init(&self, container: &Container) {
        if container.pid == 0 || !container.alive() {
            return;
        }
        let Ok(pidfd) = sys::process::pidfd(container.pid) else { return };
        let inside = self.performer.cgroup(&container.cgroup).processes();
        if inside.is_ok_and(|pids| pids.contains(&container.pid)) {
            self.set_init(&container.id, Some(pidfd));
        }
    }

    /// Connects to a ready pod's monitor again, or ends the pod when it is dead, cannot be spoken with or stays silent.
    pub(in crate::engine) async fn regain(self: Arc<Self>, sandbox: String) {
        let deadline = Instant::now() + PATIENCE;
        let ready = || {
            let state = self.state();
            state.sandbox(&sandbox).is_ok_and(|sandbox| sandbox.phase == SandboxPhase::Ready)
        };
        while ready() {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match self.performer.connect(&sandbox, left).await {
                Ok(status) => return self.take_over(&status).await,
                Err(error) => error,
            };
            let Some(process) = self.performer.process(&sandbox) else {
                return self.pod_ended(&sandbox, "the pod's monitor died").await;
            };
            let foreign = matches!(error, Error::Version(_) | Error::Refused(_));
            if foreign || Instant::now() >= deadline {
                // Its pod could not be managed, and nobody else will do it.
                process.kill().await;
                return self.pod_ended(&sandbox, &format!("its monitor was killed: {error}")).await;
            }
            tracing::warn!(sandbox, %error, "a monitor lives and cannot be reached; trying again");
            process.ends_within(PAUSE).await;
        }
    }

    /// What happened to a pod while no daemon listened.
    async fn take_over(&self, status: &PodStatus) {
        let shared = self.state().sandbox(&status.id).is_ok_and(|sandbox| sandbox.pause_pid.is_some());
        if shared && status.pause_pid.is_none() {
            return self.pod_ended(&status.id, "the pod's first process ended").await;
        }
        let known: Vec<Container> = self.state().containers_of(&status.id).cloned().collect();
        // One that is being started now hears of it by its own request.
        let settled =
            |container: &&Container| container.alive() && container.phase != ContainerPhase::Starting;
        for container in known.iter().filter(settled) {
            match status.containers.get(&container.id) {
                Some(found) => self.take_over_container(container, found).await,
                // One that was not started yet never was the monitor's.
                None if container.phase == ContainerPhase::Created => {}
                None => {
                    let end = End::unseen(now(), "the pod's monitor does not know it");
                    self.container_ended(&container.id, end).await;
                }
            }
        }
        for id in status.containers.keys().filter(|id| known.iter().all(|container| container.id != **id)) {
            self.end_unknown(&status.id, id).await;
        }
    }

    async fn take_over_container(&self, container: &Container, found: &ContainerStatus) {
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

    /// A container whose record is gone, removed while its monitor could not be told.
    async fn end_unknown(&self, sandbox: &str, container: &str) {
        tracing::info!(container, "ending a container without a record");
        if let Err(failure) = self.performer.delete_alone(container).await {
            tracing::warn!(container, %failure, "ending a container without a record");
        }
        // What stays of it in the monitor is its exit, and goes with the pod.
        if let Ok(monitor) = self.performer.monitor(sandbox) {
            let deleted = monitor.request_unless_hung(Request::Delete { container: container.into() }).await;
            tracing::debug!(container, ?deleted, "forgetting a container without a record");
        }
    }
}
