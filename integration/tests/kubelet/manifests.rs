//! Manifests that cannot be run.

use integration::runner::{TestResult, check};
use serde_json::json;

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
            pod("later", "{activeDeadlineSeconds: 5, containers: [{name: c, image: i}]}"),
            vec!["later.yaml", "spec.activeDeadlineSeconds"],
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
