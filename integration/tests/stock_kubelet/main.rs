//! A stock kubelet on `orlop cri`: the pods of `hack/demo-pods` and two with probes, without an API server.
//!
//! `ORLOP_STOCK_KUBELET` names the binary. What is looked at is the kubelet's own view: `/pods` and `/containerLogs`.

mod node;

use std::process::ExitCode;
use std::time::Duration;

use integration::process::wait_for;
use integration::runner::{self, Test, TestResult, check, fail, skip};

use node::{Containers, StockNode};

const TESTS: &[Test] = &[
    Test { name: "probes_decide_and_a_person_looks_in", run: probes_decide_and_a_person_looks_in },
    Test { name: "a_killed_daemon_is_not_noticed", run: a_killed_daemon_is_not_noticed },
    Test { name: "events_instead_of_lists_restart_once", run: events_instead_of_lists_restart_once },
];

/// What a pod may take on a busy machine. The kubelet looks at its runtime once a second.
const READY: Duration = Duration::from_secs(60);
/// Containers of the manifests but `sick/c`, which never stays.
const STEADY: [&str; 7] = [
    "countdown/main",
    "pair/server",
    "pair/sidecar",
    "probed/exec",
    "probed/http",
    "probed/tcp",
    "web/nginx",
];

fn main() -> ExitCode {
    runner::main(TESTS)
}

fn probes_decide_and_a_person_looks_in() -> TestResult {
    let Some(node) = start(&[])? else { return skip("ORLOP_STOCK_KUBELET names no kubelet") };
    // The file that the exec probe looks for appears once the container was seen not to be ready.
    wait_for(READY, "probed/exec running and unready", || {
        Ok(node.containers()?.get("probed/exec").filter(|state| state.running && !state.ready).cloned())
    })?;
    let (code, _) = node.exec("probed", "exec", &["touch", "/ready"])?;
    check(code == 0, || format!("touch ended with {code}"))?;
    all_ready(&node)?;
    let page = node.get("http://127.0.0.1:8080/")?;
    check(page.contains("nginx"), || format!("on the host port: {page}"))?;

    wait_for(READY, "a second restart of sick/c", || {
        Ok(node.containers()?.get("sick/c").filter(|state| state.restarts >= 2).cloned())
    })?;
    for (path, expected) in [
        ("countdown-n/count", "3\n2\n1\n"),
        ("countdown-n/main", "lift-off\n"),
        ("sick-n/c?previous=true", "run begins\n"),
    ] {
        let log = node.get(&format!("https://127.0.0.1:10250/containerLogs/default/{path}"))?;
        check(log == expected, || format!("the log of {path}: {log:?}"))?;
    }

    let query = "command=sh&command=-c&command=echo%20out%3Bexit%203&output=1&error=1";
    let frames = node.exec_frames("countdown-n/main", query)?;
    check(frames.contains("\u{1}out\n") && frames.contains(r#""reason":"ExitCode","message":"3""#), || {
        format!("what exec said: {frames:?}")
    })?;

    // The sidecar ends once the file appears: it alone is started again.
    let before = node.containers()?;
    let (code, _) = node.exec("pair", "server", &["touch", "/shared/stop"])?;
    check(code == 0, || format!("touch ended with {code}"))?;
    wait_for(READY, "the sidecar's restart", || {
        Ok(node.containers()?.get("pair/sidecar").filter(|state| state.restarts == 1 && state.ready).cloned())
    })?;
    let after = node.containers()?;
    for name in STEADY.into_iter().filter(|name| *name != "pair/sidecar") {
        check(before.get(name) == after.get(name), || format!("{name}: {before:?} and then {after:?}"))?;
    }
    node.remove_pods()
}

fn a_killed_daemon_is_not_noticed() -> TestResult {
    let Some(mut node) = start(&[])? else { return skip("ORLOP_STOCK_KUBELET names no kubelet") };
    wait_for(READY, "probed/exec running", || {
        Ok(node.containers()?.get("probed/exec").filter(|state| state.running).cloned())
    })?;
    node.exec("probed", "exec", &["touch", "/ready"])?;
    all_ready(&node)?;
    let before = node.containers()?;
    node.machine.kill()?;
    // The kubelet notices: its node is not ready without a runtime.
    wait_for(READY, "the kubelet's notice", || Ok(node.log().contains("connection refused").then_some(())))?;
    node.machine.start(&[])?;
    // The liveness probe goes on, through the new daemon, for as long as it takes to restart its container once more.
    let restarts = before.get("sick/c").map_or(0, |state| state.restarts);
    wait_for(READY, "another restart of sick/c", || {
        Ok(node.containers()?.get("sick/c").filter(|state| state.restarts > restarts).cloned())
    })?;
    let after = node.containers()?;
    for name in STEADY {
        let (Some(old), Some(new)) = (before.get(name), after.get(name)) else {
            return fail(format!("{name} is gone: {after:?}"));
        };
        check(old == new, || format!("{name}: {old:?} and then {new:?}"))?;
    }
    node.remove_pods()
}

/// With this gate the kubelet lives on GetContainerEvents and takes the pod's containers from PodSandboxStatus.
fn events_instead_of_lists_restart_once() -> TestResult {
    let Some(node) = start(&["EventedPLEG"])? else { return skip("ORLOP_STOCK_KUBELET names no kubelet") };
    wait_for(READY, "a second restart of sick/c", || {
        Ok(node.containers()?.get("sick/c").filter(|state| state.restarts >= 2).cloned())
    })?;
    let log = node.log();
    check(!log.contains("CreateContainerError"), || format!("a container was created twice:\n{log}"))
}

/// The machine with the kubelet and all manifests; `None` when there is no kubelet.
fn start(gates: &[&str]) -> Result<Option<StockNode>, runner::TestError> {
    let Some(kubelet) = std::env::var_os("ORLOP_STOCK_KUBELET") else { return Ok(None) };
    let node = StockNode::start(kubelet.as_ref(), gates)?;
    node.add_pods()?;
    Ok(Some(node))
}

fn all_ready(node: &StockNode) -> TestResult {
    let mut last = Containers::new();
    let seen = wait_for(READY, "all containers ready", || {
        last = node.containers()?;
        Ok(STEADY.iter().all(|name| last.get(*name).is_some_and(|state| state.ready)).then_some(()))
    });
    seen.or_else(|_| fail(format!("not ready: {last:#?}\n{}", node.machine.log())))
}
