//! Manifests that cannot be run.

use std::fs;

use integration::runner::{TestResult, check};
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::node::{Kind, Node};
use crate::pods::shell;

/// With file, field and value; the others go on, and a corrected one runs.
pub(crate) fn bad_manifests_are_named() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let good = json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", "exec sleep 1d")] });
    let pod = |name: &str, spec: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {spec}\n")
    };
    let bad = [
        ("syntax", "apiVersion: [".to_owned(), vec!["syntax.yaml"]),
        (
            "unknown",
            pod("unknown", "{containers: [{name: c, image: i, imagePulPolicy: Never}]}"),
            vec!["unknown.yaml", "imagePulPolicy"],
        ),
        (
            "kind",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n".to_owned(),
            vec!["kind.yaml", "Deployment"],
        ),
        (
            "policy",
            pod("policy", "{restartPolicy: Sometimes, containers: [{name: c, image: i}]}"),
            vec!["policy.yaml", "spec.restartPolicy", "Sometimes"],
        ),
        (
            "later",
            pod("later", "{runtimeClassName: gvisor, containers: [{name: c, image: i}]}"),
            vec!["later.yaml", "spec.runtimeClassName", "gvisor"],
        ),
        (
            "twice",
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"},"spec":{}}"#.to_owned(),
            vec!["twice.yaml", "duplicate field", "metadata.name"],
        ),
    ];
    for (name, text, _) in &bad {
        node.write(name, text)?;
    }
    node.want("good", &good)?;
    node.ready("good")?;
    for (name, _, words) in &bad {
        node.wait(&format!("what is said of {name}"), || {
            let said = node.log();
            Ok(said.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(()))
        })?;
    }
    let shown = node.pods()?;
    check(shown.len() == 1, || format!("{shown:#?}"))?;
    node.want("policy", &good)?;
    node.ready("policy")?;
    // A second file with a name that is taken: one of them runs, and it is said.
    let twice = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "good" }, "spec": good });
    node.write("zz-good", &twice.to_string())?;
    node.wait("what is said of the second", || Ok(node.log().contains("zz-good.yaml").then_some(())))?;
    let shown = node.pods()?.into_iter().filter(|pod| pod.name() == "good").count();
    check(shown == 1, || format!("{shown} pods of one name"))
}

/// Whoever asks for pods is told of the manifests that give none, as long as they are there.
pub(crate) fn refused_manifests_are_shown() -> TestResult {
    let node = Node::start(Kind::Up)?;
    node.write("web", "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: 7}\n")?;
    nix::unistd::mkfifo(&node.data().join("manifests/pipe.yaml"), Mode::S_IRWXU)?;
    let refused = |count: usize| {
        node.wait(&format!("{count} refused manifests"), || {
            let told: Value = serde_json::from_str(&node.get("/manifests")?)?;
            let all = told["refused"].as_array().cloned().unwrap_or_default();
            Ok((all.len() == count).then_some(all))
        })
    };
    let told = refused(2)?;
    check(
        told[1]["pod"] == "default/web"
            && told[1]["message"] == "spec.containers: Invalid value: 7: must be a list",
        || format!("{told:#?}"),
    )?;
    let output = node.try_orlop(&["ps"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    check(output.status.success() && said.lines().count() == 2, || said.clone())?;
    check(
        said.contains("pipe.yaml: not a file but a FIFO") && said.contains("web.yaml: spec.containers"),
        || said.clone(),
    )?;
    let described = node.orlop(&["describe", "web"])?;
    check(described.contains("Refused") && described.contains("must be a list"), || described.clone())?;
    let described: Value = serde_json::from_str(&node.orlop(&["describe", "pipe.yaml", "-o", "json"])?)?;
    check(described["message"] == "not a file but a FIFO", || format!("{described:#}"))?;

    let good = json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", "exec sleep 1d")] });
    node.want("web", &good)?;
    fs::remove_file(node.data().join("manifests/pipe.yaml"))?;
    node.ready("web")?;
    refused(0)?;
    // A pod that runs on although its file is no longer one.
    node.write("web", "apiVersion: [")?;
    refused(1)?;
    let described = node.orlop(&["describe", "web"])?;
    check(described.contains("Conditions:") && described.contains("refused: "), || described.clone())
}

/// Which of two files is first is no matter of their names: what runs goes on.
pub(crate) fn a_restart_keeps_the_pod_that_runs() -> TestResult {
    let mut node = Node::start(Kind::Up)?;
    let spec = json!({ "terminationGracePeriodSeconds": 0, "containers": [shell("main", "exec sleep 1d")] });
    node.want("good", &spec)?;
    let before = node.ready("good")?;
    let other = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "good" }, "spec": spec });
    // Before good.yaml in the order of names.
    fs::write(node.data().join("manifests/aa.txt"), other.to_string())?;
    node.wait("what is said of the second", || Ok(node.get("/manifests")?.contains("aa.txt").then_some(())))?;
    for round in 0..2 {
        node.kill()?;
        if round == 1 {
            // Nothing is remembered: what runs tells.
            fs::remove_dir_all(node.data().join("kubelet/orlop"))?;
        }
        node.up()?;
        let after = node.ready("good")?;
        check(after.uid() == before.uid() && after.id("main") == before.id("main"), || {
            format!("{after:#?}")
        })?;
        node.wait("what is said of the second", || {
            Ok(node.get("/manifests")?.contains("aa.txt").then_some(()))
        })?;
    }
    Ok(())
}

/// A name that no runtime takes is said as such, and not tried again.
pub(crate) fn an_invalid_image_name_is_not_pulled() -> TestResult {
    let node = Node::start(Kind::Up)?;
    let bad = json!({ "name": "bad", "image": "UPPER/Case:::", "command": ["true"] });
    let containers = [bad, shell("other", "exec sleep 1d")];
    node.want("named", &json!({ "terminationGracePeriodSeconds": 0, "containers": containers }))?;
    let waits = |pod: &crate::node::Pod| pod.container("bad")["state"]["waiting"].clone();
    let pod = node.until("named", "the other container", |pod| {
        waits(pod)["reason"] == "InvalidImageName" && !pod.id("other").is_empty()
    })?;
    let message = waits(&pod)["message"].as_str().unwrap_or_default().to_owned();
    check(message.contains("UPPER/Case:::") && message.contains("invalid reference format"), || {
        message.clone()
    })?;
    check(pod.0["status"]["phase"] == "Pending", || format!("{pod:#?}"))?;
    check(!node.log().contains("pulling"), || node.log())
}
