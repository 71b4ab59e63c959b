//! The tables of the recorded objects: cells and columns, whatever the rest of the server does with the objects.

use std::path::Path;

use control_plane::apiserver::kinds::{Registry, Resource};
use control_plane::apiserver::table;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::normal;

/// A recorded GET that is followed by one of the same path as a table.
pub(crate) fn run(folder: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(folder.join("cases.jsonl")).map_err(|e| e.to_string())?;
    let kinds = Registry::builtin().map_err(|e| e.to_string())?.table();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for line in text.lines() {
        // Where an object names its own uid it must look like one.
        let line = line.replace("<uid>", "00000000-0000-0000-0000-000000000000");
        let case: Value = serde_json::from_str(&line).map_err(|e| e.to_string())?;
        let name = case["case"].as_str().unwrap_or_default();
        for pair in case["steps"].as_array().map_or(&[][..], Vec::as_slice).windows(2) {
            let same = pair.iter().all(|step| step["method"] == "GET" && step["path"] == pair[0]["path"]);
            let (object, theirs) = (&pair[0]["answer"], &pair[1]["answer"]);
            if !same || theirs["kind"] != "Table" || object["kind"] == "Table" {
                continue;
            }
            let parts: Vec<&str> =
                pair[0]["path"].as_str().unwrap_or_default().trim_matches('/').split('/').collect();
            let Some(resource) = resource(&kinds, &parts) else { return Err(format!("{name}: {parts:?}")) };
            let row = table::row(&resource.kind, object, Timestamp::now());
            let mut ours = json!({"columnDefinitions": table::columns(&resource.kind), "cells": row.cells});
            ours["conditions"] = row.conditions.unwrap_or_default();
            let theirs = json!({
                "columnDefinitions": theirs["columnDefinitions"],
                "cells": aged(&theirs["rows"][0]["cells"]),
                "conditions": theirs["rows"][0]["conditions"],
            });
            compared += 1;
            let differences = normal::differences(&ours, &theirs, "\0");
            wrong.extend(differences.into_iter().map(|difference| format!("{name}{difference}")));
        }
    }
    if compared < 40 {
        wrong.push(format!("only {compared} tables were compared"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The recorded object's times are placeholders, so their age is unknown here.
fn aged(cells: &Value) -> Value {
    let cells = cells.as_array().into_iter().flatten();
    cells.map(|cell| if *cell == "<age>" { "<unknown>".into() } else { cell.clone() }).collect()
}

fn resource(kinds: &control_plane::apiserver::kinds::Table, parts: &[&str]) -> Option<Resource> {
    let (group, version, rest) = match parts {
        ["api", version, rest @ ..] => ("", version, rest),
        ["apis", group, version, rest @ ..] => (*group, version, rest),
        _ => return None,
    };
    let resource = match rest {
        ["namespaces", _, resource, ..] => resource,
        [resource, ..] => resource,
        [] => return None,
    };
    kinds.find(group, version, resource).cloned()
}
