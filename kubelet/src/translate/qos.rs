//! The quality-of-service class of a pod, and what the kernel's OOM killer is told of it.

use std::fmt;

use api_k8s::v1::{Container, Pod, ResourceRequirements};
use api_objects::Quantity;

use super::resources::{amount, pod_level, pod_requests};
use super::{Node, all_containers, init_containers, is_sidecar, spec};

/// How a pod ranks when resources are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QosClass {
    /// Every container has equal requests and limits of CPU and memory.
    Guaranteed,
    /// Something is requested or limited.
    Burstable,
    /// Nothing is.
    BestEffort,
}

impl fmt::Display for QosClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        })
    }
}

const COUNTED: [&str; 2] = ["cpu", "memory"];

/// A pod's class. Resources of the pod as a whole, where it has any, decide alone.
pub fn qos_class(pod: &Pod) -> QosClass {
    let of_pod = pod_level(pod);
    let all: Vec<Option<&ResourceRequirements>> = match of_pod {
        Some(resources) => vec![Some(resources)],
        None => all_containers(pod).map(|container| container.resources.as_ref()).collect(),
    };
    let set = |resources: &Option<&ResourceRequirements>, limit: bool, name: &str| {
        let map = resources
            .and_then(|resources| if limit { &resources.limits } else { &resources.requests }.as_ref());
        amount(map, name).filter(|quantity| !quantity.is_zero())
    };
    let anything = all.iter().any(|resources| {
        COUNTED.iter().any(|name| set(resources, true, name).or(set(resources, false, name)).is_some())
    });
    if !anything {
        return QosClass::BestEffort;
    }
    let fixed = all.iter().all(|resources| {
        COUNTED.iter().all(|name| {
            let limit = set(resources, true, name);
            limit.is_some() && limit == set(resources, false, name)
        })
    });
    if fixed { QosClass::Guaranteed } else { QosClass::Burstable }
}

/// The priority of pods that the node cannot do without.
const CRITICAL_PRIORITY: i32 = 2_000_001_000;

/// `oom_score_adj` of a container's processes.
///
/// A burstable container is the likelier to be killed the less of the node's memory it asked for. A sidecar is
/// never likelier than the main containers that need it.
pub fn oom_score_adj(pod: &Pod, container: &Container, node: &Node) -> i64 {
    let critical = spec(pod).priority.is_some_and(|priority| priority >= CRITICAL_PRIORITY);
    match qos_class(pod) {
        _ if critical => -997,
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let own = burstable(pod, container, node);
            if !is_sidecar(container) {
                return own;
            }
            spec(pod).containers.iter().map(|main| burstable(pod, main, node)).fold(own, i64::min)
        }
    }
}

fn burstable(pod: &Pod, container: &Container, node: &Node) -> i64 {
    let mut requested = memory_request(container);
    if pod_level(pod).is_some() {
        // What the pod asks for beyond its containers is shared among them.
        let containers: Vec<_> = spec(pod)
            .containers
            .iter()
            .chain(init_containers(pod).iter().filter(|init| is_sidecar(init)))
            .collect();
        let asked: i64 = containers.iter().map(|container| memory_request(container)).sum();
        let spare = pod_requests(pod).memory.units().saturating_sub(asked).max(0);
        requested += spare / i64::try_from(containers.len().max(1)).unwrap_or(1);
    }
    let capacity = i128::from(node.memory_bytes.max(1));
    let share = i64::try_from(1000 * i128::from(requested) / capacity).unwrap_or(1000);
    (1000 - share).clamp(3, 999)
}

fn memory_request(container: &Container) -> i64 {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    amount(requests, "memory").unwrap_or(Quantity::ZERO).units()
}
