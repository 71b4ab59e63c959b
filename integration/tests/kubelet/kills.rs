//! Daemons and monitors that are killed.

use std::fs;
use std::path::Path;

use integration::leftovers;
use integration::runner::{TestError, TestResult, check, fail};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::node::{Kind, Node};
use crate::pods::shell;

const PODS: usize = 20;

fn name(index: usize) -> String {
    format!("pod-{index}")
}

/// Every container keeps its processes, no line is lost, an exit meanwhile is reported, all are adopted.
pub(crate) fn twenty_pods_survive_a_killed_daemon() -> TestResult {
    let mut node = Node::start(Kind::Up)?;
    let counts = "i=0; while :; do i=$((i+1)); echo line $i; usleep 20000; done";
    for index in 0..PODS {
        let mut main = shell("main", counts);
        main["livenessProbe"] = json!({ "exec": { "command": ["true"] }, "periodSeconds": 1 });
        node.want(&name(index), &json!({ "terminationGracePeriodSeconds": 0, "containers": [main] }))?;
    }
    let mut ends = shell("main", "until [ -e /shared/end ]; do sleep 0.05; done; echo over; exit 42");
    ends["volumeMounts"] = json!([{ "name": "shared", "mountPath": "/shared" }]);
    node.want(
        "ends",
        &json!({
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "volumes": [{ "name": "shared", "emptyDir": {} }], "containers": [ends],
        }),
    )?;
    let mut before = Vec::new();
    for index in 0..PODS {
        let pod = node.ready(&name(index))?;
        let pids = node.pids(&pod.id("main"));
        check(!pids.is_empty(), || format!("{pod:#?}"))?;
        before.push((pod, pids[0]));
    }
    let ends = node.ready("ends")?;

    node.kill()?;
    let meanwhile = line_count(&node, 0)? + 25;
    fs::write(node.empty_dir(&ends, "shared").join("end"), "")?;
    node.wait("lines while nobody looks", || Ok((line_count(&node, 0)? > meanwhile).then_some(())))?;
    node.wait("the end of one", || Ok(node.pids(&ends.id("main")).is_empty().then_some(())))?;
    node.up()?;

    let ended = node.until("ends", "its end", |pod| pod.0["status"]["phase"] == "Failed")?;
    let state = ended.container("main")["state"]["terminated"].clone();
    check(state["exitCode"] == 42 && ended.id("main") == ends.id("main"), || format!("{state:#}"))?;
    for (index, (old, pid)) in before.iter().enumerate() {
        let new = node.ready(&name(index))?;
        check(new.id("main") == old.id("main") && new.restarts("main") == 0, || format!("{new:#?}"))?;
        check(new.0["status"]["startTime"] == old.0["status"]["startTime"], || format!("{new:#?}"))?;
        check(node.pids(&new.id("main")).first() == Some(pid), || format!("{index} has another process"))?;
    }
    let lines = line_count(&node, 0)? + 10;
    node.wait("lines after the return", || Ok((line_count(&node, 0)? > lines).then_some(())))?;
    for index in 0..PODS {
        line_count(&node, index)?;
    }
    Ok(())
}

/// How many lines a counting pod has in its log, every one in its place.
fn line_count(node: &Node, index: usize) -> Result<usize, TestError> {
    let folder = fs::read_dir(node.data().join("logs/pods"))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.display().to_string().contains(&format!("default_{}-n_", name(index))));
    let text = fs::read_to_string(folder.unwrap_or_default().join("main/0.log"))?;
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (count, line) in whole.lines().enumerate() {
        check(line.ends_with(&format!(" stdout F line {}", count + 1)), || {
            format!("{}: line {} is {line:?}", name(index), count + 1)
        })?;
    }
    Ok(whole.lines().count())
}

/// The process that a process is a child of.
fn parent(pid: i32) -> Result<i32, TestError> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.and_then(|text| text.trim().parse().ok()).ok_or_else(|| TestError::Failed(status.clone()))
}

