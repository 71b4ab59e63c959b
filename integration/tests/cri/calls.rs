//! Calls and fields beside the plain life of a pod.

use std::time::Duration;

use api_cri::v1::{
    CheckpointContainerRequest, ContainerStats, ContainerStatsRequest, Device, LinuxContainerResources,
    ListContainerStatsRequest, ListMetricDescriptorsRequest, ListPodSandboxMetricsRequest,
    ListPodSandboxStatsRequest, NamespaceMode, NamespaceOption, PodSandboxStatsRequest, PortForwardRequest,
    ReopenContainerLogRequest, StreamContainerStatsRequest, StreamContainersRequest,
    StreamPodSandboxMetricsRequest, StreamPodSandboxStatsRequest, StreamPodSandboxesRequest,
    UpdateContainerResourcesRequest, UpdatePodSandboxResourcesRequest,
};
use integration::leftovers;
use integration::node::Node;
use integration::process::wait_for;
use integration::runner::{TestError, TestResult, check, fail};
use tonic::Code;

use crate::life::remove;

const DEADLINE: Duration = Duration::from_secs(20);
const MIB: i64 = 1 << 20;

/// A pod with one container that runs.
fn started(node: &Node, script: &str) -> Result<(String, String), TestError> {
    let sandbox = node.run("calls")?;
    let container = node.create("calls", &sandbox, "c", &["sh", "-c", script])?;
    node.start_container(&container)?;
    Ok((sandbox, container))
}

pub(crate) fn a_device_has_the_place_and_the_permissions_asked_for() -> TestResult {
    let node = Node::ready()?;
    let sandbox = node.run("calls")?;
    let mut config = node.container("c", &["sleep", "1000"]);
    config.devices = vec![Device {
        container_path: "/dev/mine".into(),
        host_path: "/dev/kmsg".into(),
        permissions: "w".into(),
    }];
    let container = node.create_from("calls", &sandbox, config)?;
    node.start_container(&container)?;
    let (_, listed) = node.exec(&container, &["stat", "-c", "%F %t %T", "/dev/mine"])?;
    check(listed == "character special file 1 b\n", || listed.clone())?;
    // Only writing was allowed.
    let (code, text) = node.exec(&container, &["sh", "-c", ": >/dev/mine && : </dev/mine"])?;
    check(code != 0 && text.contains("Operation not permitted"), || format!("{code}: {text}"))?;
    let (code, text) = node.exec(&container, &["sh", "-c", ": >/dev/mine"])?;
    check(code == 0, || format!("{code}: {text}"))?;
    remove(&node, &sandbox)
}

pub(crate) fn a_container_joins_the_processes_of_another() -> TestResult {
    let node = Node::ready()?;
    let (sandbox, target) = started(&node, "exec sleep 12345")?;
    let mut config = node.container("debugger", &["sleep", "1000"]);
    if let Some(security) = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()) {
        security.namespace_options = Some(NamespaceOption {
            pid: NamespaceMode::Target.into(),
            target_id: target.clone(),
            ..Default::default()
        });
    }
    let debugger = node.create_from("calls", &sandbox, config.clone())?;
    node.start_container(&debugger)?;
    let (_, command) = node.exec(&debugger, &["cat", "/proc/1/cmdline"])?;
    check(command == "sleep\u{0}12345\u{0}", || format!("its first process: {command:?}"))?;

    // A target that does not run is named.
    let mut cri = node.client()?;
    let stop = api_cri::v1::StopContainerRequest { container_id: target.clone(), timeout: 0 };
    node.runtime.block_on(cri.runtime.stop_container(stop))?;
    let mut late = config;
    late.metadata = Some(api_cri::v1::ContainerMetadata { name: "late".into(), attempt: 0 });
    match node.create_from("calls", &sandbox, late) {
        Err(TestError::Failed(text)) if text.contains("target_id") => {}
        other => return fail(format!("a target that has ended: {other:?}")),
    }
    remove(&node, &sandbox)
}

