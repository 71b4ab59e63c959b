//! Compares authentication, authorization, reviews, standard roles and Pod Security with what a stock API server
//! 1.36.2 answered. Nothing listens and nothing is stored: the rules are asked directly.
//!
//! The recordings are found by `ORLOP_GOLDEN`, or beside the repository; without them every case is a counted skip.
//! What a step is about that is not decided here (objects as they are stored, versions) is not compared.

#[path = "golden_auth/world.rs"]
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::{Value, json};
use world::{Outcome, World};

/// The cases, and how many of their steps are decided here.
const CASES: [(&str, usize); 5] = [
    ("reviews", 43),
    ("rbac/bootstrap", 4),
    ("rbac/escalation", 4),
    ("podsecurity/baseline", 22),
    ("podsecurity/restricted", 22),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = std::env::var_os("ORLOP_GOLDEN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/golden")),
        PathBuf::from,
    );
    let recorded = std::fs::read_to_string(folder.join("cases.jsonl")).ok();
    let trials = CASES.map(|(name, least)| {
        let case = recorded.as_ref().and_then(|text| find(text, name));
        Trial::ignorable_test(name, move || match case {
            None => Ok(Completion::ignored_with("there are no recordings: set ORLOP_GOLDEN")),
            Some(case) => replay(&case, least).map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// A case, with its namespace under a name that is one.
fn find(text: &str, name: &str) -> Option<Value> {
    let start = format!("{{\"case\": \"{name}\"");
    let line =
        text.lines().find(|line| line.starts_with(&start) || line.starts_with(&start.replace(": ", ":")))?;
    let mut case = serde_json::from_str(line).ok()?;
    rename(&mut case);
    Some(case)
}

/// The recording writes its namespace as `NS`, and in headers as it was: `g-` and ten digits.
fn rename(value: &mut Value) {
    match value {
        Value::String(text) => *text = renamed(text),
        Value::Array(list) => list.iter_mut().for_each(rename),
        Value::Object(fields) => fields.values_mut().for_each(rename),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn renamed(text: &str) -> String {
    let own = |word: &str| {
        let digits = word.strip_prefix("g-");
        word == "NS"
            || digits.is_some_and(|rest| rest.len() == 10 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c| !part(c)).unwrap_or(rest.len());
        out.push_str(if own(&rest[..word]) { "ns" } else { &rest[..word] });
        rest = &rest[word..];
        let gap = rest.find(part).unwrap_or(rest.len());
        out.push_str(&rest[..gap]);
        rest = &rest[gap..];
    }
    out
}

fn replay(case: &Value, least: usize) -> Result<(), Failed> {
    let mut world = World::new();
    let (mut compared, mut wrong) = (0, Vec::new());
    for (number, step) in case["steps"].as_array().ok_or("no steps")?.iter().enumerate() {
        let recorded =
            (step["status"].as_u64().unwrap_or_default(), step["warning"].as_str().map(ToOwned::to_owned));
        let (status, warning, body) = match world.answer(step) {
            Outcome::NotDecidedHere => {
                if recorded.0 == 403 || recorded.0 == 401 {
                    wrong.push(format!("step {number}: was refused there: {}", step["answer"]["message"]));
                }
                continue;
            }
            Outcome::Allowed { status, warning } => (status, warning, None),
            Outcome::Answer { status, body } => (status, None, Some(body)),
        };
        compared += 1;
        if (u64::from(status), warning.clone()) != recorded {
            wrong.push(format!("step {number}: {status} {warning:?} instead of {recorded:?}"));
        }
        if let Some(body) = body {
            let (ours, theirs) = (normal(body), normal(step["answer"].clone()));
            if ours != theirs {
                wrong.push(format!("step {number}:\n  ours   {ours}\n  theirs {theirs}"));
            }
        }
    }
    if compared < least {
        wrong.push(format!("only {compared} steps were compared, and not {least}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// An answer without what differs from run to run, and without what is not decided here.
fn normal(mut body: Value) -> Value {
    for (path, placeholder) in [
        ("/metadata/creationTimestamp", "<time>"),
        ("/metadata/uid", "<uid>"),
        ("/status/expirationTimestamp", "<time>"),
        ("/status/token", "<token>"),
        ("/spec/token", "<token>"),
    ] {
        if let Some(value) = body.pointer_mut(path) {
            *value = json!(placeholder);
        }
    }
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
    }
    if let Some(user) = body.pointer_mut("/status/userInfo").and_then(Value::as_object_mut) {
        // The hash of a certificate that was thrown away.
        user.remove("extra");
    }
    for rules in ["resourceRules", "nonResourceRules"] {
        if let Some(list) = body.pointer_mut(&format!("/status/{rules}")).and_then(Value::as_array_mut) {
            // The server of the recording had one role more, of its distributor, which it does not list.
            list.retain(|rule| rule["nonResourceURLs"] != json!(["/.well-known", "/.well-known/*"]));
            list.sort_by_key(ToString::to_string);
        }
    }
    for item in body["items"].as_array_mut().into_iter().flatten() {
        if let Some(metadata) = item["metadata"].as_object_mut() {
            metadata.retain(|key, _| matches!(&key[..], "name" | "namespace" | "labels" | "annotations"));
        }
    }
    body
}
