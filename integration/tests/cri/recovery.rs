//! Daemons and monitors that are killed.

use std::time::Duration;

use api_cri::v1::{ContainerState, PodSandboxState, PodSandboxStatusRequest, PortMapping};
use integration::leftovers::compare;
use integration::process::wait_for;
use integration::runner::{TestError, TestResult, check, fail};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::life::{first_pod, remove};
use integration::node::{Node, machine};

pub(crate) const FOR_EVER: &[&str] = &["sh", "-c", "while :; do sleep 0.1; done"];

pub(crate) fn ready(node: &Node, sandbox: &str) -> Result<bool, TestError> {
    let request = PodSandboxStatusRequest { pod_sandbox_id: sandbox.into(), verbose: false };
    let mut cri = node.client()?;
    let answer = node
        .runtime
        .block_on(cri.runtime.pod_sandbox_status(request))
        .map_err(|status| node.told(&status))?;
    Ok(answer.into_inner().status.unwrap_or_default().state() == PodSandboxState::SandboxReady)
}

pub(crate) fn monitor(node: &Node, sandbox: &str) -> Result<i32, TestError> {
    let text =
        std::fs::read_to_string(node.folder.join("state/sandboxes").join(sandbox).join("sandbox.json"))?;
    let record: serde_json::Value = serde_json::from_str(&text)?;
    let pid = record["monitor_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    pid.filter(|pid| *pid > 0).ok_or_else(|| TestError::Failed("the record names no monitor".into()))
}

pub(crate) fn a_killed_daemon_adopts_its_pods() -> TestResult {
    let mut node = Node::ready()?;
    let sandbox = node.run("adopted")?;
    let runs = node.create("adopted", &sandbox, "runs", FOR_EVER)?;
    let ends = node.create(
        "adopted",
        &sandbox,
        "ends",
        &["sh", "-c", "while ! [ -e /end ]; do sleep 0.05; done; exit 5"],
    )?;
    node.start_container(&runs)?;
    node.start_container(&ends)?;
    let before = monitor(&node, &sandbox)?;
    node.kill()?;
    // While no daemon runs, one container ends.
    let upper = node.folder.join("state/containers").join(&ends).join("rootfs/end");
    std::fs::write(upper, "")?;
    node.start(&[])?;
    check(ready(&node, &sandbox)?, || format!("the pod was lost\n{}", node.log()))?;
    let status = node.ended(&ends)?;
    check(status.exit_code == 5, || format!("{status:?}"))?;
    check(node.status(&runs)?.state() == ContainerState::ContainerRunning, || "the other was lost".into())?;
    check(monitor(&node, &sandbox)? == before, || "another monitor".into())?;
    remove(&node, &sandbox)
}

pub(crate) fn a_killed_monitor_ends_its_pod_alone() -> TestResult {
    let node = Node::ready()?;
    first_pod(&node)?;
    let before = machine(&node)?;
    let (one, other) = (node.run("one")?, node.run("other")?);
    let (killed, spared) =
        (node.create("one", &one, "c", FOR_EVER)?, node.create("other", &other, "c", FOR_EVER)?);
    node.start_container(&killed)?;
    node.start_container(&spared)?;
    kill(Pid::from_raw(monitor(&node, &one)?), Signal::SIGKILL)?;
    let status = node.ended(&killed)?;
    check((status.exit_code, status.reason.as_str()) == (137, "Unknown"), || format!("{status:?}"))?;
    wait_for(
        Duration::from_secs(10),
        "the pod to be not ready",
        || Ok((!ready(&node, &one)?).then_some(())),
    )?;
    check(ready(&node, &other)?, || "the other pod noticed".into())?;
    check(node.status(&spared)?.state() == ContainerState::ContainerRunning, || {
        "its container noticed".into()
    })?;
    remove(&node, &one)?;
    remove(&node, &other)?;
    compare(&before, &machine(&node)?)
}

pub(crate) fn another_boot_discards_the_state() -> TestResult {
    let mut node = Node::ready()?;
    first_pod(&node)?;
    let sandbox = node.run("earlier")?;
    node.kill()?;
    // A reboot ends the monitor, and changes the boot id.
    kill(Pid::from_raw(monitor(&node, &sandbox)?), Signal::SIGKILL)?;
    let boot = node.folder.join("boot_id");
    std::fs::write(&boot, "00000000-0000-4000-8000-000000000000\n")?;
    let target = "/proc/sys/kernel/random/boot_id";
    mount(Some(&boot), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    node.start(&[])?;
    let request = PodSandboxStatusRequest { pod_sandbox_id: sandbox, verbose: false };
    let mut cri = node.client()?;
    match node.runtime.block_on(cri.runtime.pod_sandbox_status(request)) {
        Err(status) if status.code() == tonic::Code::NotFound => {}
        other => return fail(format!("a pod of an earlier boot: {other:?}")),
    }
    let left = machine(&node)?;
    let left: Vec<_> = left.iter().filter(|line| line.starts_with("file ")).collect();
    check(left.is_empty(), || format!("left of an earlier boot: {left:?}\n{}", node.log()))
}

/// What RunPodSandbox does to the machine, one after the other; `lo` and the plugins are within CNI ADD.
const RUN: &[&str] = &[
    "SaveSandbox",
    "WritePodFiles",
    "MakeCgroup",
    "SpawnMonitor",
    "lo",
    "bridge",
    "portmap",
    "AttachNetwork",
    "SaveSandbox",
];

const CREATE: &[&str] = &["SaveContainer", "MountRootfs", "MakeFolders", "WriteSpec", "SaveContainer"];
const START: &[&str] = &["CreateInMonitor", "StartInMonitor", "SaveContainer"];
const STOP: &[&str] = &[
    "DeleteInMonitor",
    "portmap",
    "bridge",
    "DetachNetwork",
    "EndMonitor",
    "Unmount",
    "RemovePin",
    "RemoveCgroup",
    "SaveSandbox",
];

/// Aborts the daemon after each effect in turn, until the operation has no more of them.
pub(crate) fn a_crash_after_any_effect_leaves_nothing() -> TestResult {
    let mut node = Node::ready()?;
    first_pod(&node)?;
    let before = machine(&node)?;
    for (operation, effects) in [
        ("RunPodSandbox", RUN),
        ("CreateContainer", CREATE),
        ("StartContainer", START),
        ("StopPodSandbox", STOP),
    ] {
        let mut hit = Vec::new();
        loop {
            let at = format!("{operation}:{}", hit.len() + 1);
            node.kill()?;
            node.start(&[("ORLOP_CRASH_AT", &at)])?;
            let crashed = attempt(&node, &at);
            if crashed {
                hit.push(last_effect(&node)?);
            }
            node.kill()?;
            node.start(&[])?;
            for sandbox in sandboxes(&node)? {
                remove(&node, &sandbox)?;
            }
            compare(&before, &machine(&node)?)
                .or_else(|error| fail(format!("after {at}:\n{error:?}\n{}", node.log())))?;
            if !crashed {
                break;
            }
        }
        check(hit == effects, || format!("{operation}: {effects:?} are known, hit were {hit:?}"))?;
    }
    Ok(())
}

/// What the daemon says it did last before it aborted.
fn last_effect(node: &Node) -> Result<String, TestError> {
    let log = node.log();
    let line = log.lines().rfind(|line| line.contains("aborting, as ORLOP_CRASH_AT asks for"));
    let effect = line.and_then(|line| line.split("after=\"").nth(1)?.split('"').next());
    effect.map(str::to_owned).ok_or_else(|| TestError::Failed(format!("no word of a crash:\n{log}")))
}

/// Runs a pod with a container and stops it; whether the daemon died of it.
fn attempt(node: &Node, name: &str) -> bool {
    let name = name.replace(':', "-").to_lowercase();
    let mut config = node.pod(&name);
    // So that there is a rule of the firewall which could stay.
    config.port_mappings = vec![PortMapping { container_port: 80, host_port: 18081, ..Default::default() }];
    let outcome = node.run_with(config).and_then(|sandbox| {
        let container = node.create(&name, &sandbox, "c", FOR_EVER)?;
        node.start_container(&container)?;
        remove(node, &sandbox)
    });
    outcome.is_err()
}

fn sandboxes(node: &Node) -> Result<Vec<String>, TestError> {
    let mut cri = node.client()?;
    let request = api_cri::v1::ListPodSandboxRequest::default();
    let answer =
        node.runtime.block_on(cri.runtime.list_pod_sandbox(request)).map_err(|status| node.told(&status))?;
    Ok(answer.into_inner().items.into_iter().map(|sandbox| sandbox.id).collect())
}