pub(crate) fn a_masked_program_cannot_be_run() -> TestResult {
    let node = Node::ready()?;
    let sandbox = node.run("calls")?;
    let mut config = node.container("c", &["sleep", "1000"]);
    if let Some(security) = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()) {
        security.masked_paths = vec!["/bin/ls".into()];
    }
    let container = node.create_from("calls", &sandbox, config)?;
    node.start_container(&container)?;
    // By its path: the shell of Debian's busybox has an `ls` of its own.
    let (code, text) = node.exec(&container, &["sh", "-c", "/bin/ls"])?;
    check(code == 126 && text.contains("Permission denied"), || format!("{code}: {text}"))?;
    remove(&node, &sandbox)
}

/// The content of a file of a container's cgroup, by its name in either version.
pub(crate) fn cgroup_file(node: &Node, container: &str, names: &[&str]) -> Result<String, TestError> {
    let groups = leftovers::cgroups(&node.cgroup);
    let groups = groups.iter().flat_map(|group| leftovers::below(group));
    for group in groups.filter(|group| group.file_name().is_some_and(|name| name == container)) {
        for name in names {
            if let Ok(text) = std::fs::read_to_string(group.join(name)) {
                return Ok(text.trim().to_owned());
            }
        }
    }
    fail(format!("no cgroup of {container} has any of {names:?}"))
}

pub(crate) fn limits_change_while_it_runs() -> TestResult {
    let node = Node::ready()?;
    let sandbox = node.run("calls")?;
    let mut config = node.container("c", &["sleep", "1000"]);
    let resources = LinuxContainerResources {
        memory_limit_in_bytes: 64 * MIB,
        cpu_period: 100_000,
        cpu_quota: 50_000,
        ..Default::default()
    };
    config.linux.get_or_insert_default().resources = Some(resources);
    let container = node.create_from("calls", &sandbox, config)?;
    node.start_container(&container)?;
    let limit = || cgroup_file(&node, &container, &["memory.limit_in_bytes", "memory.max"]);
    let quota = || cgroup_file(&node, &container, &["cpu.cfs_quota_us", "cpu.max"]);
    let (old, asked) = (limit()?, (64 * MIB).to_string());
    check(old == asked, || format!("the limit is {old}"))?;

    let mut cri = node.client()?;
    let linux =
        LinuxContainerResources { memory_limit_in_bytes: 96 * MIB, cpu_quota: 70_000, ..Default::default() };
    let request = UpdateContainerResourcesRequest {
        container_id: container.clone(),
        linux: Some(linux),
        ..Default::default()
    };
    node.runtime
        .block_on(cri.runtime.update_container_resources(request))
        .map_err(|status| node.told(&status))?;
    let (memory, cpu) = (limit()?, quota()?);
    check(memory == (96 * MIB).to_string() && cpu.starts_with("70000"), || {
        format!("memory {memory}, quota {cpu}")
    })?;
    // The status has the new values, and the old ones of what was left out.
    let told = node.status(&container)?.resources.and_then(|all| all.linux).unwrap_or_default();
    check(
        (told.memory_limit_in_bytes, told.cpu_quota, told.cpu_period) == (96 * MIB, 70_000, 100_000),
        || format!("{told:?}"),
    )?;
    remove(&node, &sandbox)
}

pub(crate) fn a_renamed_log_gets_no_more_lines_once_reopened() -> TestResult {
    let node = Node::ready()?;
    let (sandbox, container) = started(&node, "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.02; done")?;
    let log = std::path::PathBuf::from(node.status(&container)?.log_path);
    let renamed = log.with_extension("1");
    let lines = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    wait_for(DEADLINE, "the first lines", || Ok((lines(&log).len() > 3).then_some(())))?;
    std::fs::rename(&log, &renamed)?;
    let mut cri = node.client()?;
    let request = ReopenContainerLogRequest { container_id: container.clone() };
    node.runtime.block_on(cri.runtime.reopen_container_log(request)).map_err(|status| node.told(&status))?;
    let old = lines(&renamed);
    wait_for(DEADLINE, "lines in the new log", || Ok((lines(&log).len() > 3).then_some(())))?;
    check(lines(&renamed) == old, || "the renamed log grew after it was reopened".into())?;
    // No line is lost or doubled at the change.
    let all: Vec<u64> = old.into_iter().chain(lines(&log)).collect();
    check(all.iter().copied().eq(0..all.len() as u64), || format!("{all:?}"))?;
    remove(&node, &sandbox)
}

