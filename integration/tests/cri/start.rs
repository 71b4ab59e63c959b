//! Containers between CreateContainer and StartContainer, and while they are being started.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use api_cri::v1::{
    ContainerState, LinuxContainerResources, Mount, RemoveContainerRequest, StartContainerRequest,
    StopContainerRequest, UpdateContainerResourcesRequest,
};
use integration::leftovers::{self, compare};
use integration::node::{Node, machine};
use integration::runner::{TestError, TestResult, check, fail};
use tonic::Code;

use crate::calls::cgroup_file;
use crate::life::{first_pod, remove};

const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn what_was_not_started_has_no_process_and_takes_limits() -> TestResult {
    let mut node = Node::ready()?;
    let sandbox = node.run("limits")?;
    let mut config = node.container("c", &["sleep", "1000"]);
    let resources = LinuxContainerResources { cpu_quota: 50_000, cpu_period: 100_000, ..Default::default() };
    config.linux.get_or_insert_default().resources = Some(resources);
    let container = node.create_from("limits", &sandbox, config)?;
    let groups = || leftovers::cgroups(&node.cgroup).into_iter().flat_map(|group| leftovers::below(&group));
    check(!groups().any(|group| group.ends_with(&container)), || "it has a cgroup before its start".into())?;
    let request = UpdateContainerResourcesRequest {
        container_id: container.clone(),
        linux: Some(LinuxContainerResources { cpu_quota: 70_000, ..Default::default() }),
        ..Default::default()
    };
    let mut cri = node.client()?;
    node.runtime
        .block_on(cri.runtime.update_container_resources(request))
        .map_err(|status| node.told(&status))?;
    // Until the start they stand in the record alone.
    node.kill()?;
    node.start(&[])?;
    node.start_container(&container)?;
    let quota = cgroup_file(&node, &container, &["cpu.cfs_quota_us", "cpu.max"])?;
    let period = cgroup_file(&node, &container, &["cpu.cfs_period_us", "cpu.max"])?;
    check(quota.starts_with("70000") && period.ends_with("100000"), || format!("{quota}, {period}"))?;
    remove(&node, &sandbox)
}

pub(crate) fn what_was_stopped_before_its_start_cannot_be_started() -> TestResult {
    let node = Node::ready()?;
    first_pod(&node)?;
    let before = machine(&node)?;
    let sandbox = node.run("stopped")?;
    let container = node.create("stopped", &sandbox, "c", &["sleep", "1000"])?;
    let mut cri = node.client()?;
    let start = Instant::now();
    let request = StopContainerRequest { container_id: container.clone(), timeout: 60 };
    node.runtime.block_on(cri.runtime.stop_container(request)).map_err(|status| node.told(&status))?;
    check(start.elapsed() < Duration::from_secs(1), || "waited for a process that is not there".into())?;
    let status = node.status(&container)?;
    check((status.state(), status.exit_code) == (ContainerState::ContainerExited, 137), || {
        format!("{status:?}")
    })?;
    let request = StartContainerRequest { container_id: container.clone() };
    match node.runtime.block_on(cri.runtime.start_container(request)) {
        Err(status) if status.code() == Code::FailedPrecondition => {}
        other => return fail(format!("a container that was stopped: {other:?}")),
    }
    let request = RemoveContainerRequest { container_id: container };
    node.runtime.block_on(cri.runtime.remove_container(request)).map_err(|status| node.told(&status))?;
    // One that is neither started nor stopped goes with its pod.
    node.create("stopped", &sandbox, "other", &["sleep", "1000"])?;
    remove(&node, &sandbox)?;
    compare(&before, &machine(&node)?)
}

pub(crate) fn a_killed_daemon_keeps_what_was_not_started() -> TestResult {
    let mut node = Node::ready()?;
    let sandbox = node.run("kept")?;
    let untouched = node.create("kept", &sandbox, "untouched", &["sleep", "1000"])?;
    let begun = node.create("kept", &sandbox, "begun", &["sleep", "1000"])?;
    node.kill()?;
    // Dies between the making of the init and its start.
    node.start(&[("ORLOP_CRASH_AT", "StartContainer:1")])?;
    check(node.start_container(&begun).is_err(), || "the daemon lives on".into())?;
    node.kill()?;
    node.start(&[])?;
    for container in [&untouched, &begun] {
        let status = node.status(container)?;
        check(status.state() == ContainerState::ContainerCreated, || format!("{status:?}"))?;
        node.start_container(container)?;
        let (code, text) = node.exec(container, &["echo", "in"])?;
        check((code, text.as_str()) == (0, "in\n"), || format!("{code}: {text}"))?;
    }
    remove(&node, &sandbox)
}

