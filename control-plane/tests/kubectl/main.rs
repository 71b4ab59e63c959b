//! The kubectls of this machine read from a server in this process, over plain HTTP on loopback.

mod world;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::world::{Kubectl, World};

/// A watch's line must come within.
const SOON: Duration = Duration::from_secs(20);

type Result<T = ()> = std::result::Result<T, String>;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let found = kubectls();
    let mut trials: Vec<Trial> = found
        .into_iter()
        .map(|path| {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            Trial::test(format!("{name}_reads"), move || reads(&path).map_err(Failed::from))
        })
        .collect();
    if trials.is_empty() {
        let skip = || Ok(Completion::ignored_with("no kubectl on this machine"));
        trials.push(Trial::ignorable_test("kubectl_reads", skip));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// `kubectl.1.33` and its like, where they lie beside each other; else the one kubectl.
fn kubectls() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/lib/google-cloud-sdk/bin".into()]);
    let mut versions: Vec<PathBuf> = Vec::new();
    let mut plain = None;
    for entry in folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let numbered =
            name.strip_prefix("kubectl.").is_some_and(|v| v.bytes().all(|b| b == b'.' || b.is_ascii_digit()));
        if numbered && !versions.iter().any(|v| v.file_name() == Some(&entry.file_name())) {
            versions.push(entry.path());
        } else if name == "kubectl" && plain.is_none() {
            plain = Some(entry.path());
        }
    }
    versions.sort();
    if versions.is_empty() { plain.into_iter().collect() } else { versions }
}

fn reads(path: &Path) -> Result {
    let world = World::start()?;
    let kubectl = world.kubectl(path)?;
    tables(&kubectl)?;
    selects(&kubectl)?;
    discovers(&kubectl)?;
    describes(&kubectl)?;
    waits(&kubectl)?;
    refuses(&kubectl)?;
    writes_a_little(&kubectl)?;
    watches(&world, &kubectl)
}

/// The words of the line that begins with `first`, without the age.
fn row(output: &str, first: &str) -> Vec<String> {
    let line = output.lines().find(|line| line.split_whitespace().next() == Some(first)).unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

fn expect(what: &str, output: &str, first: &str, words: &[&str]) -> Result {
    let found = row(output, first);
    if found.len() >= words.len()
        && found.iter().zip(words).all(|(found, word)| word == found || *word == "*")
    {
        return Ok(());
    }
    Err(format!("{what}: no row {words:?} in\n{output}"))
}

fn equal(what: &str, ours: &str, expected: &str) -> Result {
    if ours.trim_end() == expected { Ok(()) } else { Err(format!("{what}: {ours:?} and not {expected:?}")) }
}

fn holds(what: &str, output: &str, parts: &[&str]) -> Result {
    match parts.iter().find(|part| !output.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("{what}: no {part:?} in\n{output}")),
    }
}

fn tables(kubectl: &Kubectl) -> Result {
    let pods = kubectl.run(&["get", "pods"])?;
    expect("get pods", &pods, "NAME", &["NAME", "READY", "STATUS", "RESTARTS", "AGE"])?;
    expect("get pods", &pods, "a", &["a", "1/1", "Running", "0"])?;
    expect("get pods", &pods, "b", &["b", "0/1", "Pending", "0"])?;
    let wide = kubectl.run(&["get", "pods", "-o", "wide"])?;
    expect(
        "get -o wide",
        &wide,
        "a",
        &["a", "1/1", "Running", "0", "*", "10.0.0.7", "n1", "<none>", "<none>"],
    )?;
    let all = kubectl.run(&["get", "all", "-A"])?;
    for name in ["pod/a", "service/s", "deployment.apps/d", "replicaset.apps/d-1"] {
        expect("get all -A", &all.replace("default ", ""), name, &[name])?;
    }
    expect("get nodes", &kubectl.run(&["get", "nodes"])?, "n1", &["n1", "Ready", "<none>", "*", "v1.36.0"])?;
    let chunked = kubectl.run(&["get", "pods", "--chunk-size=1", "-o", "name"])?;
    equal("get --chunk-size", &chunked, "pod/a\npod/b")?;
    let sorted = kubectl.run(&["get", "pods", "--sort-by=.status.phase", "--no-headers"])?;
    holds("get --sort-by", sorted.lines().next().unwrap_or_default(), &["b "])
}

