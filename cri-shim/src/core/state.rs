//! Everything that the daemon knows of pods, and the only code that changes it.
//!
//! Each change returns the event that clients of GetContainerEvents see. Names are reserved from the first moment of
//! RunPodSandbox and CreateContainer, so that two callers never make the same object twice.

use std::collections::{BTreeMap, HashMap};

use api_cri::v1::{ContainerEventResponse, ContainerEventType};

use crate::core::container::{Container, ContainerPhase};
use crate::core::failure::{Code, Failure};
use crate::core::filter;
use crate::core::report;
use crate::core::sandbox::{Sandbox, SandboxPhase};

/// Sandboxes and containers.
#[derive(Default)]
pub(crate) struct State {
    sandboxes: BTreeMap<String, Sandbox>,
    containers: BTreeMap<String, Container>,
    /// Name to id, of both.
    names: HashMap<String, String>,
}

/// What an object of the same name means for a call that would make it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    /// There is none.
    None,
    /// A retry of a call that succeeded: the same configuration, still as it was made.
    Same(String),
}

impl State {
    /// All sandboxes that are more than an attempt.
    pub(crate) fn sandboxes(&self) -> impl Iterator<Item = &Sandbox> {
        self.sandboxes.values().filter(|sandbox| sandbox.phase != SandboxPhase::Making)
    }

    /// All containers that are more than an attempt.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(|container| container.phase != ContainerPhase::Making)
    }

    /// Attempts that the last daemon left behind.
    pub(crate) fn unfinished_sandboxes(&self) -> Vec<Sandbox> {
        self.sandboxes.values().filter(|sandbox| sandbox.phase == SandboxPhase::Making).cloned().collect()
    }

    /// Attempts that the last daemon left behind, and containers whose sandbox is gone.
    pub(crate) fn unfinished_containers(&self) -> Vec<Container> {
        let lost = |container: &&Container| {
            container.phase == ContainerPhase::Making || !self.sandboxes.contains_key(&container.sandbox)
        };
        self.containers.values().filter(lost).cloned().collect()
    }

    /// The containers of a sandbox, attempts included.
    pub(crate) fn containers_of<'a>(&'a self, sandbox: &'a str) -> impl Iterator<Item = &'a Container> {
        self.containers.values().filter(move |container| container.sandbox == sandbox)
    }

    /// A sandbox by its id or the beginning of it.
    pub(crate) fn sandbox(&self, id: &str) -> Result<&Sandbox, Failure> {
        filter::by_prefix(&self.sandboxes, id).ok_or_else(|| Failure::not_found("sandbox", id))
    }

    /// A container by its id or the beginning of it.
    pub(crate) fn container(&self, id: &str) -> Result<&Container, Failure> {
        filter::by_prefix(&self.containers, id).ok_or_else(|| Failure::not_found("container", id))
    }

    /// Whether a sandbox of this name exists.
    pub(crate) fn twin_sandbox(&self, wanted: &Sandbox) -> Result<Twin, Failure> {
        let name = Sandbox::name(&wanted.config);
        let Some(found) = self.names.get(&name).and_then(|id| self.sandboxes.get(id)) else {
            return Ok(Twin::None);
        };
        if found.phase == SandboxPhase::Ready
            && found.config == wanted.config
            && found.handler == wanted.handler
        {
            return Ok(Twin::Same(found.id.clone()));
        }
        Err(Failure::new(Code::AlreadyExists, format!("the sandbox name {name:?} belongs to {}", found.id)))
    }

    /// Whether a container of this name exists.
    pub(crate) fn twin_container(&self, wanted: &Container) -> Result<Twin, Failure> {
        let name = Container::name(&wanted.sandbox, &wanted.config);
        let Some(found) = self.names.get(&name).and_then(|id| self.containers.get(id)) else {
            return Ok(Twin::None);
        };
        if found.phase == ContainerPhase::Created && found.config == wanted.config {
            return Ok(Twin::Same(found.id.clone()));
        }
        Err(Failure::new(Code::AlreadyExists, format!("the container name {name:?} belongs to {}", found.id)))
    }

    /// Puts a sandbox in place of what is known of it.
    pub(crate) fn put_sandbox(&mut self, sandbox: Sandbox) {
        self.names.insert(Sandbox::name(&sandbox.config), sandbox.id.clone());
        self.sandboxes.insert(sandbox.id.clone(), sandbox);
    }

    /// Puts a container in place of what is known of it.
    pub(crate) fn put_container(&mut self, container: Container) {
        self.names.insert(Container::name(&container.sandbox, &container.config), container.id.clone());
        self.containers.insert(container.id.clone(), container);
    }

    /// A sandbox's processes are gone. `None` when that was known.
    pub(crate) fn sandbox_stopped(&mut self, id: &str) -> Option<Sandbox> {
        let sandbox = self.sandboxes.get_mut(id)?;
        if sandbox.phase == SandboxPhase::Stopped {
            return None;
        }
        sandbox.phase = SandboxPhase::Stopped;
        sandbox.monitor_pid = 0;
        sandbox.pause_pid = None;
        Some(sandbox.clone())
    }

    /// A sandbox was removed.
    pub(crate) fn forget_sandbox(&mut self, id: &str) {
        if let Some(sandbox) = self.sandboxes.remove(id) {
            self.names.remove(&Sandbox::name(&sandbox.config));
        }
    }

    /// A container was removed.
    pub(crate) fn forget_container(&mut self, id: &str) {
        if let Some(container) = self.containers.remove(id) {
            self.names.remove(&Container::name(&container.sandbox, &container.config));
        }
    }

    /// Takes a container's life one step on. `None` when the step was not its next.
    pub(crate) fn step_container(
        &mut self,
        id: &str,
        step: impl FnOnce(&mut Container) -> bool,
    ) -> Option<Container> {
        let container = self.containers.get_mut(id)?;
        step(container).then(|| container.clone())
    }

    /// Changes what may change without changing the state.
    pub(crate) fn change_container(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Container),
    ) -> Option<Container> {
        let container = self.containers.get_mut(id)?;
        change(container);
        Some(container.clone())
    }

    /// The event of a sandbox or a container, with the whole pod as the kubelet wants it.
    pub(crate) fn event(
        &self,
        kind: ContainerEventType,
        id: &str,
        sandbox: &str,
        at: i64,
    ) -> ContainerEventResponse {
        ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind.into(),
            created_at: at,
            pod_sandbox_status: self.sandboxes.get(sandbox).map(report::sandbox),
            containers_statuses: self.statuses(sandbox),
        }
    }

    /// The statuses of a sandbox's containers, the newest first: a kubelet that lives on events takes the first of a
    /// name for the present one, and would create a restarted container again.
    pub(crate) fn statuses(&self, sandbox: &str) -> Vec<api_cri::v1::ContainerStatus> {
        let mut containers: Vec<_> =
            self.containers().filter(|container| container.sandbox == sandbox).collect();
        containers.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        containers.into_iter().map(report::container).collect()
    }
}
