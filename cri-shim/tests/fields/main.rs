//! Every field of RunPodSandbox and CreateContainer is honoured, inert with a reason, or refused by name.
//!
//! The fields come from the protocol's descriptors, so that a new one fails these tests until the table says what
//! becomes of it. What the table says is tried: a field that acts changes what is made, an inert one changes nothing,
//! a refused one is refused with its name.

#[path = "../message/mod.rs"]
mod message;
mod table;

use std::path::{Path, PathBuf};

use api_cri::v1::{ContainerConfig, CreateContainerRequest, RunPodSandboxRequest};
use cri_shim::translate::{Recording, plan_pod, translate};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};
use serde_json::{Value, json};

use table::{Row, Treatment};

/// The requests that a field is set in. Every list that can hold a message holds one.
fn pod() -> Value {
    json!({"config": {
        "metadata": {"name": "pod", "uid": "uid", "namespace": "default"},
        "hostname": "pod",
        "port_mappings": [{"container_port": 80, "host_port": 8080}],
        "linux": {"security_context": security()},
    }})
}

fn container() -> Value {
    json!({
        "pod_sandbox_id": "sandbox",
        "config": {
            "metadata": {"name": "container"},
            "image": {"image": "image"},
            "command": ["true"],
            "envs": [{"key": "KEY", "value": "value"}],
            "mounts": [{"container_path": "/in", "host_path": "/out", "readonly": true}],
            "linux": {
                "resources": {"hugepage_limits": [{"page_size": "2MB", "limit": 2}]},
                "security_context": security(),
            },
        },
    })
}

/// The absence of a mode would mean POD, a user namespace; this is NODE.
fn security() -> Value {
    json!({"namespace_options": {"userns_options": {"mode": 2}}})
}

fn machine() -> Recording {
    Recording {
        hostname: "host".into(),
        capabilities: vec!["CAP_CHOWN".into(), "CAP_SYS_ADMIN".into()],
        swap: true,
        hugetlb: true,
        cgroup2: true,
        selinux: true,
        shared_mounts: true,
        passwd: "root:x:0:0::/:\nmember:x:1000:1000::/:\n".into(),
        group: "root:x:0:\nextra:x:50000:member\n".into(),
        sandbox_id: "sandbox".into(),
        container_id: "container".into(),
        files: "files".into(),
        shm: "shm".into(),
        ..Recording::default()
    }
}

/// What is made of a request, and what is told of it afterwards.
#[derive(Debug, PartialEq)]
struct Outcome {
    made: Vec<String>,
    told: String,
}

fn run_pod_sandbox(request: &Value) -> Result<Outcome, String> {
    let request: RunPodSandboxRequest = message::from_json("RunPodSandboxRequest", request)?;
    let (mut made, status) = plan_pod(&request, &machine())?;
    // Its containers are part of what is made of a pod.
    let container: CreateContainerRequest = message::from_json("CreateContainerRequest", &container())?;
    let (spec, _) =
        translate(&request.config.unwrap_or_default(), &container.config.unwrap_or_default(), &machine())?;
    made.push(sorted(&spec)?);
    Ok(Outcome { made, told: format!("{status:?}") })
}

fn create_container(request: &Value) -> Result<Outcome, String> {
    let request: CreateContainerRequest = message::from_json("CreateContainerRequest", request)?;
    let pod: RunPodSandboxRequest = message::from_json("RunPodSandboxRequest", &pod())?;
    let config: ContainerConfig = request.config.unwrap_or_default();
    let (spec, status) = translate(&pod.config.unwrap_or_default(), &config, &machine())?;
    Ok(Outcome { made: vec![sorted(&spec)?], told: format!("{status:?}") })
}

/// The document with its sets in one order.
fn sorted(spec: &str) -> Result<String, String> {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(Value::to_string);
            }
            Value::Object(entries) => entries.values_mut().for_each(sort),
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_str(spec).map_err(|error| error.to_string())?;
    sort(&mut value);
    Ok(value.to_string())
}

fn field<'a>(message: &'a DescriptorProto, name: &str) -> &'a FieldDescriptorProto {
    message.field.iter().find(|field| field.name() == name).unwrap_or_else(|| panic!("no field {name}"))
}

/// The message that a field holds; `None` for maps, which are leaves.
fn inner(field: &FieldDescriptorProto) -> Option<&'static DescriptorProto> {
    let name = field.type_name().strip_prefix(".runtime.v1.")?;
    let message = message::messages().get(name)?;
    (!message.options.as_ref().is_some_and(|options| options.map_entry())).then_some(message)
}

/// The paths of all fields that hold no further message.
fn leaves(message: &DescriptorProto, prefix: &str, all: &mut Vec<String>) {
    for field in &message.field {
        let path = format!("{prefix}{}", field.name());
        match inner(field) {
            Some(message) => leaves(message, &format!("{path}."), all),
            None => all.push(path),
        }
    }
}

