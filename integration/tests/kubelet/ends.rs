//! How pods end, and what they leave.

use std::time::{Duration, Instant};

use integration::leftovers::compare;
use integration::runner::{TestResult, check};
use serde_json::{Value, json};

use crate::node::{Kind, Node};
use crate::pods::shell;

/// With a volume of each kind, a port, limits, an init container, and a shared PID namespace.
fn rich(script: &str, grace: u64, host: &str) -> Value {
    let mut main = shell("main", script);
    main["ports"] = json!([{ "containerPort": 8000, "hostPort": 18081 }]);
    main["resources"] = json!({ "limits": { "cpu": "500m", "memory": "64Mi" } });
    main["volumeMounts"] = json!([
        { "name": "memory", "mountPath": "/memory" },
        { "name": "disk", "mountPath": "/disk", "subPath": "below" },
        { "name": "host", "mountPath": "/host" },
    ]);
    json!({
        "terminationGracePeriodSeconds": grace,
        "shareProcessNamespace": true,
        "volumes": [
            { "name": "memory", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } },
            { "name": "disk", "emptyDir": {} },
            { "name": "host", "hostPath": { "path": host, "type": "DirectoryOrCreate" } },
        ],
        "initContainers": [shell("first", "echo init")],
        "containers": [main, shell("other", "exec sleep 1d")],
    })
}

/// The new pod has another UID and other containers; the old one ended first.
pub(crate) fn a_changed_manifest_replaces_the_pod() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let script = |word: &str| {
        json!({
            "terminationGracePeriodSeconds": 5,
            "containers": [shell("main", &format!("trap 'echo {word} ends; exit 0' TERM; echo {word}; while :; do sleep 0.1; done"))],
        })
    };
    node.want("pod", &script("one"))?;
    let one = node.ready("pod")?;
    let pids = node.pids(&one.id("main"));
    check(!pids.is_empty(), || "no process of the first pod".into())?;
    node.want("pod", &script("two"))?;
    let two = node.until("pod", "the second pod", |pod| pod.uid() != one.uid() && pod.condition("Ready"))?;
    check(node.logs("pod", "main")? == "two\n", || format!("{:?}", node.logs("pod", "main")))?;
    check(two.restarts("main") == 0 && node.pids(&one.id("main")).is_empty(), || format!("{two:#?}"))?;
    // The same text again is no change.
    node.want("pod", &script("two"))?;
    node.want(
        "marker",
        &json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", "exec sleep 1d")] }),
    )?;
    node.ready("marker")?;
    let same = node.ready("pod")?;
    check(same.id("main") == two.id("main"), || format!("{same:#?}"))
}

/// Within the grace period, and the machine is as it was after the first pod ever.
pub(crate) fn a_removed_manifest_leaves_nothing() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let host = node.folder.join("host").display().to_string();
    let pod = rich("trap 'echo asked' TERM; while :; do sleep 0.1; done", 2, &host);
    node.want("pod", &pod)?;
    node.ready("pod")?;
    node.unwant("pod")?;
    node.gone("pod")?;
    let before = node.machine()?;
    for round in 0..3 {
        node.want("pod", &pod)?;
        let shown = node.ready("pod")?;
        check(!node.pids(&shown.id("main")).is_empty(), || "no process".into())?;
        check(node.machine()?.len() > before.len() + 20, || "a running pod must be seen".into())?;
        let begin = Instant::now();
        node.unwant("pod")?;
        node.gone("pod")?;
        let took = begin.elapsed();
        // It does not end when asked, so it gets all of its grace and then SIGKILL.
        check((Duration::from_millis(1900)..Duration::from_secs(8)).contains(&took), || format!("{took:?}"))?;
        compare(&before, &node.machine()?).map_err(|error| {
            integration::runner::TestError::Failed(format!("round {round}: {error:?}\n{}", node.log()))
        })?;
    }
    Ok(())
}