fn selects(kubectl: &Kubectl) -> Result {
    equal("get -l", &kubectl.run(&["get", "pods", "-l", "app in (x,z),!y", "-o", "name"])?, "pod/a")?;
    let pending = kubectl.run(&["get", "pods", "--field-selector", "status.phase=Pending", "-o", "name"])?;
    equal("get --field-selector", &pending, "pod/b")?;
    let node = kubectl.run(&["get", "pod", "a", "-o", "jsonpath={.spec.nodeName}"])?;
    equal("get -o jsonpath", &node, "n1")?;
    holds("get -o yaml", &kubectl.run(&["get", "pod", "a", "-o", "yaml"])?, &["kind: Pod", "nodeName: n1"])?;
    let events = kubectl.run(&["get", "events"])?;
    holds("get events", &events, &["Warning", "BackOff", "pod/a", "restarting"])
}

fn discovers(kubectl: &Kubectl) -> Result {
    let resources = kubectl.run(&["api-resources", "-o", "name"])?;
    holds("api-resources", &resources, &["deployments.apps", "events.events.k8s.io", "pods\n"])?;
    holds("api-versions", &kubectl.run(&["api-versions"])?, &["apps/v1", "autoscaling/v2", "v1\n"])?;
    holds("version", &kubectl.run(&["version", "-o", "json"])?, &["serverVersion", "v1.36.2+orlop"])?;
    equal("get --raw", &kubectl.run(&["get", "--raw", "/readyz"])?, "ok")
}

fn describes(kubectl: &Kubectl) -> Result {
    let pod = kubectl.run(&["describe", "pod", "a"])?;
    holds("describe pod", &pod, &["Node:", "n1", "10.0.0.7", "BackOff", "restarting"])?;
    holds(
        "describe node",
        &kubectl.run(&["describe", "node", "n1"])?,
        &["Non-terminated Pods", "default", " a "],
    )?;
    holds("describe deployment", &kubectl.run(&["describe", "deployment", "d"])?, &["NewReplicaSet:", "d-1"])
}

fn waits(kubectl: &Kubectl) -> Result {
    let ready = kubectl.run(&["wait", "pod/a", "--for=condition=Ready", "--timeout=5s"])?;
    holds("wait", &ready, &["pod/a condition met"])?;
    let rolled = kubectl.run(&["rollout", "status", "deployment/d", "--timeout=5s"])?;
    holds("rollout status", &rolled, &["successfully rolled out"])?;
    holds("rollout history", &kubectl.run(&["rollout", "history", "deployment/d"])?, &["REVISION", "1 "])
}

fn refuses(kubectl: &Kubectl) -> Result {
    for (arguments, words) in [
        (&["get", "pod", "zz"][..], "Error from server (NotFound): pods \"zz\" not found"),
        (&["get", "zz"][..], "the server doesn't have a resource type \"zz\""),
        (&["get", "pods", "--field-selector=zz=1"][..], "field label not supported: zz"),
        (&["get", "pods", "-l", "a in "][..], "unable to parse requirement: found '' expected: '('"),
    ] {
        holds(&arguments.join(" "), &kubectl.fail(arguments)?, &[words])?;
    }
    Ok(())
}

fn writes_a_little(kubectl: &Kubectl) -> Result {
    let made = kubectl.feed(
        &["create", "--validate=false", "-f", "-"],
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"made"},"data":{"k":"v"}}"#,
    )?;
    equal("create -f", &made, "configmap/made created")?;
    let again = kubectl.run(&["get", "configmap", "made", "-o", "jsonpath={.data.k}"])?;
    equal("get what was created", &again, "v")?;
    let gone = kubectl.run(&["delete", "configmap", "made"])?;
    holds("delete", &gone, &["configmap \"made\" deleted"])?;
    holds("get what is gone", &kubectl.fail(&["get", "configmap", "made"])?, &["(NotFound)"])
}

fn watches(world: &World, kubectl: &Kubectl) -> Result {
    let mut child = kubectl.start(&["get", "pods", "-w", "--output-watch-events"])?;
    let output = child.stdout.take().ok_or("no output")?;
    let (lines, read) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let seen = await_line(&read, &["ADDED", "b"]).and_then(|()| {
        world.put("/registry/pods/default/c", &world::pod("c", "Pending"))?;
        await_line(&read, &["ADDED", "c", "0/1", "Pending"])?;
        world.delete("/registry/pods/default/c")?;
        await_line(&read, &["DELETED", "c"])
    });
    drop(read);
    // It ends only when it is told to.
    let ended = child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string());
    let _ = reader.join();
    seen.and(ended.map(drop))
}

fn await_line(lines: &std::sync::mpsc::Receiver<String>, words: &[&str]) -> Result {
    let end = Instant::now() + SOON;
    while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if line.split_whitespace().zip(words).filter(|(found, word)| found == *word).count() == words.len() {
            return Ok(());
        }
    }
    Err(format!("the watch told no line {words:?}"))
}
