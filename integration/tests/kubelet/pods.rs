//! What pods do while nobody interferes.

use std::time::{Duration, Instant};

use integration::leftovers;
use integration::runner::{TestResult, check, fail};
use serde_json::{Value, json};

use crate::node::{BUSYBOX, Kind, NGINX, Node, http};

/// A container that runs a shell script.
pub(crate) fn shell(name: &str, script: &str) -> Value {
    json!({ "name": name, "image": BUSYBOX, "command": ["sh", "-c", script] })
}

/// On its own address and on a port of the host.
pub(crate) fn nginx_answers(kind: Kind) -> TestResult {
    let node = Node::start(kind)?;
    node.want(
        "web",
        &json!({
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": "nginx", "image": NGINX,
                "ports": [{ "containerPort": 80, "hostPort": 18080 }],
                "readinessProbe": { "httpGet": { "path": "/", "port": 80 }, "periodSeconds": 1 },
            }],
        }),
    )?;
    let pod = node.ready("web")?;
    for address in [format!("{}:80", pod.ip()), "127.0.0.1:18080".to_owned()] {
        let answer = http(&address)?;
        check(answer.contains("Welcome to nginx!"), || format!("{address}: {answer}"))?;
    }
    node.unwant("web")?;
    node.gone("web")?;
    match http("127.0.0.1:18080") {
        Ok(answer) => fail(format!("the port of a pod that is gone answers: {answer}")),
        Err(_) => Ok(()),
    }
}

/// It is the machine's network: what it serves answers on the machine's own address.
pub(crate) fn a_pod_on_the_hosts_network() -> TestResult {
    let node = Node::start(Kind::Up)?;
    node.want(
        "hosted",
        &json!({
            "hostNetwork": true,
            "terminationGracePeriodSeconds": 1,
            "containers": [shell("main", "echo hosted > /index.html; exec httpd -f -p 18082 -h /")],
        }),
    )?;
    node.ready("hosted")?;
    let answer = node.wait("an answer", || Ok(http("127.0.0.1:18082").ok()))?;
    check(answer.contains("hosted"), || answer.clone())
}

/// A file ends it; its neighbour does not notice, and its earlier run can be read.
pub(crate) fn a_sidecar_restarts_alone(kind: Kind) -> TestResult {
    let node = Node::start(kind)?;
    let mounts = json!([{ "name": "shared", "mountPath": "/shared" }]);
    let mut server = shell("server", "echo served > /shared/index.html; exec httpd -f -p 8000 -h /shared");
    let mut sidecar = shell(
        "sidecar",
        "echo run; until [ -e /shared/stop ]; do sleep 0.05; done; rm /shared/stop; echo end; exit 3",
    );
    server["volumeMounts"].clone_from(&mounts);
    sidecar["volumeMounts"] = mounts;
    node.want(
        "pair",
        &json!({
            "terminationGracePeriodSeconds": 1,
            "volumes": [{ "name": "shared", "emptyDir": {} }],
            "containers": [server, sidecar],
        }),
    )?;
    let before = node.ready("pair")?;
    std::fs::write(node.empty_dir(&before, "shared").join("stop"), "")?;
    let after = node.until("pair", "the sidecar's second run", |pod| {
        pod.restarts("sidecar") == 1 && pod.condition("Ready")
    })?;
    let last = after.container("sidecar")["lastState"]["terminated"].clone();
    check(last["exitCode"] == 3 && last["reason"] == "Error", || format!("{last:#}"))?;
    check(last["containerID"] == before.container("sidecar")["containerID"], || format!("{last:#}"))?;
    check(after.id("server") == before.id("server") && after.restarts("server") == 0, || {
        format!("the server noticed: {after:#?}")
    })?;
    let earlier = node.orlop(&["logs", "-p", "-c", "sidecar", "pair"])?;
    check(earlier == "run\nend\n", || earlier.clone())?;
    let answer = http(&format!("{}:8000", after.ip()))?;
    check(answer.contains("served"), || answer.clone())
}

