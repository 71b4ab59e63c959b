//! What the state machines need of a Pod, decoded once.

use std::time::Duration;

use api_k8s::v1;

use crate::translate::{is_sidecar, pod_name, pod_namespace, pod_uid, spec};

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// Where a container stands in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to success before the next one starts.
    Init,
    /// An init container that goes on running; the next one starts once it is started.
    Sidecar,
    /// One of `containers`.
    Main,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeSpec {
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    pub(crate) success_threshold: u32,
    pub(crate) failure_threshold: u32,
    /// Replaces the pod's grace period when this probe ends the container.
    pub(crate) grace: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerSpec {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) role: Role,
    pub(crate) policy: RestartPolicy,
    pub(crate) post_start: bool,
    pub(crate) pre_stop: bool,
    pub(crate) startup: Option<ProbeSpec>,
    pub(crate) liveness: Option<ProbeSpec>,
    pub(crate) readiness: Option<ProbeSpec>,
}

/// A port on the host that the pod takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) address: String,
    pub(crate) protocol: String,
    pub(crate) port: i32,
}

impl HostPort {
    /// Whether both cannot be taken at once: the same port, on addresses of which one covers the other.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        let any = |address: &str| matches!(address, "" | "0.0.0.0" | "::");
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || any(&self.address) || any(&other.address))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodSpec {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) grace: Duration,
    /// `activeDeadlineSeconds`.
    pub(crate) deadline: Option<Duration>,
    pub(crate) host_ports: Vec<HostPort>,
    pub(crate) os: Option<String>,
    /// Init containers and sidecars in their order, then the main ones.
    pub(crate) containers: Vec<ContainerSpec>,
}

impl PodSpec {
    /// Reads a defaulted and validated Pod.
    pub(crate) fn of(pod: &v1::Pod) -> Self {
        let spec = spec(pod);
        let policy = match spec.restart_policy.as_deref() {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        };
        let init = spec.init_containers.iter().flatten().map(|container| {
            if is_sidecar(container) {
                return of_container(container, Role::Sidecar, RestartPolicy::Always);
            }
            // A container that must succeed once is not started again after it did.
            let policy =
                if policy == RestartPolicy::Never { RestartPolicy::Never } else { RestartPolicy::OnFailure };
            of_container(container, Role::Init, policy)
        });
        let main = spec.containers.iter().map(|container| of_container(container, Role::Main, policy));
        let all = spec.init_containers.iter().flatten().filter(|one| is_sidecar(one)).chain(&spec.containers);
        let ports = all.flat_map(|container| container.ports.iter().flatten());
        let host_ports = ports.filter_map(|port| {
            Some(HostPort {
                address: port.host_ip.clone().unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
                port: port.host_port.filter(|port| *port > 0)?,
            })
        });
        Self {
            uid: pod_uid(pod).into(),
            namespace: pod_namespace(pod).into(),
            name: pod_name(pod).into(),
            grace: seconds(spec.termination_grace_period_seconds.unwrap_or(30)),
            deadline: spec.active_deadline_seconds.map(seconds),
            host_ports: host_ports.collect(),
            os: spec.os.as_ref().map(|os| os.name.clone()),
            containers: init.chain(main).collect(),
        }
    }

    /// What is known of a pod whose manifest is gone: enough to end it.
    pub(crate) fn orphan(
        uid: &str,
        namespace: &str,
        name: &str,
        grace: Option<Duration>,
        seen: &super::Seen,
    ) -> Self {
        let mut names: Vec<&str> = seen.containers.iter().map(|container| container.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let containers = names.into_iter().map(|name| ContainerSpec {
            name: name.into(),
            image: String::new(),
            role: Role::Main,
            policy: RestartPolicy::Never,
            post_start: false,
            pre_stop: false,
            startup: None,
            liveness: None,
            readiness: None,
        });
        Self {
            uid: uid.into(),
            namespace: namespace.into(),
            name: name.into(),
            grace: grace.unwrap_or(Duration::from_secs(30)),
            deadline: None,
            host_ports: Vec::new(),
            os: None,
            containers: containers.collect(),
        }
    }

    /// `NAMESPACE/NAME`, of which one pod exists at a time.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

fn of_container(container: &v1::Container, role: Role, policy: RestartPolicy) -> ContainerSpec {
    let hooks = container.lifecycle.as_ref();
    ContainerSpec {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        role,
        policy,
        post_start: hooks.is_some_and(|hooks| hooks.post_start.is_some()),
        pre_stop: hooks.is_some_and(|hooks| hooks.pre_stop.is_some()),
        startup: container.startup_probe.as_ref().map(of_probe),
        liveness: container.liveness_probe.as_ref().map(of_probe),
        readiness: container.readiness_probe.as_ref().map(of_probe),
    }
}

fn of_probe(probe: &v1::Probe) -> ProbeSpec {
    let count = |value: Option<i32>, default: u32| {
        value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
    };
    ProbeSpec {
        initial_delay: seconds(probe.initial_delay_seconds.unwrap_or(0).into()),
        period: Duration::from_secs(count(probe.period_seconds, 10).into()),
        success_threshold: count(probe.success_threshold, 1),
        failure_threshold: count(probe.failure_threshold, 3),
        grace: probe.termination_grace_period_seconds.map(seconds),
    }
}

fn seconds(value: i64) -> Duration {
    Duration::from_secs(u64::try_from(value).unwrap_or(0))
}