/// The pod is ended, reported and restarted by policy; no other notices.
pub(crate) fn a_killed_monitor_costs_its_pod_only() -> TestResult {
    let node = Node::start(Kind::Up)?;
    for (name, policy) in [("hit", "Always"), ("never", "Never"), ("spared", "Always")] {
        let containers = [shell("main", "exec sleep 1d"), shell("second", "exec sleep 1d")];
        node.want(
            name,
            &json!({ "restartPolicy": policy, "terminationGracePeriodSeconds": 0, "containers": containers }),
        )?;
    }
    let (hit, never, spared) = (node.ready("hit")?, node.ready("never")?, node.ready("spared")?);
    for pod in [&hit, &never] {
        let pids = node.pids(&pod.id("main"));
        let monitor = parent(*pids.first().ok_or_else(|| TestError::Failed(format!("{pod:#?}")))?)?;
        let line = fs::read_to_string(format!("/proc/{monitor}/cmdline"))?;
        check(line.contains("monitor"), || format!("{monitor}: {line:?}"))?;
        kill(Pid::from_raw(monitor), Signal::SIGKILL)?;
    }
    let back = node.until("hit", "running again", |pod| {
        pod.condition("Ready") && pod.id("main") != hit.id("main") && pod.id("second") != hit.id("second")
    })?;
    check(back.uid() == hit.uid() && back.restarts("main") == 1 && back.restarts("second") == 1, || {
        format!("{back:#?}")
    })?;
    let last = back.container("main")["lastState"]["terminated"].clone();
    check(last["exitCode"] == 137, || format!("{last:#}"))?;
    check(node.pids(&hit.id("main")).is_empty(), || "a process of the first run is left".into())?;
    let over = node.until("never", "failed", |pod| pod.0["status"]["phase"] == "Failed")?;
    check(over.id("main") == never.id("main") && over.restarts("main") == 0, || format!("{over:#?}"))?;
    let same = node.ready("spared")?;
    check(same.id("main") == spared.id("main") && same.restarts("main") == 0, || format!("{same:#?}"))
}

/// Everything that a reboot takes is taken: processes, mounts, `/run`, links and rules.
pub(crate) fn pods_are_back_after_a_reboot() -> TestResult {
    let mut node = Node::start(Kind::Up)?;
    node.want("pod", &json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", "echo up; exec sleep 1d")] }))?;
    let before = node.ready("pod")?;
    node.kill()?;
    leftovers::end_all(&node.cgroup);
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    let below = |point: &&&str| point.starts_with("/run/orlop/") || point.starts_with("/run/t/data/");
    for point in points.iter().rev().filter(below) {
        match umount2(Path::new(point), MntFlags::MNT_DETACH) {
            // It went with a mount that it lay in, or is one below the machine's own /run, which this test's hides. One
            // that stays keeps its folder from going.
            Ok(()) | Err(Errno::ENOENT | Errno::EINVAL) => {}
            Err(errno) => return fail(format!("unmount {point}: {errno}")),
        }
    }
    fs::remove_dir_all("/run/orlop")?;
    for command in [
        "ip -br link show type bridge | while read -r name _; do ip link del \"$name\"; done",
        "nft flush ruleset",
    ] {
        let done = std::process::Command::new("sh").args(["-c", command]).output()?;
        check(done.status.success(), || String::from_utf8_lossy(&done.stderr).into_owned())?;
    }
    let boot = node.folder.join("boot_id");
    fs::write(&boot, "11111111-2222-3333-4444-555555555555\n")?;
    nix::mount::mount(
        Some(&boot),
        "/proc/sys/kernel/random/boot_id",
        None::<&str>,
        nix::mount::MsFlags::MS_BIND,
        None::<&str>,
    )?;
    node.up()?;
    let after = node.ready("pod")?;
    check(after.uid() == before.uid() && after.id("main") != before.id("main"), || format!("{after:#?}"))?;
    check(node.logs("pod", "main")? == "up\n", || "the log of the new run".into())
}