/// An init container comes first; probes restart a container, or keep a pod from being ready.
pub(crate) fn init_and_probes(kind: Kind) -> TestResult {
    let node = Node::start(kind)?;
    node.want(
        "countdown",
        &json!({
            "terminationGracePeriodSeconds": 1,
            "initContainers": [shell("count", "for i in 3 2 1; do echo $i; sleep 0.3; done")],
            "containers": [shell("main", "echo lift-off; exec sleep 1d")],
        }),
    )?;
    let probed = |script: &str, kind: &str, probe: Value| {
        let mut container = shell("main", script);
        container[kind] = probe;
        json!({ "terminationGracePeriodSeconds": 1, "containers": [container] })
    };
    let probe =
        json!({ "exec": { "command": ["cat", "/alive"] }, "periodSeconds": 1, "failureThreshold": 3 });
    node.want("sick", &probed("touch /alive; sleep 2; rm /alive; exec sleep 1d", "livenessProbe", probe))?;
    let probe = json!({ "tcpSocket": { "port": 7 }, "periodSeconds": 1 });
    node.want("unready", &probed("exec sleep 1d", "readinessProbe", probe))?;
    let probe = json!({ "tcpSocket": { "port": 8000 }, "periodSeconds": 1 });
    node.want("open", &probed("sleep 1; exec httpd -f -p 8000", "readinessProbe", probe))?;
    let probe =
        json!({ "httpGet": { "port": 8000, "path": "/" }, "periodSeconds": 1, "failureThreshold": 30 });
    node.want(
        "slow",
        &probed("sleep 4; echo up > index.html; exec httpd -f -p 8000", "startupProbe", probe),
    )?;

    let waits = node.until("countdown", "its init container", |pod| {
        pod.container("count")["state"]["running"].is_object()
    })?;
    check(waits.container("main")["state"]["waiting"]["reason"] == "PodInitializing", || {
        format!("{waits:#?}")
    })?;
    let pod = node.ready("countdown")?;
    check(node.logs("countdown", "count")? == "3\n2\n1\n", || {
        format!("{:?}", node.logs("countdown", "count"))
    })?;
    check(node.logs("countdown", "main")? == "lift-off\n", || "the main container's log".into())?;
    let count = pod.container("count")["state"]["terminated"].clone();
    check(count["exitCode"] == 0 && count["reason"] == "Completed", || format!("{count:#}"))?;

    let starting =
        node.until("slow", "running", |pod| pod.container("main")["state"]["running"].is_object())?;
    check(starting.container("main")["started"] == false, || format!("{starting:#?}"))?;
    let started = node.ready("slow")?;
    check(started.restarts("main") == 0, || format!("{started:#?}"))?;

    let opened = node.ready("open")?;
    check(opened.restarts("main") == 0, || format!("{opened:#?}"))?;

    let pod = node.until("sick", "a restart", |pod| pod.restarts("main") == 1)?;
    let last = pod.container("main")["lastState"]["terminated"].clone();
    let seconds = |field: &str| {
        let time = last[field].as_str().and_then(|text| text.get(11..19)).unwrap_or_default().to_owned();
        time.split(':').filter_map(|part| part.parse::<i64>().ok()).fold(0, |sum, part| sum * 60 + part)
    };
    // Alive for 2 s, three failures a second apart, and at most a second of grace; the times have whole seconds.
    let lived = (seconds("finishedAt") - seconds("startedAt")).rem_euclid(86_400);
    check((4..=8).contains(&lived), || format!("lived for {lived} s: {last:#}"))?;
    check(last["exitCode"] == 137, || format!("sleep as the first process takes no SIGTERM: {last:#}"))?;

    let pod =
        node.until("unready", "running", |pod| pod.container("main")["state"]["running"].is_object())?;
    let end = Instant::now() + Duration::from_secs(2);
    node.wait("two seconds", || Ok((Instant::now() > end).then_some(())))?;
    let later = node.until("unready", "there", |_| true)?;
    check(!later.condition("Ready") && !later.condition("ContainersReady"), || format!("{later:#?}"))?;
    check(later.id("main") == pod.id("main") && later.restarts("main") == 0, || format!("{later:#?}"))
}

/// Requests and limits are in the pod's cgroup and in its class's, and go with the pod.
pub(crate) fn limits_become_cgroups() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let mut container = shell("main", "exec sleep 1d");
    container["resources"] =
        json!({ "requests": { "cpu": "100m" }, "limits": { "cpu": "250m", "memory": "64Mi" } });
    node.want("limited", &json!({ "terminationGracePeriodSeconds": 0, "containers": [container] }))?;
    let pod = node.ready("limited")?;
    let read = |path: &str, file: &str| {
        leftovers::cgroups(&format!("{}/kubepods/{path}", node.cgroup))
            .into_iter()
            .find_map(|folder| std::fs::read_to_string(folder.join(file)).ok())
            .map(|text| text.trim().to_owned())
    };
    let version_2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let files: &[(&str, &str, &str, &str)] = if version_2 {
        &[
            ("memory.max", "67108864", "67108864", "max"),
            ("cpu.max", "25000 100000", "25000 100000", "max 100000"),
        ]
    } else {
        &[
            ("memory.limit_in_bytes", "67108864", "67108864", "9223372036854771712"),
            ("cpu.cfs_quota_us", "25000", "25000", "-1"),
            ("cpu.shares", "102", "102", "102"),
        ]
    };
    let pod_path = format!("burstable/pod{}", pod.uid());
    let container_path = format!("{pod_path}/{}", pod.id("main"));
    for (file, of_container, of_pod, of_class) in files {
        for (path, wanted) in
            [(container_path.as_str(), of_container), (pod_path.as_str(), of_pod), ("burstable", of_class)]
        {
            let found = read(path, file);
            check(found.as_deref() == Some(*wanted), || format!("{path}/{file}: {found:?}, not {wanted}"))?;
        }
    }
    node.unwant("limited")?;
    node.gone("limited")?;
    check(read(&pod_path, "cgroup.procs").is_none(), || "the pod's cgroup is still there".into())
}