/// Sets a field, in the first element of each list on the way to it.
fn set(message: &DescriptorProto, object: &mut Value, path: &str, value: Option<&str>) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = field(message, name);
    let repeated = field.label() == Label::Repeated;
    match rest {
        Some(rest) => {
            let slot = if repeated { &mut object[name][0] } else { &mut object[name] };
            set(inner(field).unwrap_or_else(|| panic!("{name} holds no message")), slot, rest, value);
        }
        None => {
            object[name] = match value {
                Some(text) => serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")),
                None => some_value(field, repeated),
            }
        }
    }
}

/// Not the default.
fn some_value(field: &FieldDescriptorProto, repeated: bool) -> Value {
    let one = match field.r#type() {
        Type::Message => return json!({"key": "value"}),
        Type::Bool => json!(true),
        Type::String | Type::Bytes => json!("x"),
        _ => json!(1),
    };
    if repeated { json!([one]) } else { one }
}

/// A list that a field is set in has to have an element.
fn with_lists(message: &DescriptorProto, object: &mut Value, path: &str) {
    let Some((name, rest)) = path.split_once('.') else { return };
    let field = field(message, name);
    let Some(inner) = inner(field) else { return };
    if field.label() == Label::Repeated {
        if object[name].is_null() {
            object[name] = json!([{}]);
        }
        with_lists(inner, &mut object[name][0], rest);
    } else {
        with_lists(inner, &mut object[name], rest);
    }
}

/// What is wrong with one field.
fn judge(
    root: &DescriptorProto,
    base: &Value,
    run: impl Fn(&Value) -> Result<Outcome, String>,
    path: &str,
    row: &Row,
) -> Result<(), String> {
    let outcome = |value: Option<&str>, given: &[(&str, &str)]| {
        let mut request = base.clone();
        for (path, value) in given {
            with_lists(root, &mut request, path);
            set(root, &mut request, path, Some(value));
        }
        let before = run(&request)?;
        with_lists(root, &mut request, path);
        set(root, &mut request, path, value);
        Ok::<_, String>((before, run(&request)))
    };
    let ok = |condition: bool, text: &str| if condition { Ok(()) } else { Err(format!("{path}: {text}")) };
    let in_row = |error: String| format!("{path}: {error}");
    match &row.1 {
        Treatment::Acts { value, given } => {
            let (before, after) = outcome(*value, given)?;
            ok(before.made != after.map_err(in_row)?.made, "changes nothing that is made")
        }
        Treatment::Told(value) => {
            let (before, after) = outcome(*value, &[])?;
            ok(before.told != after.map_err(in_row)?.told, "is not told in the status")
        }
        Treatment::Refused(value) => {
            let named = row.0.trim_end_matches(".*");
            let name = named.rsplit('.').next().unwrap_or_default();
            match outcome(*value, &[])?.1 {
                Ok(_) => Err(format!("{path}: is not refused")),
                Err(text) => ok(text.contains(name), &format!("is refused without its name: {text}")),
            }
        }
        Treatment::Inert(reason) => {
            ok(!reason.is_empty(), "is inert without a reason")?;
            let (before, after) = outcome(None, &[])?;
            ok(before.made == after.map_err(in_row)?.made, "changes what is made")
        }
        Treatment::Seen(test) => ok(is_a_test(test), &format!("there is no test called {test}")),
        Treatment::Suite(case) => ok(!case.is_empty(), "names no case of the suite"),
    }
}

/// Whether the integration tests have a function of this name.
fn is_a_test(name: &str) -> bool {
    fn search(folder: &Path, wanted: &str) -> bool {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| {
            if path.is_dir() {
                return search(&path, wanted);
            }
            std::fs::read_to_string(&path).is_ok_and(|text| text.contains(wanted))
        })
    }
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../integration/tests");
    search(&tests, &format!("fn {name}()"))
}

fn check(name: &str, rows: &[Row], base: &Value, run: impl Fn(&Value) -> Result<Outcome, String>) {
    let root = &message::messages()[name];
    let mut paths = Vec::new();
    leaves(root, "", &mut paths);
    let covers = |row: &Row, path: &str| match row.0.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => path == row.0,
    };
    let mut wrong = Vec::new();
    for path in &paths {
        let matching: Vec<&Row> = rows.iter().filter(|row| covers(row, path)).collect();
        match matching.as_slice() {
            [row] => wrong.extend(judge(root, base, &run, path, row).err()),
            [] => wrong.push(format!("{path}: nothing says how it is treated")),
            _ => wrong.push(format!("{path}: has several rows")),
        }
    }
    for row in rows.iter().filter(|row| !paths.iter().any(|path| covers(row, path))) {
        wrong.push(format!("{}: the protocol has no such field", row.0));
    }
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
}

#[test]
fn every_field_of_run_pod_sandbox_is_accounted_for() {
    check("RunPodSandboxRequest", table::POD, &pod(), run_pod_sandbox);
}

#[test]
fn every_field_of_create_container_is_accounted_for() {
    check("CreateContainerRequest", table::CONTAINER, &container(), create_container);
}
