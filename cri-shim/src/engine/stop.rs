//! StopContainer, RemoveContainer, StopPodSandbox, RemovePodSandbox: all idempotent, none needs a working monitor.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use api_cri::v1::ContainerEventType;
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::time::Instant;

use super::{Engine, now};
use crate::core::container::{Container, ContainerPhase, End};
use crate::core::failure::{Code, Failure};
use crate::core::{plan, signal};
use crate::effects::Effect;

/// How long the kernel and the monitor may take with a killed container.
const KILLED: Duration = Duration::from_secs(10);
/// How long a monitor may take to tell of a process that is dead already.
const TOLD: Duration = Duration::from_secs(2);

impl Engine {
    /// Asks a container to end, and kills all of it after `grace`.
    pub(crate) async fn stop_container(self: &Arc<Self>, id: &str, grace: Duration) -> Result<(), Failure> {
        let container = match self.state().container(id) {
            Ok(container) => container.clone(),
            Err(failure) if failure.code == Code::NotFound => return Ok(()),
            Err(failure) => return Err(failure),
        };
        // Not joined: a second call with less grace must be able to hurry the first.
        let engine = Arc::clone(self);
        let stopping = tokio::spawn(async move { engine.stop(&container, grace).await });
        stopping.await.unwrap_or_else(|error| Err(Failure::internal(error.to_string())))
    }

    async fn stop(&self, container: &Container, grace: Duration) -> Result<(), Failure> {
        if !container.alive() {
            return Ok(());
        }
        if container.phase == ContainerPhase::Running && !grace.is_zero() {
            self.send(container, container.stop_signal);
            if self.exited_within(&container.id, grace).await {
                return Ok(());
            }
            tracing::info!(container = container.id, ?grace, "killing after the grace period");
        }
        self.kill(container).await
    }

    fn send(&self, container: &Container, number: i32) {
        let Some(init) = self.init(&container.id) else { return };
        if let Err(errno) = sys::process::send_signal(&init, number)
            && errno != rustix::io::Errno::SRCH
        {
            tracing::warn!(container = container.id, number, %errno, "sending a signal");
        }
    }

    /// Kills everything in a container's cgroup and waits for its end.
    async fn kill(&self, container: &Container) -> Result<(), Failure> {
        self.send(container, signal::SIGKILL);
        self.performer.begin("Kill").perform(Effect::KillCgroup { path: container.cgroup.clone() }).await?;
        if container.pid != 0 && self.exited_within(&container.id, TOLD).await {
            return Ok(());
        }
        let deadline = Instant::now() + KILLED;
        while !self.is_dead(container) {
            if Instant::now() > deadline || self.exited_within(&container.id, Duration::from_millis(50)).await
            {
                break;
            }
        }
        if !self.is_dead(container) {
            return Err(Failure::internal(format!("container {} survives SIGKILL", container.id)));
        }
        if !self.exited_within(&container.id, TOLD).await {
            // The monitor hangs: nobody will tell.
            let end = End::unseen(now(), "its end was not told by the pod's monitor");
            self.container_ended(&container.id, end).await;
        }
        Ok(())
    }