pub(crate) fn what_was_started_unrecorded_runs_and_can_be_stopped() -> TestResult {
    let mut node = Node::ready()?;
    let sandbox = node.run("unrecorded")?;
    let container = node.create("unrecorded", &sandbox, "c", &["sleep", "1000"])?;
    node.kill()?;
    // Dies when the program runs and its record still says that it does not.
    node.start(&[("ORLOP_CRASH_AT", "StartContainer:2")])?;
    check(node.start_container(&container).is_err(), || "the daemon lives on".into())?;
    node.kill()?;
    node.start(&[])?;
    let status = node.status(&container)?;
    check(status.state() == ContainerState::ContainerRunning && status.started_at > 0, || {
        format!("{status:?}")
    })?;
    let mut cri = node.client()?;
    let stop = StopContainerRequest { container_id: container.clone(), timeout: 0 };
    node.runtime.block_on(cri.runtime.stop_container(stop)).map_err(|status| node.told(&status))?;
    let status = node.status(&container)?;
    check((status.state(), status.exit_code) == (ContainerState::ContainerExited, 137), || {
        format!("{status:?}")
    })?;
    remove(&node, &sandbox)
}

pub(crate) fn a_program_that_cannot_be_executed_is_told_with_its_reason() -> TestResult {
    let node = Node::ready()?;
    first_pod(&node)?;
    let before = machine(&node)?;
    let sandbox = node.run("script")?;
    let scripts = node.folder.join("scripts");
    std::fs::create_dir(&scripts)?;
    // It is there and may be executed, so that only the kernel can tell.
    let script = scripts.join("script");
    std::fs::write(&script, "#!/nonexistent/interpreter\n")?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let mut config = node.container("c", &["/scripts/script"]);
    config.mounts.push(Mount {
        container_path: "/scripts".into(),
        host_path: scripts.display().to_string(),
        ..Default::default()
    });
    let container = node.create_from("script", &sandbox, config)?;
    check(node.start_container(&container).is_err(), || "it was started".into())?;
    let status = node.status(&container)?;
    check(
        (status.state(), status.exit_code, status.reason.as_str())
            == (ContainerState::ContainerExited, 128, "StartError")
            && status.message.contains("/scripts/script"),
        || format!("{status:?}"),
    )?;
    remove(&node, &sandbox)?;
    std::fs::remove_dir_all(&scripts)?;
    compare(&before, &machine(&node)?)
}

/// A runtime whose `create` says that it has begun, and goes on when it may.
const SLOW_RUNTIME: &str = r#"#!/bin/sh
case " $* " in
*" create "*)
    : >"${0%/*}/begun"
    until [ -e "${0%/*}/go" ]; do sleep 0.01; done
    ;;
esac
exec ORLOP "$@"
"#;

pub(crate) fn a_container_that_is_being_started_can_be_stopped() -> TestResult {
    let mut node = Node::ready()?;
    first_pod(&node)?;
    let before = machine(&node)?;
    let slow = node.folder.join("slow-runtime");
    let text = SLOW_RUNTIME.replace("ORLOP", &integration::world::bin("orlop-runtime").display().to_string());
    std::fs::write(&slow, text)?;
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755))?;
    node.oci_runtime = slow;
    node.kill()?;
    node.start(&[])?;
    let sandbox = node.run("hurry")?;
    let container = node.create("hurry", &sandbox, "c", &["sleep", "1000"])?;
    let mut cri = node.client()?;
    let start = StartContainerRequest { container_id: container.clone() };
    let starting = node.runtime.spawn(async move { cri.runtime.start_container(start).await });
    let begun = node.folder.join("begun");
    let called = async {
        while !begun.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    node.runtime
        .block_on(async { tokio::time::timeout(DEADLINE, called).await })
        .map_err(|_| TestError::Failed(format!("the runtime was not called\n{}", node.log())))?;
    let status = node.status(&container)?;
    check(status.state() == ContainerState::ContainerCreated && status.started_at == 0, || {
        format!("{status:?}")
    })?;
    let mut cri = node.client()?;
    let stop = StopContainerRequest { container_id: container.clone(), timeout: 0 };
    let go = node.folder.join("go");
    let (stopped, _) = node.runtime.block_on(async {
        // Most often after the stop began; the end is the same when it is not.
        tokio::join!(cri.runtime.stop_container(stop), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            std::fs::write(go, "")
        })
    });
    stopped.map_err(|status| node.told(&status))?;
    let status = node.status(&container)?;
    check(status.state() == ContainerState::ContainerExited && status.exit_code != 0, || {
        format!("{status:?}")
    })?;
    // Whichever was faster, both calls come to an end.
    let _ = node.runtime.block_on(starting);
    remove(&node, &sandbox)?;
    compare(&before, &machine(&node)?)
}
