//! Monitors that hang: a stopped one accepts connections and answers nothing.

use std::time::{Duration, Instant};

use api_cri::v1::{ContainerState, StopContainerRequest};
use integration::leftovers::compare;
use integration::node::{Node, machine};
use integration::process::wait_for;
use integration::runner::{TestError, TestResult, check};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::life::{first_pod, remove};
use crate::recovery::{FOR_EVER, monitor, ready};

/// What an end may take that waits for nobody; the machine may be busy.
const SOON: Duration = Duration::from_secs(12);
const DEADLINE: Duration = Duration::from_secs(20);

fn signal_monitor(node: &Node, sandbox: &str, signal: Signal) -> TestResult {
    Ok(kill(Pid::from_raw(monitor(node, sandbox)?), signal)?)
}

/// The pid of a container's first process, by its record.
pub(crate) fn pid(node: &Node, container: &str) -> Result<i32, TestError> {
    let path = node.folder.join("state/containers").join(container).join("container.json");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let pid = record["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    pid.filter(|pid| *pid > 0).ok_or_else(|| TestError::Failed("the record names no process".into()))
}

/// Three containers: one runs, one ended, one was never started.
fn pod(node: &Node, name: &str) -> Result<(String, String), TestError> {
    let sandbox = node.run(name)?;
    let runs = node.create(name, &sandbox, "runs", FOR_EVER)?;
    node.start_container(&runs)?;
    let ended = node.create(name, &sandbox, "ended", &["true"])?;
    node.start_container(&ended)?;
    node.ended(&ended)?;
    node.create(name, &sandbox, "waits", FOR_EVER)?;
    Ok((sandbox, runs))
}

pub(crate) fn a_pod_whose_monitor_hangs_ends_soon() -> TestResult {
    let mut node = Node::ready()?;
    first_pod(&node)?;
    let before = machine(&node)?;
    let (spared, other) = pod(&node, "spared")?;
    for restarted in [false, true] {
        let name = if restarted { "restarted" } else { "hung" };
        let (sandbox, _) = pod(&node, name)?;
        // In this order: the kernel wakes a stopped process group when the last parent of its session dies.
        if restarted {
            node.kill()?;
        }
        signal_monitor(&node, &sandbox, Signal::SIGSTOP)?;
        if restarted {
            node.start(&[])?;
        }
        let begun = Instant::now();
        remove(&node, &sandbox)?;
        let took = begun.elapsed();
        check(took < SOON, || format!("{name}: it took {took:?}\n{}", node.log()))?;
        check(ready(&node, &spared)?, || "another pod noticed".into())?;
    }
    check(node.exec(&other, &["true"])?.0 == 0, || "another pod's container noticed".into())?;
    remove(&node, &spared)?;
    compare(&before, &machine(&node)?)
}

pub(crate) fn a_container_whose_monitor_hangs_is_stopped_and_removed() -> TestResult {
    let node = Node::ready()?;
    let (sandbox, runs) = pod(&node, "hung")?;
    signal_monitor(&node, &sandbox, Signal::SIGSTOP)?;
    let begun = Instant::now();
    let mut cri = node.client()?;
    let request = StopContainerRequest { container_id: runs.clone(), timeout: 1 };
    node.runtime.block_on(cri.runtime.stop_container(request)).map_err(|status| node.told(&status))?;
    let status = node.status(&runs)?;
    check((status.exit_code, status.reason.as_str()) == (137, "Unknown"), || format!("{status:?}"))?;
    let request = api_cri::v1::RemoveContainerRequest { container_id: runs };
    node.runtime.block_on(cri.runtime.remove_container(request)).map_err(|status| node.told(&status))?;
    check(begun.elapsed() < SOON, || format!("it took {:?}", begun.elapsed()))?;
    // The pod was not hurt: once its monitor is awake, containers are made in it again.
    signal_monitor(&node, &sandbox, Signal::SIGCONT)?;
    let again = node.create("hung", &sandbox, "again", FOR_EVER)?;
    node.start_container(&again)?;
    check(node.exec(&again, &["true"])?.0 == 0, || "a new container".into())?;
    remove(&node, &sandbox)
}

pub(crate) fn a_slow_monitor_keeps_its_pod_and_holds_up_nobody() -> TestResult {
    let mut node = Node::ready()?;
    let (slow, held) = pod(&node, "slow")?;
    let (quick, other) = pod(&node, "quick")?;
    let (process, owner) = (pid(&node, &held)?, monitor(&node, &slow)?);
    node.kill()?;
    signal_monitor(&node, &slow, Signal::SIGSTOP)?;
    let begun = Instant::now();
    node.start(&[])?;
    let took = begun.elapsed();
    check(took < Duration::from_secs(5), || format!("serving began after {took:?}"))?;
    check(ready(&node, &quick)? && node.exec(&other, &["true"])?.0 == 0, || {
        "the other was not adopted".into()
    })?;
    // Longer than any one attempt to say hello.
    std::thread::sleep(Duration::from_secs(6));
    check(ready(&node, &slow)?, || format!("the slow one was given up\n{}", node.log()))?;
    check(node.status(&held)?.state() == ContainerState::ContainerRunning, || {
        "its container was lost".into()
    })?;
    kill(Pid::from_raw(owner), Signal::SIGCONT)?;
    wait_for(DEADLINE, "the slow monitor's pod to be adopted", || {
        Ok(node.exec(&held, &["true"]).is_ok_and(|(code, _)| code == 0).then_some(()))
    })?;
    check(pid(&node, &held)? == process && monitor(&node, &slow)? == owner, || {
        "others took their place".into()
    })?;
    // And it tells of ends again.
    kill(Pid::from_raw(process), Signal::SIGKILL)?;
    let status = node.ended(&held)?;
    check((status.exit_code, status.reason.as_str()) == (137, "Error"), || format!("{status:?}"))?;
    remove(&node, &slow)?;
    remove(&node, &quick)
}
