//! The recorded pods run here, too, and reach the statuses that a stock kubelet on containerd reached.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use integration::runner::{TestError, TestResult, check, skip};
use integration::world::repository;
use serde_json::{Map, Value, json};

use crate::node::{Kind, Node, Pod};

/// The heading in the ledger below which a table's first column names pods and fields that differ.
const HEADING: &str = "## Statuses";

/// One line of the recording.
struct Recorded {
    name: String,
    manifest: Value,
    status: Value,
}

/// All pods at once; each is waited for until its status agrees, or differs where the ledger says so.
pub(crate) fn statuses_are_those_of_a_stock_kubelet() -> TestResult {
    let beside = || Some(repository().join("../shared/golden")).filter(|folder| folder.is_dir());
    let Some(folder) = std::env::var_os("ORLOP_GOLDEN").map(PathBuf::from).or_else(beside) else {
        return skip("there are no recordings: set ORLOP_GOLDEN");
    };
    let mut pods = Vec::new();
    for line in std::fs::read_to_string(folder.join("pods.jsonl"))?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let (manifest, status) = (line["pod"].clone(), line["status"].clone());
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        pods.push(Recorded { name, manifest, status });
    }
    let node = Node::start(Kind::Up)?;
    for (layout, name) in
        [("busybox", "docker.io/library/busybox:latest"), ("nginx", "docker.io/library/nginx:latest")]
    {
        let path = node.images.join(layout).display().to_string();
        node.orlop(&["import", &path, "--name", name])?;
    }
    for pod in &pods {
        node.write(&pod.name, &pod.manifest.to_string())?;
    }
    let expected = ledger()?;
    // A manifest that is refused shows no pod; the comparison of translations says so.
    let refused = |pod: &Recorded| expected.contains(&format!("{}: manifest", pod.name));
    let mut open: Vec<&Recorded> = pods.iter().filter(|pod| !refused(pod)).collect();
    let mut differ = BTreeMap::new();
    // Some are in motion: each has to agree at some moment.
    let all = node.wait("the recorded statuses", || {
        let shown = node.pods()?;
        open.retain(|pod| {
            let found =
                differences(&pod.name, &pod.status, shown.iter().find(|shown| shown.name() == pod.name));
            let differs = !found.is_subset(&expected);
            differ.insert(pod.name.clone(), found);
            differs
        });
        Ok(open.is_empty().then_some(()))
    });
    let differ: BTreeSet<String> = differ.into_values().flatten().collect();
    let surplus: Vec<_> = differ.difference(&expected).collect();
    check(surplus.is_empty(), || format!("{surplus:#?}\n{}", node.log()))?;
    all?;
    let settled: Vec<_> = expected.difference(&differ).filter(|line| !line.ends_with(": manifest")).collect();
    check(settled.is_empty(), || format!("in the ledger, but agrees: {settled:#?}"))
}

/// `POD: field` of the ledger's table, as differences are written.
fn ledger() -> Result<BTreeSet<String>, TestError> {
    let text = std::fs::read_to_string(repository().join("integration/ledger/pods.md"))?;
    let section = text.split(HEADING).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | `"));
    Ok(rows.filter_map(|(pod, rest)| Some(format!("{pod}: {}", rest.split_once('`')?.0))).collect())
}

/// The paths at which two statuses differ, without what differs between any two runs.
fn differences(name: &str, theirs: &Value, ours: Option<&Pod>) -> BTreeSet<String> {
    let Some(ours) = ours else { return BTreeSet::from([format!("{name}: no pod")]) };
    let mut found = BTreeSet::new();
    compare("", &plain(theirs), &plain(&ours.0["status"]), &mut found);
    found.into_iter().map(|path| format!("{name}: {path}")).collect()
}

fn compare(path: &str, theirs: &Value, ours: &Value, found: &mut BTreeSet<String>) {
    let (Value::Object(one), Value::Object(other)) = (theirs, ours) else {
        if theirs != ours {
            found.insert(path.trim_start_matches('.').to_owned());
        }
        return;
    };
    for key in one.keys().chain(other.keys()) {
        let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
        compare(&format!("{path}.{key}"), &of(one), &of(other), found);
    }
}

/// Without times, ids, addresses and words for people; lists of named things by their names.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let volatile = |key: &str| {
                ["lastProbeTime", "lastTransitionTime", "startTime", "startedAt", "finishedAt"].contains(&key)
                    || ["hostIP", "hostIPs", "message"].contains(&key)
            };
            let kept = map.iter().filter(|(key, value)| !volatile(key) && !is_empty(value));
            Value::Object(kept.map(|(key, value)| (key.clone(), scrub(key, value))).collect())
        }
        Value::Array(list) => {
            let name = |one: &Value| {
                ["type", "name"].iter().find_map(|key| one[key].as_str().map(ToOwned::to_owned))
            };
            match list.iter().map(name).collect::<Option<Vec<_>>>() {
                // One volume may be mounted twice.
                Some(names) if names.iter().collect::<BTreeSet<_>>().len() == list.len() => {
                    Value::Object(names.into_iter().zip(list.iter().map(plain)).collect())
                }
                _ => Value::Array(list.iter().map(plain).collect()),
            }
        }
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || *value == json!({}) || *value == json!([]) || *value == json!("")
}

/// Ids are compared by their kind, addresses by their presence.
fn scrub(key: &str, value: &Value) -> Value {
    match (key, value.as_str()) {
        ("podIP" | "ip", Some(_)) => json!("an address"),
        ("containerID", Some(_)) => json!("an id"),
        ("imageID", Some(id)) => json!(id.split(':').next()),
        _ => plain(value),
    }
}
