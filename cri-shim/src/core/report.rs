//! What clients are told of sandboxes and containers.

use api_cri::v1::{
    Container as Listed, ContainerAttributes, ContainerResources, ContainerState, ContainerStatus,
    ContainerUser, ImageSpec, LinuxContainerUser, LinuxPodSandboxStatus, Namespace, NamespaceMode, PodIp,
    PodSandbox, PodSandboxNetworkStatus, PodSandboxState, PodSandboxStatus, UserNamespace,
};

use crate::core::container::{Container, ContainerPhase};
use crate::core::sandbox::{Sandbox, SandboxPhase};
use crate::core::signal;

/// READY while the monitor lives.
pub(crate) fn sandbox_state(sandbox: &Sandbox) -> PodSandboxState {
    match sandbox.phase {
        SandboxPhase::Ready => PodSandboxState::SandboxReady,
        SandboxPhase::Making | SandboxPhase::Stopped => PodSandboxState::SandboxNotready,
    }
}

/// The four states of the protocol are ours, but that it has no word for being started.
pub(crate) fn container_state(container: &Container) -> ContainerState {
    match container.phase {
        ContainerPhase::Making => ContainerState::ContainerUnknown,
        ContainerPhase::Created | ContainerPhase::Starting => ContainerState::ContainerCreated,
        ContainerPhase::Running => ContainerState::ContainerRunning,
        ContainerPhase::Exited => ContainerState::ContainerExited,
    }
}

/// For PodSandboxStatus and events.
pub(crate) fn sandbox(sandbox: &Sandbox) -> PodSandboxStatus {
    let mut options = sandbox.namespaces();
    options
        .userns_options
        .get_or_insert_with(|| UserNamespace { mode: NamespaceMode::Node.into(), ..Default::default() });
    PodSandboxStatus {
        id: sandbox.id.clone(),
        metadata: sandbox.config.metadata.clone(),
        state: sandbox_state(sandbox).into(),
        created_at: sandbox.created_at,
        network: Some(network(sandbox)),
        linux: Some(LinuxPodSandboxStatus { namespaces: Some(Namespace { options: Some(options) }) }),
        labels: sandbox.config.labels.clone(),
        annotations: sandbox.config.annotations.clone(),
        runtime_handler: sandbox.handler.clone(),
    }
}

/// A pod in the host's network has no address of its own, and the kubelet fills in the node's.
fn network(sandbox: &Sandbox) -> PodSandboxNetworkStatus {
    let mut ips = sandbox.ips.iter().cloned();
    PodSandboxNetworkStatus {
        ip: ips.next().unwrap_or_default(),
        additional_ips: ips.map(|ip| PodIp { ip }).collect(),
    }
}

/// For ListPodSandbox.
pub(crate) fn listed_sandbox(sandbox: &Sandbox) -> PodSandbox {
    PodSandbox {
        id: sandbox.id.clone(),
        metadata: sandbox.config.metadata.clone(),
        state: sandbox_state(sandbox).into(),
        created_at: sandbox.created_at,
        labels: sandbox.config.labels.clone(),
        annotations: sandbox.config.annotations.clone(),
        runtime_handler: sandbox.handler.clone(),
    }
}

/// The image as the user wrote it, when the kubelet told us.
fn image(container: &Container) -> ImageSpec {
    let asked = container.config.image.clone().unwrap_or_default();
    let name = if asked.user_specified_image.is_empty() {
        asked.image.clone()
    } else {
        asked.user_specified_image.clone()
    };
    ImageSpec { image: name, ..asked }
}

/// For ListContainers.
pub(crate) fn listed_container(container: &Container) -> Listed {
    Listed {
        id: container.id.clone(),
        pod_sandbox_id: container.sandbox.clone(),
        metadata: Some(container.metadata()),
        image: Some(image(container)),
        image_ref: container.image_ref.clone(),
        image_id: container.image_id.clone(),
        state: container_state(container).into(),
        created_at: container.created_at,
        labels: container.config.labels.clone(),
        annotations: container.config.annotations.clone(),
    }
}

/// For ContainerStatus and events.
pub(crate) fn container(container: &Container) -> ContainerStatus {
    let end = container.end.as_ref();
    let user = LinuxContainerUser {
        uid: container.user.uid.into(),
        gid: container.user.gid.into(),
        supplemental_groups: container.user.groups.iter().map(|group| i64::from(*group)).collect(),
    };
    ContainerStatus {
        id: container.id.clone(),
        metadata: Some(container.metadata()),
        state: container_state(container).into(),
        created_at: container.created_at,
        started_at: if container.phase == ContainerPhase::Starting { 0 } else { container.started_at },
        finished_at: end.map_or(0, |end| end.at),
        exit_code: end.map_or(0, |end| end.code),
        image: Some(image(container)),
        image_ref: container.image_ref.clone(),
        image_id: container.image_id.clone(),
        reason: end.map(|end| end.reason.clone()).unwrap_or_default(),
        message: end.map(|end| end.message.clone()).unwrap_or_default(),
        labels: container.config.labels.clone(),
        annotations: container.config.annotations.clone(),
        mounts: container.config.mounts.clone(),
        log_path: container.log_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        resources: Some(ContainerResources { linux: Some(container.resources.clone()), windows: None }),
        user: Some(ContainerUser { linux: Some(user) }),
        stop_signal: signal::to_cri(container.stop_signal).into(),
    }
}

/// For statistics.
pub(crate) fn attributes(container: &Container) -> ContainerAttributes {
    ContainerAttributes {
        id: container.id.clone(),
        metadata: Some(container.metadata()),
        labels: container.config.labels.clone(),
        annotations: container.config.annotations.clone(),
    }
}
