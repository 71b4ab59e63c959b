//! From a Pod to the configurations that go over the CRI. Pure: the node's facts are arguments.
//!
//! The pods that come in are defaulted and validated (`source` does that), so what is missing here has its
//! meaning of "not set".

mod container;
mod dns;
mod env;
mod hash;
mod hostname;
mod mounts;
mod node;
mod qos;
mod resources;
mod sandbox;
mod security;
mod sysctls;

pub use container::{Image, Start, container_config};
pub use dns::{ResolvConf, dns_config};
pub(crate) use env::lookup;
pub use env::{environment, field_value, resource_value};
pub use hash::container_hash;
pub use hostname::{host_name, host_names};
pub use mounts::{HostVolume, VolumeKind, host_volume};
pub use node::Node;
pub use qos::{QosClass, oom_score_adj, qos_class};
pub use resources::{Amounts, PodCgroup, pod_cgroup, pod_limits, pod_requests};
pub(crate) use resources::{shares, status_resources};
pub use sandbox::sandbox_config;
pub use security::effective_run_as_non_root;
pub use sysctls::forbidden_sysctl;

use api_k8s::v1::{Container, Pod, PodSpec};

/// Names that the kubelet puts into labels and annotations, and finds its containers again by.
pub mod labels {
    /// The pod's name.
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    /// The pod's namespace.
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    /// The pod's UID.
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    /// The container's name.
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    /// Annotation: [`container_hash`](super::container_hash) in hexadecimal.
    pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
    /// Annotation: how often the container was started before.
    pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
    /// Annotation: the container's ports, as JSON.
    pub const CONTAINER_PORTS: &str = "io.kubernetes.container.ports";
    /// Annotation: the container's `preStop` handler, as JSON.
    pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
    /// Annotation: where the container sees its termination message's file.
    pub const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
    /// Annotation: `File` or `FallbackToLogsOnError`.
    pub const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
    /// Annotation: the pod's grace period in seconds.
    pub const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
    /// Annotation of the pod: the UID that its manifest gave.
    pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
    /// Annotation of the pod: `file`.
    pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
    /// Annotation of the pod: when its manifest was read.
    pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";
}

/// A pod that cannot be translated; the container waits with `CreateContainerConfigError` and is tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TranslateError(pub(crate) String);

pub(crate) fn pod_uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub(crate) fn pod_name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn pod_namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

/// A pod's spec; an empty one when it has none, which validation refuses before.
pub(crate) fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

pub(crate) fn init_containers(pod: &Pod) -> &[Container] {
    spec(pod).init_containers.as_deref().unwrap_or_default()
}

pub(crate) fn all_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    init_containers(pod).iter().chain(&spec(pod).containers)
}

/// An init container that goes on running beside the main ones.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

#[cfg(test)]
pub(crate) mod tests;