/// What is no longer wanted when the daemon comes back is ended, and leaves nothing either.
pub(crate) fn manifests_gone_while_down() -> TestResult {
    let mut node = Node::start(Kind::Up)?;
    let host = node.folder.join("host").display().to_string();
    let pod = rich("exec sleep 1d", 1, &host);
    node.want(
        "stays",
        &json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", "exec sleep 1d")] }),
    )?;
    let stays = node.ready("stays")?;
    node.want("pod", &pod)?;
    node.ready("pod")?;
    node.unwant("pod")?;
    node.gone("pod")?;
    let before = node.machine()?;
    node.want("pod", &pod)?;
    node.ready("pod")?;
    node.kill()?;
    node.unwant("pod")?;
    // Folders of a pod whose kubelet died before it had a sandbox.
    let uid = "0123456789abcdef0123456789abcdef";
    std::fs::create_dir_all(node.data().join("kubelet/pods").join(uid).join("volumes"))?;
    let logs = node.data().join("logs/pods").join(format!("default_lost-n_{uid}"));
    std::fs::create_dir_all(&logs)?;
    std::os::unix::fs::symlink(logs.join("c/0.log"), node.data().join("logs/containers/lost.log"))?;
    node.up()?;
    node.wait("the machine as it was", || Ok(compare(&before, &node.machine()?).ok()))
        .or_else(|_| compare(&before, &node.machine()?))?;
    let still = node.ready("stays")?;
    check(still.id("main") == stays.id("main") && still.restarts("main") == 0, || format!("{still:#?}"))
}

/// When its time is over the pod ends, and says why; also to a daemon that comes back later.
pub(crate) fn a_deadline_fails_the_pod() -> TestResult {
    let mut node = Node::start(Kind::Up)?;
    node.want(
        "late",
        &json!({
            "activeDeadlineSeconds": 3, "terminationGracePeriodSeconds": 0,
            "containers": [shell("main", "exec sleep 1d")],
        }),
    )?;
    // This one is done by then, and stays so.
    node.want(
        "quick",
        &json!({
            "activeDeadlineSeconds": 3, "terminationGracePeriodSeconds": 0, "restartPolicy": "Never",
            "containers": [shell("main", "echo done")],
        }),
    )?;
    node.ready("late")?;
    let failed = |pod: &crate::node::Pod| {
        pod.0["status"]["phase"] == "Failed" && pod.0["status"]["reason"] == "DeadlineExceeded"
    };
    // The phase says so at once, the container a moment later.
    let ended = |pod: &crate::node::Pod| {
        failed(pod) && pod.container("main")["state"]["terminated"]["exitCode"] == 137
    };
    let late = node.until("late", "its end", ended)?;
    check(node.pids(&late.id("main")).is_empty(), || format!("{late:#?}"))?;
    let succeeded = |pod: &crate::node::Pod| pod.0["status"]["phase"] == "Succeeded";
    node.until("quick", "its success", succeeded)?;
    node.kill()?;
    node.up()?;
    node.until("late", "the same as before", ended)?;
    let quick = node.until("quick", "there", |_| true)?;
    check(succeeded(&quick), || format!("{quick:#?}"))
}

/// Shippers of logs find every container's log by its link, and none of a container that is gone.
pub(crate) fn logs_are_linked() -> TestResult {
    let mut node = Node::start(Kind::Up)?;
    node.want(
        "linked",
        &json!({
            "terminationGracePeriodSeconds": 0,
            "containers": [shell("main", "echo run; exec sleep 1d"), shell("ends", "echo run; sleep 0.2; exit 1")],
        }),
    )?;
    let folder = node.data().join("logs/containers");
    let links = || -> Vec<String> {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let pod = node.until("linked", "three runs", |pod| pod.restarts("ends") >= 2)?;
    let link = folder.join(format!("linked-n_default_main-{}.log", pod.id("main")));
    let text = std::fs::read_to_string(&link)?;
    check(text.ends_with("stdout F run\n"), || text.clone())?;
    // The last two runs of a container are kept, and their links.
    node.wait("the first run's link to go", || Ok((links().len() == 3).then_some(())))?;
    node.kill()?;
    node.unwant("linked")?;
    std::os::unix::fs::symlink(
        node.data().join("logs/pods/default_lost-n_u/c/0.log"),
        folder.join("lost.log"),
    )?;
    std::os::unix::fs::symlink("/elsewhere.log", folder.join("foreign.log"))?;
    node.up()?;
    node.wait("no link", || Ok((links() == ["foreign.log"]).then_some(())))
}
