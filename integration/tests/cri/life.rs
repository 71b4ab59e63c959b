//! The life of pods and containers.

use std::time::Duration;

use api_cri::v1::{
    ContainerState, ContainerStatsRequest, ExecSyncRequest, PodSandboxState, PodSandboxStatusRequest,
    RemoveContainerRequest, RemovePodSandboxRequest, StatusRequest, StopContainerRequest,
    StopPodSandboxRequest,
};
use integration::leftovers::compare;
use integration::runner::{TestResult, check, fail};

use integration::node::{Node, machine};

/// Stops and removes a pod.
pub(crate) fn remove(node: &Node, sandbox: &str) -> TestResult {
    let mut cri = node.client()?;
    node.runtime
        .block_on(async {
            cri.runtime.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: sandbox.into() }).await?;
            cri.runtime.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id: sandbox.into() }).await
        })
        .map_err(|status| node.told(&status))?;
    Ok(())
}

/// The first pod ever makes the bridge, which stays: the baseline is taken after it.
pub(crate) fn first_pod(node: &Node) -> TestResult {
    let sandbox = node.run("first")?;
    remove(node, &sandbox)
}

pub(crate) fn a_pod_lives_and_leaves_nothing() -> TestResult {
    let node = Node::ready()?;
    first_pod(&node)?;
    let before = machine(&node)?;
    let sandbox = node.run("life")?;
    check(node.run("life")? == sandbox, || "a retry made a second pod".into())?;
    let mut cri = node.client()?;
    let request = PodSandboxStatusRequest { pod_sandbox_id: sandbox.clone(), verbose: true };
    let status = node.runtime.block_on(cri.runtime.pod_sandbox_status(request))?.into_inner();
    let pod = status.status.unwrap_or_default();
    check(pod.state() == PodSandboxState::SandboxReady, || format!("{pod:?}"))?;
    let ip = pod.network.unwrap_or_default().ip;
    check(ip.starts_with("10.77.0."), || format!("the pod's address is {ip:?}"))?;

    let script = "hostname; cat /etc/resolv.conf >/dev/null && echo to-stderr >&2; trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done";
    let container = node.create("life", &sandbox, "c", &["sh", "-c", script])?;
    check(node.status(&container)?.state() == ContainerState::ContainerCreated, || "not created".into())?;
    node.start_container(&container)?;
    let status = node.status(&container)?;
    check(status.state() == ContainerState::ContainerRunning && status.started_at > 0, || {
        format!("{status:?}")
    })?;
    check(status.annotations.get("note").is_some_and(|note| note == "kept verbatim"), || {
        format!("{status:?}")
    })?;

    let log = integration::process::wait_for(Duration::from_secs(10), "the log", || {
        let text = std::fs::read_to_string(&status.log_path).unwrap_or_default();
        Ok(text.contains(" stdout F up").then_some(text))
    })?;
    check(log.contains(" stdout F life") && log.contains(" stderr F to-stderr"), || log.clone())?;

    let exec = |command: &[&str], timeout| {
        let mut cri = cri.clone();
        let cmd = command.iter().map(|word| (*word).to_owned()).collect();
        let request = ExecSyncRequest { container_id: container.clone(), cmd, timeout };
        node.runtime.block_on(async move { cri.runtime.exec_sync(request).await })
    };
    let answer = exec(&["sh", "-c", "echo out; echo err >&2; exit 4"], 10)?.into_inner();
    check((&*answer.stdout, &*answer.stderr, answer.exit_code) == (b"out\n", b"err\n", 4), || {
        format!("{answer:?}")
    })?;
    match exec(&["sleep", "1000"], 1) {
        Err(status) if status.code() == tonic::Code::DeadlineExceeded => {}
        other => return fail(format!("a command that took too long: {other:?}")),
    }
    let answer =
        exec(&["sh", "-c", "pgrep sleep | wc -l; ip -4 addr show eth0 2>/dev/null || ifconfig eth0"], 10)?;
    let text = String::from_utf8_lossy(&answer.into_inner().stdout).into_owned();
    check(text.contains(&ip), || format!("the pod does not see its address {ip}: {text}"))?;

    let request = ContainerStatsRequest { container_id: container.clone() };
    let stats =
        node.runtime.block_on(cri.runtime.container_stats(request))?.into_inner().stats.unwrap_or_default();
    let used = stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |value| value.value);
    check(used > 0, || "no CPU time was counted".into())?;

    let request = StopContainerRequest { container_id: container.clone(), timeout: 20 };
    node.runtime.block_on(cri.runtime.stop_container(request)).map_err(|status| node.told(&status))?;
    let status = node.status(&container)?;
    check((status.exit_code, status.reason.as_str()) == (7, "Error"), || format!("{status:?}"))?;
    let request = RemoveContainerRequest { container_id: container.clone() };
    node.runtime.block_on(cri.runtime.remove_container(request)).map_err(|status| node.told(&status))?;
    remove(&node, &sandbox)?;
    compare(&before, &machine(&node)?)
}

pub(crate) fn a_program_that_is_missing_fails_the_start() -> TestResult {
    let node = Node::ready()?;
    let sandbox = node.run("missing")?;
    let container = node.create("missing", &sandbox, "c", &["/absent"])?;
    check(node.start_container(&container).is_err(), || "a missing program started".into())?;
    let status = node.status(&container)?;
    check((status.exit_code, status.reason.as_str()) == (128, "StartError"), || format!("{status:?}"))?;
    check(status.message.contains("/absent"), || format!("{status:?}"))?;
    remove(&node, &sandbox)
}

pub(crate) fn the_network_becomes_ready_later() -> TestResult {
    let mut node = Node::new()?;
    node.start(&[])?;
    let mut cri = node.client()?;
    let mut ready = || {
        let status = node.runtime.block_on(cri.runtime.status(StatusRequest { verbose: true }))?.into_inner();
        let conditions = status.status.unwrap_or_default().conditions;
        Ok::<_, tonic::Status>(conditions.iter().map(|condition| condition.status).collect::<Vec<_>>())
    };
    check(ready()? == [true, false], || "ready without a network".into())?;
    node.configure_network()?;
    check(ready()? == [true, true], || format!("not ready with a network\n{}", node.log()))
}

pub(crate) fn unknown_ids_are_no_error_to_stop_and_remove() -> TestResult {
    let mut node = Node::new()?;
    node.start(&[])?;
    let mut cri = node.client()?;
    let id = "f".repeat(64);
    remove(&node, &id)?;
    let stop = StopContainerRequest { container_id: id.clone(), timeout: 0 };
    node.runtime.block_on(cri.runtime.stop_container(stop))?;
    let remove = RemoveContainerRequest { container_id: id.clone() };
    node.runtime.block_on(cri.runtime.remove_container(remove))?;
    let request = PodSandboxStatusRequest { pod_sandbox_id: id, verbose: false };
    match node.runtime.block_on(cri.runtime.pod_sandbox_status(request)) {
        Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
        other => fail(format!("{other:?}")),
    }
}