    /// Whether a container's init is gone; without a descriptor for it there is none.
    fn is_dead(&self, container: &Container) -> bool {
        let Some(init) = self.init(&container.id) else { return true };
        let mut fds = [PollFd::from_borrowed_fd(init.as_fd(), PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// Waits for the end of a container to be known.
    async fn exited_within(&self, id: &str, patience: Duration) -> bool {
        let mut changed = self.changed.subscribe();
        let exited =
            || self.state().container(id).map_or(true, |container| container.phase == ContainerPhase::Exited);
        let wait = async {
            while !exited() {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(patience, wait).await;
        exited()
    }

    /// Writes down and tells that a container ended.
    pub(super) async fn container_ended(&self, id: &str, end: End) {
        let ended = self.state().container_ended(id, end);
        let Some(container) = ended else { return };
        self.set_init(id, None);
        let sandbox = container.sandbox.clone();
        self.save(container).await;
        self.tell(ContainerEventType::ContainerStoppedEvent, id, &sandbox);
    }

    /// Removes a container, by force if it runs.
    pub(crate) async fn remove_container(self: &Arc<Self>, id: &str) -> Result<(), Failure> {
        let id = match self.state().container(id) {
            Ok(container) => container.id.clone(),
            Err(failure) if failure.code == Code::NotFound => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let engine = Arc::clone(self);
        let key = format!("RemoveContainer {id}");
        self.flights.join(key, async move { engine.remove(&id).await.map(|()| id) }).await.map(drop)
    }

    async fn remove(&self, id: &str) -> Result<(), Failure> {
        let found = self.state().container(id).cloned();
        let Ok(container) = found else { return Ok(()) };
        if container.alive() {
            self.kill(&container).await?;
        }
        self.performer.begin("RemoveContainer").perform_all(plan::remove_container(&container)).await?;
        self.set_init(id, None);
        self.state().forget_container(id);
        self.tell(ContainerEventType::ContainerDeletedEvent, id, &container.sandbox);
        Ok(())
    }

    /// Ends everything of a pod but its records.
    pub(crate) async fn stop_sandbox(self: &Arc<Self>, id: &str) -> Result<(), Failure> {
        let id = match self.state().sandbox(id) {
            Ok(sandbox) if sandbox.torn_down => return Ok(()),
            Ok(sandbox) => sandbox.id.clone(),
            Err(failure) if failure.code == Code::NotFound => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let engine = Arc::clone(self);
        let key = format!("StopPodSandbox {id}");
        self.flights.join(key, async move { engine.tear_down(&id).await.map(|()| id) }).await.map(drop)
    }

    async fn tear_down(&self, id: &str) -> Result<(), Failure> {
        // First of all not ready: no container is created in it from here on.
        let was_ready = self.state().sandbox_stopped(id).is_some();
        let containers: Vec<Container> =
            self.state().containers_of(id).filter(|c| c.alive()).cloned().collect();
        let killed =
            futures_util::future::join_all(containers.iter().map(|container| self.kill(container))).await;
        killed.into_iter().collect::<Result<(), Failure>>()?;
        let mut sandbox = self.state().sandbox(id)?.clone();
        let mut operation = self.performer.begin("StopPodSandbox");
        let mut effects = plan::forget_in_monitor(self.state().containers_of(id));
        effects.extend(plan::stop_sandbox(&sandbox, &self.performer.paths));
        let outcome = operation.perform_all(effects).await;
        sandbox.torn_down = outcome.is_ok();
        self.state().put_sandbox(sandbox.clone());
        operation.perform(Effect::SaveSandbox(Box::new(sandbox))).await?;
        if was_ready {
            self.tell(ContainerEventType::ContainerStoppedEvent, id, id);
        }
        outcome
    }

    /// Removes a pod and all of its containers, by force if they run.
    pub(crate) async fn remove_sandbox(self: &Arc<Self>, id: &str) -> Result<(), Failure> {
        let id = match self.state().sandbox(id) {
            Ok(sandbox) => sandbox.id.clone(),
            Err(failure) if failure.code == Code::NotFound => return Ok(()),
            Err(failure) => return Err(failure),
        };
        self.stop_sandbox(&id).await?;
        let engine = Arc::clone(self);
        let key = format!("RemovePodSandbox {id}");
        self.flights.join(key, async move { engine.forget_sandbox(&id).await.map(|()| id) }).await.map(drop)
    }

    async fn forget_sandbox(self: &Arc<Self>, id: &str) -> Result<(), Failure> {
        let containers: Vec<String> =
            self.state().containers_of(id).map(|container| container.id.clone()).collect();
        for container in containers {
            self.remove_container(&container).await?;
        }
        let mut operation = self.performer.begin("RemovePodSandbox");
        operation.perform(Effect::ForgetSandbox { sandbox: id.to_owned() }).await?;
        self.state().forget_sandbox(id);
        self.tell(ContainerEventType::ContainerDeletedEvent, id, id);
        Ok(())
    }
}
