//! Sums of resources, and the numbers that cgroups are given for them.

use std::collections::{BTreeMap, BTreeSet};

use api_cri::v1::{HugepageLimit, LinuxContainerResources};
use api_k8s::v1::{Container, Pod, ResourceRequirements};
use api_objects::Quantity;

use super::{Node, all_containers, init_containers, is_sidecar, oom_score_adj, spec};

type Map = BTreeMap<String, api_k8s::Quantity>;

/// The scheduling period of CPU limits, in microseconds.
pub(crate) const CPU_PERIOD: i64 = 100_000;
/// The kernel's bounds on `cpu.shares`.
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
/// The kernel's least CPU quota, in microseconds.
const MIN_QUOTA: i64 = 1000;

/// Amounts of what cgroups limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// CPU in cores.
    pub cpu: Quantity,
    /// Memory in bytes.
    pub memory: Quantity,
    /// Some container asked for CPU, be it for none.
    pub has_cpu: bool,
}

impl Amounts {
    fn of(map: Option<&Map>) -> Self {
        let cpu = amount(map, "cpu");
        Self {
            cpu: cpu.unwrap_or(Quantity::ZERO),
            memory: amount(map, "memory").unwrap_or(Quantity::ZERO),
            has_cpu: cpu.is_some(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            memory: self.memory + other.memory,
            has_cpu: self.has_cpu || other.has_cpu,
        }
    }
}

/// One resource of a list; validation has made sure that it parses.
pub(crate) fn amount(map: Option<&Map>, name: &str) -> Option<Quantity> {
    map?.get(name)?.0.parse().ok()
}

/// The resources of the pod as a whole, if it names any.
pub(crate) fn pod_level(pod: &Pod) -> Option<&ResourceRequirements> {
    let resources = spec(pod).resources.as_ref()?;
    let named = |map: &Option<Map>| map.as_ref().is_some_and(|map| !map.is_empty());
    (named(&resources.limits) || named(&resources.requests)).then_some(resources)
}

/// What the pod asks for at most at one time, with its overhead.
pub fn pod_requests(pod: &Pod) -> Amounts {
    sum(pod, |resources| resources.requests.as_ref()).plus(Amounts::of(spec(pod).overhead.as_ref()))
}

/// What the pod may use at most, with its overhead where there is a limit at all.
pub fn pod_limits(pod: &Pod) -> Amounts {
    let mut limits = sum(pod, |resources| resources.limits.as_ref());
    let overhead = Amounts::of(spec(pod).overhead.as_ref());
    if !limits.cpu.is_zero() {
        limits.cpu = limits.cpu + overhead.cpu;
    }
    if !limits.memory.is_zero() {
        limits.memory = limits.memory + overhead.memory;
    }
    limits
}

fn sum(pod: &Pod, pick: impl Fn(&ResourceRequirements) -> Option<&Map>) -> Amounts {
    let cpu = total(pod, &pick, "cpu");
    let memory = total(pod, &pick, "memory").unwrap_or(Quantity::ZERO);
    Amounts { cpu: cpu.unwrap_or(Quantity::ZERO), memory, has_cpu: cpu.is_some() }
}

/// The most of one resource at one time, unless the pod as a whole names it; `None` if nobody does.
///
/// Init containers run one by one beside the sidecars started before them; then all sidecars and main ones.
fn total(pod: &Pod, pick: impl Fn(&ResourceRequirements) -> Option<&Map>, name: &str) -> Option<Quantity> {
    if let Some(amount) = pod_level(pod).and_then(|resources| amount(pick(resources), name)) {
        return Some(amount);
    }
    let of = |container: &Container| amount(container.resources.as_ref().and_then(&pick), name);
    let plus = |one: Option<Quantity>, other: Option<Quantity>| match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    };
    let mut sidecars = None;
    let mut starting = None;
    for container in init_containers(pod) {
        let own = of(container);
        if is_sidecar(container) {
            sidecars = plus(sidecars, own);
            starting = starting.max(sidecars);
        } else {
            starting = starting.max(plus(sidecars, own));
        }
    }
    spec(pod).containers.iter().map(of).fold(sidecars, plus).max(starting)
}

/// What the status shows of the pod as a whole: the totals of all that it or its containers name.
pub(crate) fn status_resources(pod: &Pod) -> ResourceRequirements {
    let totals = |pick: fn(&ResourceRequirements) -> Option<&Map>| -> Option<Map> {
        let lists = all_containers(pod).filter_map(|one| one.resources.as_ref()).chain(pod_level(pod));
        let names: BTreeSet<&String> = lists.filter_map(pick).flat_map(Map::keys).collect();
        let total = |name: &String| Some(api_k8s::Quantity(total(pod, pick, name)?.to_string()));
        let map: Map = names.into_iter().filter_map(|name| Some((name.clone(), total(name)?))).collect();
        (!map.is_empty()).then_some(map)
    };
    ResourceRequirements {
        requests: totals(|resources| resources.requests.as_ref()),
        limits: totals(|resources| resources.limits.as_ref()),
        ..ResourceRequirements::default()
    }
}

