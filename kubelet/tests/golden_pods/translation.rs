//! The configurations of sandboxes and containers, field by field.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use api_k8s::v1::Pod;
use kubelet::cgroups::CgroupDriver;
use kubelet::source::read_manifest;
use kubelet::translate::{
    Image, Node, ResolvConf, Start, container_config, labels, qos_class, sandbox_config,
};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{data, failed, json};

/// A test for each recorded pod.
pub(crate) fn trials(golden: &Path) -> Vec<Trial> {
    let ledger = data::ledger();
    let mut trials = Vec::new();
    for recorded in data::lines(&golden.join("pods.jsonl")) {
        let name = recorded["pod"]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let allowed = ledger.get(&name).cloned().unwrap_or_default();
        trials.push(Trial::test(format!("pod_{name}"), move || failed(check(&recorded, &allowed))));
    }
    trials
}

/// What differs and is not in the ledger, and what is there and does not differ.
fn check(recorded: &Value, allowed: &[String]) -> Vec<String> {
    let found = compare(recorded);
    let paths: BTreeSet<_> = found.iter().map(|(path, _)| path.clone()).collect();
    let mut wrong: Vec<_> = found
        .into_iter()
        .filter(|(path, _)| !allowed.contains(path))
        .map(|(path, sides)| format!("{path}: {sides}"))
        .collect();
    let stale = allowed.iter().filter(|path| !paths.contains(*path));
    wrong.extend(stale.map(|path| format!("{path}: is in the ledger and does not differ")));
    wrong
}

fn compare(recorded: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let manifest = recorded["pod"].to_string();
    let pod = match read_manifest(manifest.as_bytes(), "/m", "lab", "2026-01-01T00:00:00Z".parse().unwrap()) {
        Ok(pod) => pod,
        Err(error) => return vec![("manifest".to_owned(), error.to_string())],
    };
    let node = node();
    let ours = sandbox_config(&pod, &node, 0).expect("the recorded pods have good names");
    let ours = normal(json::of(&ours, "PodSandboxConfig"), &pod);
    if !recorded["sandbox"]["config"].is_null() {
        json::differences(&ours, &recorded["sandbox"]["config"], "sandbox", &mut found);
    }
    let class = &recorded["status"]["qosClass"];
    if class != &qos_class(&pod).to_string() {
        found.push(("qosClass".to_owned(), format!("ours {}, stock {class}", qos_class(&pod))));
    }
    for container in recorded["containers"].as_array().into_iter().flatten() {
        compare_container(&container["config"], &pod, &node, &mut found);
    }
    compare_refusals(recorded, &pod, &node, &mut found);
    found
}

fn compare_container(theirs: &Value, pod: &Pod, node: &Node, found: &mut Vec<(String, String)>) {
    let name = theirs["metadata"]["name"].as_str().unwrap_or_default();
    let attempt = theirs["metadata"]["attempt"].as_u64().unwrap_or(0);
    match translated(name, u32::try_from(attempt).unwrap_or(0), pod, node) {
        Ok(ours) => json::differences(&by_key(ours), &by_key(theirs.clone()), name, found),
        Err(error) => found.push((name.to_owned(), error)),
    }
}

/// Containers that the stock kubelet refused to create, we refuse with the same words.
fn compare_refusals(recorded: &Value, pod: &Pod, node: &Node, found: &mut Vec<(String, String)>) {
    for status in recorded["status"]["containerStatuses"].as_array().into_iter().flatten() {
        let waiting = &status["state"]["waiting"];
        if waiting["reason"] == "CreateContainerConfigError" {
            let name = status["name"].as_str().unwrap_or_default();
            let ours = translated(name, 0, pod, node).err().unwrap_or_default();
            if waiting["message"] != ours {
                found.push((
                    format!("{name}.refusal"),
                    format!("ours {ours:?}, stock {}", waiting["message"]),
                ));
            }
        }
    }
}

fn translated(name: &str, attempt: u32, pod: &Pod, node: &Node) -> Result<Value, String> {
    let spec = pod.spec.as_ref().expect("a pod has a spec");
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let container = all.into_iter().find(|container| container.name == name).expect("the container exists");
    // Both images run as root.
    let image = Image { id: "sha256:<digest>".to_owned(), uid: Some(0), username: String::new() };
    let pod_ips: [IpAddr; 1] = ["192.0.2.9".parse().unwrap()];
    let start = Start { attempt, image: &image, pod_ips: &pod_ips };
    let config = container_config(pod, container, node, &start).map_err(|error| error.to_string())?;
    let mut value = normal(json::of(&config, "ContainerConfig"), pod);
    json::replace(
        &mut value,
        &format!("/containers/{name}/{attempt:08x}"),
        &format!("/containers/{name}/<rand>"),
    );
    Ok(value)
}

/// Writes volatile values as the recordings do.
fn normal(mut value: Value, pod: &Pod) -> Value {
    let uid = pod.metadata.uid.as_deref().expect("a static pod has a UID");
    json::replace(&mut value, uid, "<uid>");
    json::replace(&mut value, "/kubelet-root", "<kubelet-root>");
    if let Some(seen) = value["annotations"].get_mut(labels::CONFIG_SEEN) {
        *seen = "<time>".into();
    }
    value
}

/// The stock kubelet sends variables in the order of a hash map, another one each time.
fn by_key(mut config: Value) -> Value {
    if let Some(envs) = config["envs"].as_array_mut() {
        envs.sort_by_key(|variable| variable["key"].to_string());
    }
    config
}

/// The node that the pods were recorded on.
fn node() -> Node {
    Node {
        name: "lab".to_owned(),
        ips: vec!["192.0.2.7".parse().unwrap()],
        cluster_dns: vec!["10.96.0.10".parse().unwrap()],
        cluster_domain: "cluster.local".to_owned(),
        resolv_conf: ResolvConf::parse("nameserver 10.255.255.53\n"),
        root_dir: "/kubelet-root".into(),
        pod_logs_dir: "/var/log/pods".into(),
        container_logs_dir: "/var/log/containers".into(),
        cgroup_root: "/".to_owned(),
        cgroup_driver: CgroupDriver::Cgroupfs,
        cpu_millis: 2000,
        memory_bytes: 24 << 30,
        allocatable_cpu_millis: 2000,
        allocatable_memory_bytes: 24 << 30,
        hugepage_sizes: vec!["2MB".to_owned(), "1GB".to_owned()],
        swap_accounting: true,
        cgroup_v2: false,
        seccomp_default: false,
        recursive_read_only: false,
        allowed_unsafe_sysctls: Vec::new(),
        pod_pids_limit: None,
    }
}
