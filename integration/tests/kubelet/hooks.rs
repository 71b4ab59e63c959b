//! `postStart` and `preStop`, by what their targets see of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use integration::runner::{TestError, TestResult, check};
use serde_json::{Value, json};

use crate::node::{Kind, Node};
use crate::pods::shell;

/// A container with a folder of the host at `/host`.
fn with_host(mut container: Value, lifecycle: Value) -> Value {
    container["volumeMounts"] = json!([{ "name": "host", "mountPath": "/host" }]);
    container["lifecycle"] = lifecycle;
    container
}

fn exec(script: &str) -> Value {
    json!({ "exec": { "command": ["sh", "-c", script] } })
}

/// A pod of these containers, all with the same folder of the host.
fn pod(node: &Node, grace: u64, containers: &[Value]) -> Result<Value, TestError> {
    let host = node.folder.join("host");
    fs::create_dir_all(&host)?;
    Ok(json!({
        "terminationGracePeriodSeconds": grace,
        "volumes": [{ "name": "host", "hostPath": { "path": host } }],
        "containers": containers,
    }))
}

/// The next container begins after it; one that fails costs its container.
pub(crate) fn a_post_start_hook_holds_back_what_follows() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let first = shell("first", "exec sleep 1d");
    let first = with_host(first, json!({ "postStart": exec("sleep 1; echo hooked > /host/order") }));
    let second = with_host(shell("second", "echo second >> /host/order; exec sleep 1d"), json!({}));
    node.want("ordered", &pod(&node, 0, &[first, second])?)?;
    node.ready("ordered")?;
    let order = fs::read_to_string(node.folder.join("host/order"))?;
    check(order == "hooked\nsecond\n", || order.clone())?;

    // Fails in the first run only.
    let fails = "[ -e /host/again ] || { touch /host/again; echo why >&2; exit 3; }";
    let unlucky = with_host(shell("main", "exec sleep 1d"), json!({ "postStart": exec(fails) }));
    node.want("unlucky", &pod(&node, 0, &[unlucky])?)?;
    let again =
        node.until("unlucky", "the second run", |pod| pod.restarts("main") == 1 && pod.condition("Ready"))?;
    let last = again.container("main")["lastState"]["terminated"]["exitCode"].clone();
    check(last == 137, || format!("it was killed: {again:#?}"))
}

/// Within the grace period, and its end does not wait for the rest of it.
pub(crate) fn a_pre_stop_hook_goes_before_the_signal() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let script = "trap 'echo signal >> /host/order; exit 0' TERM; while :; do sleep 0.05; done";
    let hook = json!({ "preStop": exec("sleep 0.5; echo hooked > /host/order") });
    node.want("polite", &pod(&node, 20, &[with_host(shell("main", script), hook)])?)?;
    // This one's hook wants more than there is: it is cut, and two seconds are left for the signal.
    let hook = json!({ "preStop": exec("echo begun > /host/slow; sleep 60; echo ended >> /host/slow") });
    let script = "trap 'echo signal >> /host/slow; exit 0' TERM; while :; do sleep 0.05; done";
    node.want("slow", &pod(&node, 2, &[with_host(shell("main", script), hook)])?)?;
    node.ready("polite")?;
    node.ready("slow")?;
    let begin = Instant::now();
    node.unwant("polite")?;
    node.gone("polite")?;
    let took = begin.elapsed();
    check(took < Duration::from_secs(15), || format!("{took:?}"))?;
    let order = fs::read_to_string(node.folder.join("host/order"))?;
    check(order == "hooked\nsignal\n", || order.clone())?;
    node.unwant("slow")?;
    node.gone("slow")?;
    let order = fs::read_to_string(node.folder.join("host/slow"))?;
    check(order == "begun\nsignal\n", || order.clone())
}

/// Answers so many requests on loopback and returns what they asked for.
fn listen(port: u16, requests: usize) -> Result<JoinHandle<Vec<String>>, TestError> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    Ok(std::thread::spawn(move || {
        let answer = |mut stream: std::net::TcpStream| {
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            String::from_utf8_lossy(&request).into_owned()
        };
        listener.incoming().take(requests).flatten().map(answer).collect()
    }))
}

/// With path, host, port and headers as written; the port may be named.
pub(crate) fn hooks_ask_over_http() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let asked = listen(18_090, 2)?;
    let get = |path: &str| {
        let headers = [json!({ "name": "X-Hook", "value": path })];
        json!({ "httpGet": { "host": "127.0.0.1", "port": "hook", "path": path, "httpHeaders": headers } })
    };
    let mut main = shell("main", "exec sleep 1d");
    main["ports"] = json!([{ "name": "hook", "containerPort": 18_090 }]);
    main["lifecycle"] = json!({ "postStart": get("/started"), "preStop": get("/stops") });
    node.want("asks", &json!({ "terminationGracePeriodSeconds": 1, "containers": [main] }))?;
    node.ready("asks")?;
    node.unwant("asks")?;
    node.gone("asks")?;
    let asked = asked.join().map_err(|_| TestError::Failed("the listener panicked".into()))?;
    for (request, path) in asked.iter().zip(["/started", "/stops"]) {
        let lower = request.to_lowercase();
        let wanted = request.starts_with(&format!("GET {path} HTTP/1.1\r\n"));
        check(wanted && lower.contains(&format!("x-hook: {path}\r\n")), || format!("{asked:#?}"))?;
    }
    // Nobody answers any more: the container is ended and tried again.
    let mut main = shell("main", "exec sleep 1d");
    main["lifecycle"] = json!({ "postStart": { "httpGet": { "host": "127.0.0.1", "port": 18_090 } } });
    node.want("unheard", &json!({ "terminationGracePeriodSeconds": 0, "containers": [main] }))?;
    let unheard = node.until("unheard", "its end", |pod| pod.restarts("main") >= 1)?;
    let last = unheard.container("main")["lastState"]["terminated"]["exitCode"].clone();
    check(last == 137, || format!("{unheard:#?}"))
}

/// As long as they say: before the next container, and before the signal.
pub(crate) fn hooks_sleep() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let sleep = |seconds: u64| json!({ "sleep": { "seconds": seconds } });
    let mut first = shell("first", "trap 'exit 0' TERM; while :; do sleep 0.05; done");
    first["lifecycle"] = json!({ "postStart": sleep(1), "preStop": sleep(2) });
    let second = shell("second", "trap 'exit 0' TERM; while :; do sleep 0.05; done");
    node.want("sleeps", &json!({ "terminationGracePeriodSeconds": 20, "containers": [first, second] }))?;
    let starting = node.until("sleeps", "its first container", |pod| {
        pod.container("first")["state"]["running"].is_object()
    })?;
    let begin = Instant::now();
    check(starting.id("second").is_empty(), || format!("{starting:#?}"))?;
    node.ready("sleeps")?;
    // What was seen is a little older than the hook.
    let took = begin.elapsed();
    check(took > Duration::from_millis(700), || format!("the second container waited {took:?}"))?;
    let begin = Instant::now();
    node.unwant("sleeps")?;
    node.gone("sleeps")?;
    let took = begin.elapsed();
    check((Duration::from_millis(1900)..Duration::from_secs(15)).contains(&took), || format!("{took:?}"))
}
