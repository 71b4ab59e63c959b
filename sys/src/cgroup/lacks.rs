//! Which limits a machine has no file for. Without this they would be skipped in silence on version 1, where a
//! controller that is not mounted has no folder.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxNetwork, LinuxResources};

/// The first field that version 1 cannot hold with the controllers that it `has`.
pub(super) fn version_1(resources: &LinuxResources, has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let cpu = resources.cpu().as_ref();
    let network = resources.network().as_ref();
    let wants = [
        ("linux.resources.memory", "memory", resources.memory().as_ref().is_some_and(memory)),
        ("linux.resources.cpu", "cpu", cpu.is_some_and(time)),
        ("linux.resources.cpu.cpus", "cpuset", cpu.is_some_and(|cpu| given(cpu.cpus()))),
        ("linux.resources.cpu.mems", "cpuset", cpu.is_some_and(|cpu| given(cpu.mems()))),
        ("linux.resources.pids", "pids", resources.pids().is_some_and(|pids| pids.limit() >= 0)),
        ("linux.resources.blockIO", "blkio", resources.block_io().as_ref().is_some_and(block)),
        ("linux.resources.hugepageLimits", "hugetlb", some(resources.hugepage_limits())),
        ("linux.resources.network.classID", "net_cls", network.is_some_and(|net| net.class_id().is_some())),
        ("linux.resources.network.priorities", "net_prio", network.is_some_and(|net| some(net.priorities()))),
        ("linux.resources.rdma", "rdma", resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())),
        // No controller has this name: the files are version 2's.
        ("linux.resources.unified", "", resources.unified().as_ref().is_some_and(|files| !files.is_empty())),
    ];
    wants.into_iter().find(|(_, controller, wanted)| *wanted && !has(controller)).map(|(field, ..)| field)
}

/// The first field that version 2 has no file for. The others fail where the file is missing.
pub(super) fn version_2(resources: &LinuxResources) -> Option<&'static str> {
    let memory = resources.memory().as_ref();
    let block = resources.block_io().as_ref();
    let leaf = |block: &LinuxBlockIo| {
        block.leaf_weight().is_some_and(|weight| weight != 0)
            || block
                .weight_device()
                .iter()
                .flatten()
                .any(|device| device.leaf_weight().is_some_and(|weight| weight != 0))
    };
    let network = |net: &LinuxNetwork| net.class_id().is_some() || some(net.priorities());
    let wants = [
        ("linux.resources.memory.swappiness", memory.is_some_and(swappiness)),
        (
            "linux.resources.memory.disableOOMKiller",
            memory.is_some_and(|memory| memory.disable_oom_killer() == Some(true)),
        ),
        ("linux.resources.blockIO.leafWeight", block.is_some_and(leaf)),
        ("linux.resources.network", resources.network().as_ref().is_some_and(network)),
    ];
    wants.into_iter().find(|(_, wanted)| *wanted).map(|(field, _)| field)
}

/// Larger values are how some callers say "unset".
fn swappiness(memory: &LinuxMemory) -> bool {
    memory.swappiness().is_some_and(|value| value <= 100)
}

fn memory(memory: &LinuxMemory) -> bool {
    let set = |value: Option<i64>| value.is_some_and(|value| value > 0);
    set(memory.limit())
        || set(memory.swap())
        || set(memory.reservation())
        || swappiness(memory)
        || memory.disable_oom_killer() == Some(true)
}

fn time(cpu: &LinuxCpu) -> bool {
    let set = |value: Option<u64>| value.is_some_and(|value| value != 0);
    let signed = |value: Option<i64>| value.is_some_and(|value| value > 0);
    set(cpu.shares())
        || signed(cpu.quota())
        || set(cpu.period())
        || set(cpu.burst())
        || signed(cpu.realtime_runtime())
        || set(cpu.realtime_period())
        || signed(cpu.idle())
}

fn block(block: &LinuxBlockIo) -> bool {
    block.weight().is_some_and(|weight| weight != 0)
        || block.leaf_weight().is_some_and(|weight| weight != 0)
        || some(block.weight_device())
        || some(block.throttle_read_bps_device())
        || some(block.throttle_write_bps_device())
        || some(block.throttle_read_iops_device())
        || some(block.throttle_write_iops_device())
}

fn some<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn given(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(json: serde_json::Value) -> LinuxResources {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_limit_without_its_controller_is_named_and_a_default_is_not() {
        let none = |_: &str| false;
        let limit = serde_json::json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]});
        assert_eq!(version_1(&resources(limit.clone()), none), Some("linux.resources.hugepageLimits"));
        assert_eq!(version_1(&resources(limit), |name| name == "hugetlb"), None);
        let defaults = serde_json::json!({"memory": {"limit": -1, "swappiness": 18_446_744_073_709_551_615_u64},
            "cpu": {"cpus": ""}, "pids": {"limit": -1}, "blockIO": {"weight": 0, "weightDevice": []}, "unified": {}});
        assert_eq!(version_1(&resources(defaults.clone()), none), None);
        assert_eq!(version_2(&resources(defaults)), None);
        assert_eq!(
            version_2(&resources(serde_json::json!({"network": {"classID": 1}}))),
            Some("linux.resources.network")
        );
    }
}