/// Whether every container has a limit of this resource, or the pod as a whole.
fn all_limited(pod: &Pod, name: &str) -> bool {
    let limited = |resources: &ResourceRequirements| {
        amount(resources.limits.as_ref(), name).is_some_and(|limit| !limit.is_zero())
    };
    match pod_level(pod) {
        Some(resources) => limited(resources),
        None => all_containers(pod).all(|container| container.resources.as_ref().is_some_and(limited)),
    }
}

/// `cpu.shares` for an amount of CPU.
pub(crate) fn shares(cpu: Quantity) -> i64 {
    (cpu.millis().saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// The CFS quota in microseconds per [`CPU_PERIOD`]; 0 is none.
pub(crate) fn quota(cpu: Quantity) -> i64 {
    if cpu.is_zero() { 0 } else { (cpu.millis().saturating_mul(CPU_PERIOD) / 1000).max(MIN_QUOTA) }
}

fn linux(request: Option<Quantity>, cpu_limit: Quantity, memory_limit: Quantity) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_period: CPU_PERIOD,
        cpu_quota: quota(cpu_limit),
        // A limit without a request asks for as much.
        cpu_shares: shares(request.unwrap_or(cpu_limit)),
        memory_limit_in_bytes: memory_limit.units(),
        ..LinuxContainerResources::default()
    }
}

/// The sandbox's hint of what its containers will use together, and of the overhead beside them.
pub(crate) fn sandbox_resources(pod: &Pod) -> (LinuxContainerResources, LinuxContainerResources) {
    let requests = sum(pod, |resources| resources.requests.as_ref());
    let limits = sum(pod, |resources| resources.limits.as_ref());
    let resources = linux(requests.has_cpu.then_some(requests.cpu), limits.cpu, limits.memory);
    let overhead = match &spec(pod).overhead {
        None => LinuxContainerResources::default(),
        map => {
            let overhead = Amounts::of(map.as_ref());
            linux(Some(overhead.cpu), overhead.cpu, overhead.memory)
        }
    };
    (resources, overhead)
}

/// A container's resources; what it leaves open is limited as its pod is.
pub(crate) fn container_resources(pod: &Pod, container: &Container, node: &Node) -> LinuxContainerResources {
    let own = container.resources.as_ref();
    let limits = own.and_then(|resources| resources.limits.as_ref());
    let limit = |name| {
        amount(limits, name)
            .filter(|limit| !limit.is_zero())
            .or_else(|| amount(pod_level(pod)?.limits.as_ref(), name))
            .unwrap_or(Quantity::ZERO)
    };
    let request = amount(own.and_then(|resources| resources.requests.as_ref()), "cpu");
    let mut resources = linux(request, limit("cpu"), limit("memory"));
    resources.oom_score_adj = oom_score_adj(pod, container, node);
    if node.swap_accounting {
        resources.memory_swap_limit_in_bytes = resources.memory_limit_in_bytes;
    }
    if node.cgroup_v2 {
        // A container is killed as a whole when it runs out of memory.
        resources.unified.insert("memory.oom.group".to_owned(), "1".to_owned());
    }
    resources.hugepage_limits = node
        .hugepage_sizes
        .iter()
        .map(|size| HugepageLimit {
            page_size: size.clone(),
            limit: limits.map_or(0, |limits| hugepage_limit(limits, size)),
        })
        .collect();
    resources
}

/// `hugepages-2Mi` for the page size that the CRI calls `2MB`.
fn hugepage_limit(limits: &Map, size: &str) -> u64 {
    let name = format!("hugepages-{}", size.replace("KB", "Ki").replace("MB", "Mi").replace("GB", "Gi"));
    amount(Some(limits), &name).map_or(0, |limit| u64::try_from(limit.units()).unwrap_or(0))
}

/// What the pod's own cgroup is limited to. 0 and `None` mean that there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodCgroup {
    /// `cpu.shares`.
    pub cpu_shares: i64,
    /// CFS quota in microseconds per [`CPU_PERIOD`].
    pub cpu_quota: i64,
    /// Bytes.
    pub memory: i64,
    /// `pids.max`.
    pub pids: Option<i64>,
}

/// The limits of a pod's cgroup. Only what limits every container limits the pod.
pub fn pod_cgroup(pod: &Pod, node: &Node) -> PodCgroup {
    let limits = pod_limits(pod);
    let requests = pod_requests(pod);
    let cpu = if requests.has_cpu { requests.cpu } else { limits.cpu };
    PodCgroup {
        cpu_shares: shares(cpu),
        cpu_quota: if all_limited(pod, "cpu") { quota(limits.cpu) } else { 0 },
        memory: if all_limited(pod, "memory") { limits.memory.units() } else { 0 },
        pids: node.pod_pids_limit,
    }
}
