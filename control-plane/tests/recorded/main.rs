//! What a stock API server answered, beside what ours makes of it: its schemas, and its objects in protobuf.
//!
//! `ORLOP_GOLDEN` names the folder of the recording (`../shared/golden` by default); without it each test is a counted
//! skip.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use control_plane::apiserver::openapi::{OpenApi, Request, Resource};
use control_plane::apiserver::protobuf;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Map, Value};

fn main() -> ExitCode {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let folder = std::env::var_os("ORLOP_GOLDEN").map_or_else(default, PathBuf::from);
    let there = folder.join("schema.json").exists();
    let test = |name: &str, run: fn(&Path)| {
        let folder = folder.clone();
        let name = if there { name.to_owned() } else { format!("{name}: ORLOP_GOLDEN names no recording") };
        Trial::test(name, move || {
            run(&folder);
            Ok::<(), Failed>(())
        })
        .with_ignored_flag(!there)
    };
    let tests = vec![
        test("schemas_are_those_of_a_stock_server", schemas_are_those_of_a_stock_server),
        test("objects_survive_protobuf", objects_survive_protobuf),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn read(folder: &Path, file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join(file)).unwrap()).unwrap()
}

fn schemas_are_those_of_a_stock_server(folder: &Path) {
    let discovery = read(folder, "discovery.json");
    let documents = [&discovery["aggregated"]["/api"], &discovery["aggregated"]["/apis"]];
    let openapi = OpenApi::new("v1.36.2", Resource::from_discovery(documents), || Value::Null);
    let get = |path: &str| -> Value {
        let response = openapi.answer(&Request { path, ..Request::default() }).unwrap();
        serde_json::from_slice(&response.body).unwrap()
    };
    let mut served = Map::new();
    for name in get("/openapi/v3")["paths"].as_object().unwrap().keys() {
        let document = get(&format!("/openapi/v3/{name}"));
        served.extend(document["components"]["schemas"].as_object().unwrap().clone());
    }
    // The recording lost every property that is called so.
    for schema in served.values_mut() {
        if let Some(properties) = schema["properties"].as_object_mut() {
            properties.remove("parameters");
        }
        if schema["properties"].is_null() {
            schema.as_object_mut().unwrap().remove("properties");
        }
    }
    let recorded = read(folder, "schema.json");
    let recorded = recorded.as_object().unwrap();
    let names = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<_>>();
    let difference: Vec<_> = names(&served).symmetric_difference(&names(recorded)).cloned().collect();
    assert!(difference.is_empty(), "{difference:?}");
    for (name, schema) in recorded {
        assert_eq!(served[name], *schema, "{name}");
    }
}

fn objects_survive_protobuf(folder: &Path) {
    let mut kinds = BTreeSet::new();
    for line in fs::read_to_string(folder.join("cases.jsonl")).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        for step in case["steps"].as_array().into_iter().flatten() {
            let mut object = step["answer"].clone();
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            if !protobuf::knows(object["apiVersion"].as_str().unwrap_or_default(), &kind) {
                continue;
            }
            fill_in(&mut object);
            let body = protobuf::encode(&object)
                .unwrap_or_else(|error| panic!("{}: {error}\n{object}", case["case"]));
            let mut again = protobuf::decode(&body, None).unwrap();
            drop_inner_kinds(&mut object);
            settle(&mut again);
            settle(&mut object);
            assert_eq!(again, object, "{}", case["case"]);
            kinds.insert(kind);
        }
    }
    assert!(kinds.len() > 50, "{kinds:?}");
}

/// Puts values where the recording has signs for those that vary.
fn fill_in(value: &mut Value) {
    match value {
        Value::String(text) if text == "<time>" => *text = "2026-01-02T03:04:05Z".to_owned(),
        Value::String(text) if text == "<port>" => *value = Value::from(30000),
        Value::Object(map) => map.values_mut().for_each(fill_in),
        Value::Array(items) => items.iter_mut().for_each(fill_in),
        _ => {}
    }
}

/// Makes equal what the wire cannot tell apart, an empty list and none, and times, whose sign does not say how fine
/// they were.
fn settle(value: &mut Value) {
    match value {
        Value::String(text) if text.ends_with("05.000000Z") => *text = text.replace(".000000", ""),
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
            map.values_mut().for_each(settle);
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        _ => {}
    }
}

/// Objects in objects, those of a list and the claims of a StatefulSet, may tell their kind in JSON; on the wire the
/// outermost alone does.
fn drop_inner_kinds(object: &mut Value) {
    let inner = match object["kind"].as_str() {
        Some("StatefulSet") => &mut object["spec"]["volumeClaimTemplates"],
        Some(kind) if kind.ends_with("List") => &mut object["items"],
        _ => return,
    };
    for item in inner.as_array_mut().into_iter().flatten() {
        drop_inner_kinds(item);
        if let Some(item) = item.as_object_mut() {
            item.remove("kind");
            item.remove("apiVersion");
        }
    }
}
