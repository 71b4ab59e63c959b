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
        let id = match self.state().container(id) {
            Ok(container) => container.id.clone(),
            Err(failure) if failure.code == Code::NotFound => return Ok(()),
            Err(failure) => return Err(failure),
        };
        // Not joined: a second call with less grace must be able to hurry the first.
        let engine = Arc::clone(self);
        let stopping = tokio::spawn(async move { engine.stop(&id, grace).await });
        stopping.await.unwrap_or_else(|error| Err(Failure::internal(error.to_string())))
    }

    async fn stop(&self, id: &str, grace: Duration) -> Result<(), Failure> {
        let asked = Instant::now();
        self.leaves_within(id, ContainerPhase::Starting, grace).await;
        let found = self.state().container(id).cloned();
        let Ok(container) = found else { return Ok(()) };
        let left = grace.saturating_sub(asked.elapsed());
        if container.phase == ContainerPhase::Running && !left.is_zero() {
            self.send(&container, container.stop_signal);
            if self.exited_within(id, left).await {
                return Ok(());
            }
            tracing::info!(container = id, ?grace, "killing after the grace period");
        }
        self.kill(id).await
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
    async fn kill(&self, id: &str) -> Result<(), Failure> {
        let withdrawn =
            self.state().step_container(id, |container| container.withdrawn(End::withdrawn(now())));
        if let Some(container) = withdrawn {
            // A daemon that was killed while it started the container may have left a process of it.
            let effect = Effect::KillCgroup { path: container.cgroup.clone() };
            self.performer.begin("Kill").perform(effect).await?;
            self.ended(container).await;
            return Ok(());
        }
        let deadline = Instant::now() + KILLED;
        let cgroup = self.state().container(id)?.cgroup.clone();
        let kill = || async {
            self.performer.begin("Kill").perform(Effect::KillCgroup { path: cgroup.clone() }).await
        };
        // What is being made dies as soon as it is in its cgroup.
        while !self.leaves_within(id, ContainerPhase::Starting, Duration::from_millis(10)).await {
            if Instant::now() > deadline {
                return Err(Failure::internal(format!("container {id} is being started and does not end")));
            }
            kill().await?;
        }
        let container = self.state().container(id)?.clone();
        if !container.alive() {
            return Ok(());
        }
        self.send(&container, signal::SIGKILL);
        kill().await?;
        while !self.is_dead(&container) {
            if self.exited_within(id, Duration::from_millis(50)).await {
                return Ok(());
            }
            if Instant::now() > deadline {
                break;
            }
        }
        if !self.is_dead(&container) {
            return Err(Failure::internal(format!("container {id} survives SIGKILL")));
        }
        if !self.exited_within(id, TOLD).await {
            // The monitor hangs: nobody will tell.
            let end = End::unseen(now(), "its end was not told by the pod's monitor");
            self.container_ended(id, end).await;
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
        self.changes_within(id, patience, |phase| phase == ContainerPhase::Exited).await
    }

    /// Waits until a container is in another phase than this.
    async fn leaves_within(&self, id: &str, phase: ContainerPhase, patience: Duration) -> bool {
        self.changes_within(id, patience, |present| present != phase).await
    }

    /// Waits for the phase of a container; one that is gone is in every phase.
    async fn changes_within(
        &self,
        id: &str,
        patience: Duration,
        wanted: impl Fn(ContainerPhase) -> bool,
    ) -> bool {
        let mut changed = self.changed.subscribe();
        let reached = || self.state().container(id).map_or(true, |container| wanted(container.phase));
        let wait = async {
            while !reached() {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(patience, wait).await;
        reached()
    }

    /// Writes down and tells that a container ended.
    pub(super) async fn container_ended(&self, id: &str, end: End) {
        let ended = self.state().step_container(id, |container| container.ended(end));
        if let Some(container) = ended {
            self.ended(container).await;
        }
    }

    async fn ended(&self, container: Container) {
        let (id, sandbox) = (container.id.clone(), container.sandbox.clone());
        self.set_init(&id, None);
        self.save(container).await;
        self.tell(ContainerEventType::ContainerStoppedEvent, &id, &sandbox);
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
            self.kill(id).await?;
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
            futures_util::future::join_all(containers.iter().map(|container| self.kill(&container.id))).await;
        killed.into_iter().collect::<Result<(), Failure>>()?;
        let mut sandbox = self.state().sandbox(id)?.clone();
        let operation = self.performer.begin("StopPodSandbox");
        let forget = plan::forget_in_monitor(self.state().containers_of(id));
        // Both wait for processes, which have nothing to do with each other.
        let (forgotten, detached) =
            tokio::join!(operation.perform_all(forget), operation.perform_all(plan::detach(&sandbox)));
        let ended = operation.perform_all(plan::stop_sandbox(&sandbox, &self.performer.paths)).await;
        let outcome = forgotten.and(detached).and(ended);
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
        let operation = self.performer.begin("RemovePodSandbox");
        operation.perform(Effect::ForgetSandbox { sandbox: id.to_owned() }).await?;
        self.state().forget_sandbox(id);
        self.tell(ContainerEventType::ContainerDeletedEvent, id, id);
        Ok(())
    }
}