pub(crate) fn statistics_count_what_was_used() -> TestResult {
    let node = Node::ready()?;
    // 8 MiB in memory, 3 MiB on disk, and some time on the CPU.
    let script = "head -c 8388608 /dev/zero >/dev/shm/used; head -c 3145728 /dev/zero >/used; i=0; \
        while [ $i -lt 100000 ]; do i=$((i+1)); done; touch /done; exec sleep 1000";
    let (sandbox, container) = started(&node, script)?;
    wait_for(DEADLINE, "the work's end", || {
        Ok((node.exec(&container, &["test", "-e", "/done"])?.0 == 0).then_some(()))
    })?;
    let mut cri = node.client()?;
    let stats = |cri: &mut integration::cri::Cri| -> Result<ContainerStats, TestError> {
        let request = ContainerStatsRequest { container_id: container.clone() };
        let answer = node.runtime.block_on(cri.runtime.container_stats(request))?.into_inner();
        Ok(answer.stats.unwrap_or_default())
    };
    let one = stats(&mut cri)?;
    let value = |value: Option<api_cri::v1::UInt64Value>| value.map_or(0, |value| value.value);
    let disk = one.writable_layer.clone().unwrap_or_default();
    check((3 << 20..4 << 20).contains(&value(disk.used_bytes)), || format!("{disk:?}"))?;
    check(value(disk.inodes_used) >= 2, || format!("{disk:?}"))?;
    let memory = one.memory.unwrap_or_default();
    check((8 << 20..64 << 20).contains(&value(memory.working_set_bytes)), || format!("{memory:?}"))?;
    let cpu = one.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |value| value.value);
    check(cpu > 5_000_000, || format!("{cpu} ns on the CPU"))?;
    // Time only adds up.
    node.exec(&container, &["sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"])?;
    let later =
        stats(&mut cri)?.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |value| value.value);
    check(later > cpu, || format!("{later} ns after {cpu}"))?;
    let list = ListContainerStatsRequest::default();
    let all = node.runtime.block_on(cri.runtime.list_container_stats(list))?.into_inner().stats;
    let ids: Vec<_> = all.iter().filter_map(|stats| Some(&stats.attributes.as_ref()?.id)).collect();
    check(ids == [&container], || format!("{ids:?}"))?;
    remove(&node, &sandbox)
}

/// All of them: what the protocol has and this daemon does not.
pub(crate) fn a_call_of_later_is_refused_by_name() -> TestResult {
    let mut node = Node::new()?;
    node.start(&[])?;
    let runtime = node.client()?.runtime;
    macro_rules! refusals {
        ($($call:literal $method:ident $request:ident,)*) => {
            [$((
                $call,
                node.runtime.block_on(runtime.clone().$method($request::default())).err(),
            )),*]
        };
    }
    for (call, refusal) in refusals![
        "PodSandboxStats" pod_sandbox_stats PodSandboxStatsRequest,
        "ListPodSandboxStats" list_pod_sandbox_stats ListPodSandboxStatsRequest,
        "ListPodSandboxMetrics" list_pod_sandbox_metrics ListPodSandboxMetricsRequest,
        "ListMetricDescriptors" list_metric_descriptors ListMetricDescriptorsRequest,
        "UpdatePodSandboxResources" update_pod_sandbox_resources UpdatePodSandboxResourcesRequest,
        "CheckpointContainer" checkpoint_container CheckpointContainerRequest,
        "PortForward" port_forward PortForwardRequest,
        "StreamPodSandboxes" stream_pod_sandboxes StreamPodSandboxesRequest,
        "StreamContainers" stream_containers StreamContainersRequest,
        "StreamContainerStats" stream_container_stats StreamContainerStatsRequest,
        "StreamPodSandboxStats" stream_pod_sandbox_stats StreamPodSandboxStatsRequest,
        "StreamPodSandboxMetrics" stream_pod_sandbox_metrics StreamPodSandboxMetricsRequest,
    ] {
        match refusal {
            Some(status) if status.code() == Code::Unimplemented && status.message().contains(call) => {}
            other => return fail(format!("{call}: {other:?}")),
        }
    }
    Ok(())
}
