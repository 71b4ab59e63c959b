//! What the kubelet serves, to people and to programs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use integration::runner::{TestError, TestResult, check};
use serde_json::json;

use crate::node::{Kind, Node, http};
use crate::pods::shell;

/// `orlop attach` to a process that reads, to one with a terminal, and to one that reads nothing.
pub(crate) fn attached_terminals_and_pipes() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let mut reads = shell("reads", "while read line; do echo got $line; [ $line != end ] || exit 0; done");
    reads["stdin"] = json!(true);
    let mut screen = shell("screen", "while :; do read line; tty; echo screen $line; done");
    (screen["stdin"], screen["tty"]) = (json!(true), json!(true));
    let containers = [reads, screen, shell("deaf", "exec sleep 1d")];
    node.want("pod", &json!({ "terminationGracePeriodSeconds": 0, "containers": containers }))?;
    let before = node.ready("pod")?;

    let attach = |container: &str, input: &str| -> Result<_, TestError> {
        let mut child = node
            .command(&["attach", "-i", "-c", container, "pod"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(stdin) = &mut child.stdin {
            stdin.write_all(input.as_bytes())?;
        }
        Ok(child)
    };
    // Ends when the process does, which is restarted.
    let mut reader = attach("reads", "one\nend\n")?;
    let mut said = String::new();
    reader.stdout.take().map(|mut out| out.read_to_string(&mut said)).transpose()?;
    reader.wait()?;
    check(said == "got one\ngot end\n", || format!("{said:?}"))?;
    node.until("pod", "the reader's second run", |pod| {
        pod.restarts("reads") == 1 && pod.id("screen") == before.id("screen")
    })?;

    // The terminal's own end stays when whoever attached leaves.
    for line in ["hello", "again"] {
        let mut child = attach("screen", &format!("{line}\n"))?;
        let mut shown =
            BufReader::new(child.stdout.take().ok_or_else(|| TestError::Failed("no pipe".into()))?);
        let (mut seen, wanted) = (String::new(), format!("screen {line}"));
        while !seen.contains(&wanted) {
            check(shown.read_line(&mut seen)? > 0, || format!("ended after {seen:?}"))?;
        }
        check(seen.contains("/dev/"), || format!("no terminal: {seen:?}"))?;
        child.kill()?;
        child.wait()?;
    }
    let after = node.until("pod", "there", |_| true)?;
    check(after.id("screen") == before.id("screen"), || format!("{after:#?}"))?;

    let refused = attach("deaf", "")?.wait_with_output()?;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    check(refused.status.code() == Some(1) && text.contains("stdin: true"), || text.clone())?;
    let answer = node.ask("kubelet.sock", "GET", "/attach/default/pod-n/nobody?output=1", "")?;
    check(answer.contains(" 404 ") && answer.contains("reads, screen, deaf"), || answer.clone())
}

/// On TCP the same as on the unix socket, and nowhere without the flag.
pub(crate) fn the_api_is_on_tcp_when_asked() -> TestResult {
    let mut node = Node::start_with(Kind::Up, vec!["--kubelet-address".into(), "127.0.0.1:18550".into()])?;
    node.want(
        "seen",
        &json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", "echo here; exec sleep 1d")] }),
    )?;
    node.ready("seen")?;
    let get = |path: &str| -> Result<String, TestError> {
        let output =
            Command::new("curl").args(["-sS", "-i", &format!("http://127.0.0.1:18550{path}")]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let pods = get("/pods")?;
    check(pods.starts_with("HTTP/1.1 200") && pods.contains("seen-n"), || pods.clone())?;
    let log = get("/containerLogs/default/seen-n/main")?;
    check(log.ends_with("here\n"), || log.clone())?;
    check(get("/containerLogs/default/nobody/main")?.starts_with("HTTP/1.1 404"), || {
        "a pod that is not".into()
    })?;
    node.stop()?;
    node.flags.clear();
    node.up()?;
    check(http("127.0.0.1:18550").is_err(), || "it listens without being asked".into())
}

/// `orlop kubelet` has one of its own: live, ready, metrics, log level; for its owner only.
pub(crate) fn the_kubelets_admin_endpoint() -> TestResult {
    let node = Node::start(Kind::OnContainerd)?;
    let ask = |method: &str, path: &str, body: &str| node.ask("kubelet-admin.sock", method, path, body);
    for path in ["/livez", "/readyz"] {
        let answer = ask("GET", path, "")?;
        check(answer.contains(" 200 ") && answer.ends_with("ok\n"), || answer.clone())?;
    }
    let metrics = ask("GET", "/metrics", "")?;
    check(metrics.contains("process_resident_memory_bytes"), || metrics.clone())?;
    let health = node.get("/healthz")?;
    check(health == "ok", || health.clone())?;
    let own = node.get("/metrics")?;
    check(own.contains("kubelet_running_pods 0"), || own.clone())?;

    let probed = || {
        let mut main = shell("main", "exec sleep 1d");
        main["readinessProbe"] = json!({ "exec": { "command": ["false"] }, "periodSeconds": 1 });
        json!({ "terminationGracePeriodSeconds": 0, "containers": [main] })
    };
    // A failing probe is told on the level debug only.
    check(ask("PUT", "/log-level", "debug")?.contains(" 200 "), || "the level is refused".into())?;
    node.want("probed", &probed())?;
    node.wait("the log of the level debug", || Ok(node.log().contains("DEBUG").then_some(())))?;
    let wrong = ask("PUT", "/log-level", "kubelet=loud")?;
    check(wrong.contains(" 400 "), || wrong.clone())?;
    for socket in ["kubelet.sock", "kubelet-admin.sock"] {
        let mode = std::fs::metadata(node.socket(socket)?)?.permissions().mode() & 0o777;
        check(mode == 0o600, || format!("{socket}: {mode:o}"))?;
    }
    Ok(())
}

/// A log that is followed breaks off with the daemon: in words, and the container does not notice.
pub(crate) fn a_followed_log_says_why_it_ends() -> TestResult {
    let mut node = Node::start(Kind::Up)?;
    let containers = [shell("main", "echo first; exec sleep 1d"), shell("other", "exec sleep 1d")];
    node.want("told", &json!({ "terminationGracePeriodSeconds": 0, "containers": containers }))?;
    let before = node.ready("told")?;
    let mut follower =
        node.command(&["logs", "-f", "told"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut shown =
        BufReader::new(follower.stdout.take().ok_or_else(|| TestError::Failed("no pipe".into()))?);
    let mut line = String::new();
    shown.read_line(&mut line)?;
    check(line == "first\n", || line.clone())?;
    node.stop()?;
    let output = follower.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected =
        "orlop: no -c given: using container main (others: other)\norlop: the kubelet ended the connection";
    check(output.status.code() == Some(1) && said.starts_with(expected), || said.clone())?;
    node.up()?;
    let after = node.ready("told")?;
    check(after.id("main") == before.id("main"), || format!("{after:#?}"))
}
