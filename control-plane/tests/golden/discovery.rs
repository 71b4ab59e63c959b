//! The rows of the kinds and all discovery documents, whole.

use std::path::Path;
use std::process::Command;

use control_plane::apiserver::discovery;
use control_plane::apiserver::kinds::{Registry, Table};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::{normal, recorded};

pub(crate) fn tests() -> Vec<Trial> {
    vec![
        recorded::test("the_rows_of_the_kinds_are_as_generated", |folder| rows(&folder)),
        recorded::test("every_discovery_document_agrees", |folder| documents(&folder)),
    ]
}

fn rows(folder: &Path) -> Result<(), String> {
    let generator = recorded::root().join("hack/kinds");
    let output = Command::new(generator).arg("--check").env("ORLOP_GOLDEN", folder).output();
    let output = output.map_err(|e| format!("hack/kinds: {e}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn document(table: &Table, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["api"] => Some(discovery::versions(table, "<address>")),
        ["api", version] => discovery::resources(table, "", version),
        ["apis"] => Some(discovery::group_list(table)),
        ["apis", group] => discovery::group(table, group),
        ["apis", group, version] => discovery::resources(table, group, version),
        _ => None,
    }
}

fn documents(folder: &Path) -> Result<(), String> {
    let recorded = recorded::json(folder, "discovery.json")?;
    let table = Registry::builtin().map_err(|e| e.to_string())?.table();
    let mut wrong = Vec::new();
    let mut check = |path: &str, ours: Option<Value>, theirs: &Value| {
        let Some(ours) = ours else { return wrong.push(format!("{path}: not there")) };
        wrong.extend(normal::differences(&ours, theirs, "\0").into_iter().map(|d| format!("{path}{d}")));
    };
    let mut count = 0;
    for (path, theirs) in recorded["plain"].as_object().into_iter().flatten() {
        if path != "/version" {
            check(path, document(&table, path), theirs);
            count += 1;
        }
    }
    for (path, theirs) in recorded["aggregated"].as_object().into_iter().flatten() {
        check(path, Some(discovery::aggregated(&table, path == "/api", "v2")), theirs);
        count += 1;
    }
    if count < 40 {
        wrong.push(format!("only {count} documents were compared"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
