//! Compares our OCI specifications with those that containerd made of the same CRI configurations.
//!
//! `ORLOP_GOLDEN` names the folder of the recording; without it each pod is a counted skip. What must agree is what
//! a workload can observe; order, and the spelling of what is empty, need not. Differences that are meant stand in
//! `integration/ledger/pods.md`.

mod message;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use api_cri::v1::{ContainerConfig, PodSandboxConfig};
use cri_shim::translate::{Recording, translate};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Map, Value, json};

const ROOT: &str = "<runtime-root>/io.containerd.grpc.v1.cri/sandboxes/<sandbox>";
const SHM: &str = "<runtime-state>/io.containerd.grpc.v1.cri/sandboxes/<sandbox>/shm";
/// The recording's image: a busybox with one more user.
const PASSWD: &str = "root:x:0:0::/:\nnobody:x:65534:65534::/:\ndefault-user:x:1000:1000::/:\n";
const GROUP: &str = "root:x:0:\npredefined:x:50000:default-user\n";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = std::env::var_os("ORLOP_GOLDEN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/golden")),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(folder.join("pods.jsonl")) else {
        let skipped = Trial::test("ORLOP_GOLDEN names no recording", || Ok(())).with_ignored_flag(true);
        return libtest_mimic::run(&arguments, vec![skipped]).exit_code();
    };
    let mut trials = Vec::new();
    for line in text.lines() {
        let pod: Value = serde_json::from_str(line).unwrap_or_default();
        let name = pod["pod"]["metadata"]["name"].as_str().unwrap_or("a line that is no pod").to_owned();
        let recorded =
            pod["containers"].as_array().is_some_and(|all| all.iter().any(|one| one["spec"].is_object()));
        // Six pods never got as far as a specification on the recording's host.
        trials.push(Trial::test(name, move || compare(&pod)).with_ignored_flag(!recorded));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn compare(pod: &Value) -> Result<(), Failed> {
    let sandbox: PodSandboxConfig = message::from_json("PodSandboxConfig", &pod["sandbox"]["config"])?;
    let containers = pod["containers"].as_array().ok_or("no containers")?;
    for recorded in containers.iter().filter(|container| container["spec"].is_object()) {
        let config: ContainerConfig = message::from_json("ContainerConfig", &recorded["config"])?;
        let (ours, status) = translate(&sandbox, &config, &recording(recorded))?;
        let ours: Value = serde_json::from_str(&ours)?;
        let (ours, theirs) = (normal(ours), normal(recorded["spec"].clone()));
        let mut differences = Vec::new();
        differ("", &ours, &theirs, &mut differences);
        let user = status.user.and_then(|user| user.linux).ok_or("no user")?;
        let ours = json!({"uid": user.uid.to_string(), "gid": user.gid.to_string()});
        let theirs = &recorded["status"]["user"]["linux"];
        differ("status/user", &ours, &json!({"uid": theirs["uid"], "gid": theirs["gid"]}), &mut differences);
        let limits = status.resources.and_then(|resources| resources.linux).ok_or("no resources")?;
        let theirs = &recorded["status"]["resources"]["linux"];
        differ(
            "status/shares",
            &json!(limits.cpu_shares.to_string()),
            &theirs["cpuShares"],
            &mut differences,
        );
        differ(
            "status/memory",
            &json!(limits.memory_limit_in_bytes.to_string()),
            &theirs["memoryLimitInBytes"],
            &mut differences,
        );
        if !differences.is_empty() {
            return Err(differences.join("\n").into());
        }
    }
    Ok(())
}

fn recording(container: &Value) -> Recording {
    let capabilities = |number: u64| (0..=number).filter(|number| *number != 24).map(capability).collect();
    let devices = container["spec"]["linux"]["devices"].as_array().cloned().unwrap_or_default();
    let number =
        |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
    let image = container["config"]["image"]["user_specified_image"].as_str().unwrap_or_default();
    Recording {
        hostname: "vm".into(),
        capabilities: capabilities(40),
        swap: true,
        lowest_oom_score_adj: Some(0),
        image_cmd: vec![if image.contains("nginx") { "nginx" } else { "sh" }.into()],
        passwd: PASSWD.into(),
        group: GROUP.into(),
        sandbox_id: "<sandbox>".into(),
        container_id: "<container>".into(),
        files: ROOT.into(),
        shm: SHM.into(),
        devices: devices
            .iter()
            .map(|device| {
                let kind = device["type"].as_str().unwrap_or_default().chars().next().unwrap_or('c');
                let path = device["path"].as_str().unwrap_or_default().to_owned();
                (path, kind, number(&device["major"]), number(&device["minor"]), number(&device["fileMode"]))
            })
            .collect(),
        ..Recording::default()
    }
}

/// The kernel's names, by number.
fn capability(number: u64) -> String {
    const NAMES: &str = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE \
        NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE \
        SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE \
        AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF \
        CHECKPOINT_RESTORE";
    let index = usize::try_from(number).unwrap_or_default();
    format!("CAP_{}", NAMES.split_whitespace().nth(index).unwrap_or_default())
}

/// What a workload can observe, in one spelling.
fn normal(mut spec: Value) -> Value {
    // The version of the document and the place of the root are not the workload's.
    spec["ociVersion"].take();
    spec["root"]["path"].take();
    for namespace in spec["linux"]["namespaces"].as_array_mut().into_iter().flatten() {
        if let Some(path) = namespace["path"].as_str() {
            let kind = path.rsplit('/').next().unwrap_or_default();
            namespace["path"] = json!(format!("/proc/<pid>/ns/{kind}"));
        }
    }
    let rules = spec["linux"]["seccomp"]["syscalls"].take();
    if let Some(rules) = rules.as_array() {
        spec["linux"]["seccomp"]["syscalls"] = verdicts(rules);
    }
    prune(&spec).unwrap_or_default()
}

/// A rule per name.
fn verdicts(rules: &[Value]) -> Value {
    let mut all = Vec::new();
    for rule in rules {
        for name in rule["names"].as_array().into_iter().flatten() {
            all.push(json!({"name": name, "action": rule["action"], "errno": rule["errnoRet"], "args": rule["args"]}));
        }
    }
    Value::Array(all)
}

/// Without what is empty, false or zero, and with lists as sets.
fn prune(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Array(items) => {
            let keys: BTreeSet<String> =
                items.iter().filter_map(prune).map(|item| item.to_string()).collect();
            (!keys.is_empty()).then(|| keys.into_iter().map(Value::String).collect())
        }
        Value::Object(fields) => {
            let kept: Map<String, Value> =
                fields.iter().filter_map(|(name, value)| Some((name.clone(), prune(value)?))).collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Number(number) if number.as_u64() == Some(0) => None,
        other => Some(other.clone()),
    }
}

fn differ(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) => {
            let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for name in names {
                let null = Value::Null;
                differ(
                    &format!("{path}/{name}"),
                    one.get(name).unwrap_or(&null),
                    other.get(name).unwrap_or(&null),
                    found,
                );
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            found.extend(
                one.iter()
                    .filter(|item| !other.contains(item))
                    .map(|item| format!("{path}: only ours {item}")),
            );
            found.extend(
                other
                    .iter()
                    .filter(|item| !one.contains(item))
                    .map(|item| format!("{path}: only theirs {item}")),
            );
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{path}: ours {ours}, theirs {theirs}")),
    }
}
