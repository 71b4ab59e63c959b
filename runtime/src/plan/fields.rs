//! Every field of config.json is implemented, inert with its reason, or refused by its name.
//!
//! The fields come from the specification's types, so that a new one fails this test until the table says what becomes
//! of it. What the table says is tried: a field that acts changes the plan or the files of a cgroup, an inert one changes
//! nothing, a refused one is refused by its name. And the test that observes it on a real container exists and has the
//! field's name in it.

mod observe;
mod schema;
mod table;

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use observe::Outcome;
use schema::{Field, Kind};
use table::{Row, TABLE, Treatment};

/// Valid, and with one element in every list that is described by several fields.
fn base() -> Value {
    let ids = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    json!({
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/", "terminal": true,
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 5, "hard": 5}],
        },
        "mounts": [{"destination": "/d", "type": "bind", "source": "/s", "options": ["idmap"],
            "uidMappings": ids, "gidMappings": ids}],
        "hooks": table::HOOKS.iter().map(|kind| ((*kind).to_owned(), json!([{"path": "/h"}]))).collect::<serde_json::Map<_, _>>(),
        "windows": {"layerFolders": ["x"], "devices": [{"id": "a", "idType": "b"}]},
        "vm": {"hypervisor": {"path": "/h"}, "kernel": {"path": "/k"}, "image": {"path": "/i", "format": "raw"}},
        "zos": {"namespaces": [{"type": "pid"}]},
        "linux": {
            "personality": {"domain": "LINUX"},
            "namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "user"}, {"type": "ipc"}, {"type": "time"}],
            "uidMappings": ids, "gidMappings": ids,
            "devices": [{"path": "/dev/d", "type": "c", "major": 1, "minor": 3}],
            "resources": {
                "devices": [{"allow": true, "type": "c", "major": 7, "minor": 7, "access": "rwm"}],
                "hugepageLimits": [{"pageSize": "2MB", "limit": 4}],
                "network": {"priorities": [{"name": "eth0", "priority": 2}]},
                "blockIO": {
                    "weightDevice": [{"major": 8, "minor": 0, "weight": 20, "leafWeight": 30}],
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}],
                    "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 9}],
                    "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 9}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 9}],
                },
            },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "listenerPath": "/l",
                "syscalls": [
                    {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 3, "op": "SCMP_CMP_EQ"}]},
                    {"names": ["rmdir"], "action": "SCMP_ACT_NOTIFY"},
                ],
            },
        },
    })
}

fn outcome(document: &Value) -> Result<Outcome, String> {
    let text = document.to_string();
    let spec: Spec = serde_json::from_str(&text).map_err(|error| format!("{error}"))?;
    observe::outcome(&spec)
}

/// A key that is valid in this map.
fn key(map: &str) -> &'static str {
    match map {
        "timeOffsets" => "boottime",
        "sysctl" => "fs.mqueue.msg_max",
        _ => "key",
    }
}

/// Sets what a path names, in the first element of every list on the way and under one key in every map.
fn set(document: &mut Value, path: &str, value: Value) {
    let mut slot = document;
    for part in path.split('.') {
        let name = part.trim_end_matches("[]").trim_end_matches("{}");
        slot = &mut slot[name];
        if part.ends_with("{}") {
            slot = &mut slot[key(name)];
        }
        for _ in part.matches("[]") {
            if !slot.is_array() {
                *slot = json!([null]);
            }
            slot = &mut slot[0];
        }
    }
    *slot = value;
}

fn made_up(field: &Field) -> Value {
    match field.kind {
        Kind::Bool => json!(true),
        Kind::Number => json!(11),
        Kind::Text => json!("/x"),
        Kind::Choice(names) => json!(names.last()),
    }
}

/// The last name in a path: what a test of the field has to contain.
fn leaf(path: &str) -> &str {
    path.trim_end_matches(['[', ']', '{', '}']).rsplit('.').next().unwrap_or_default()
}

fn judge(field: &Field, row: &Row) -> Result<(), String> {
    let path = field.path.as_str();
    let wrong = |text: String| Err(format!("{path}: {text}"));
    let try_with = |value: Option<&str>, given: &[(&str, &str)]| {
        let parse = |text: &str| {
            serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{text}: {error}"))
        };
        let mut document = base();
        for (path, value) in given {
            set(&mut document, path, parse(value));
        }
        let before = outcome(&document).map_err(|error| format!("{path}: without it: {error}"))?;
        set(&mut document, path, value.map_or_else(|| made_up(field), parse));
        Ok::<_, String>((before, outcome(&document)))
    };
    match &row.1 {
        Treatment::Acts { value, given, test, word } => {
            let (before, after) = try_with(*value, given)?;
            match after {
                Err(error) => return wrong(error),
                Ok(after) if after == before => return wrong("changes nothing".to_owned()),
                Ok(_) => {}
            }
            let word = word.unwrap_or_else(|| leaf(path));
            match observe::body_of(test) {
                None => wrong(format!("there is no test called {test}")),
                Some(body) if !body.contains(word) => wrong(format!("the test {test} has no {word:?} in it")),
                Some(_) => Ok(()),
            }
        }
        Treatment::Limits { value, given, file } => {
            let (before, after) = try_with(*value, given)?;
            let after = after.map_err(|error| format!("{path}: {error}"))?;
            let written = |outcome: &Outcome| outcome.files.get(*file).cloned().unwrap_or_default();
            if written(&before) == written(&after) {
                return wrong(format!("does not reach {file}; written are {:?}", after.files));
            }
            Ok(())
        }
        Treatment::Refused(value) => match try_with(*value, &[])?.1 {
            Ok(_) => wrong("is not refused".to_owned()),
            Err(text) => {
                let plain = path.replace("[]", "").replace("{}", "");
                let names =
                    plain.match_indices('.').map(|(at, _)| &plain[..at]).skip(1).chain([plain.as_str()]);
                match names.into_iter().any(|name| text.starts_with(name)) {
                    true => Ok(()),
                    false => wrong(format!("is refused without its name: {text}")),
                }
            }
        },
        Treatment::Inert(reason) => {
            let (before, after) = try_with(None, &[])?;
            match after {
                _ if reason.is_empty() => wrong("is inert without a reason".to_owned()),
                Err(error) => wrong(error),
                Ok(after) if after != before => wrong("changes something".to_owned()),
                Ok(_) => Ok(()),
            }
        }
    }
}

#[test]
fn every_field_of_config_json_is_accounted_for() {
    let fields = schema::fields::<Spec>();
    assert!(fields.len() > 200, "the types were not walked: {fields:?}");
    let covers = |row: &Row, path: &str| match row.0.strip_suffix(".*") {
        Some(beginning) => path.strip_prefix(beginning).is_some_and(|rest| rest.starts_with(['.', '[', '{'])),
        None => path == row.0,
    };
    let mut wrong = Vec::new();
    for field in &fields {
        let matching: Vec<&Row> = TABLE.iter().filter(|row| covers(row, &field.path)).collect();
        match matching.as_slice() {
            [row] => wrong.extend(judge(field, row).err()),
            [] => wrong.push(format!("{}: nothing says how it is treated", field.path)),
            _ => wrong.push(format!("{}: has several rows", field.path)),
        }
    }
    for row in TABLE.iter().filter(|row| !fields.iter().any(|field| covers(row, &field.path))) {
        wrong.push(format!("{}: the specification has no such field", row.0));
    }
    assert!(wrong.is_empty(), "{} of {} fields:\n{}", wrong.len(), fields.len(), wrong.join("\n"));
}
