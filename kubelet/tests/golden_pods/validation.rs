//! Defaulting and validation against an API server's answers to a pod that is wrong in one place at a time.

use std::collections::BTreeSet;
use std::path::Path;

use api_objects::pod::{set_defaults, validate};
use serde_json::Value;

use crate::data;

/// What a node has nothing to do with, and what admission fills in before an API server looks at it.
const ELSEWHERE: [&str; 2] = ["metadata.finalizers", "spec.serviceAccountName"];

/// Every step whose refusals differ in reason, field or words.
pub(crate) fn check(golden: &Path) -> Vec<String> {
    let cases = data::lines(&golden.join("cases.jsonl"));
    let case = cases.iter().find(|case| case["case"] == "invalid/Pod").expect("the case is recorded");
    let mut wrong = Vec::new();
    let mut compared = 0;
    for step in case["steps"].as_array().into_iter().flatten() {
        let path = step["mutate"][0].as_str().unwrap_or_default();
        // 400 is strict decoding, which has no causes; 403 is admission.
        let counts = matches!(step["status"].as_u64(), Some(201 | 422));
        if !counts || ELSEWHERE.iter().any(|prefix| path.starts_with(prefix)) {
            continue;
        }
        let mutation = step["mutate"][1].as_str().unwrap_or_default();
        let mut pod = case["object"].clone();
        mutate(&mut pod, path, mutation, &case["mutations"][mutation]);
        set_defaults(&mut pod);
        let ours: BTreeSet<_> = validate(&pod)
            .into_iter()
            .map(|error| format!("{} {}: {}", error.kind.reason(), error.field, error.message))
            .collect();
        let theirs: BTreeSet<_> = step["causes"].as_array().into_iter().flatten().map(cause).collect();
        compared += 1;
        if ours != theirs {
            wrong.push(format!("{path} {mutation}:\n  ours  {ours:?}\n  stock {theirs:?}"));
        }
    }
    if compared < 100 {
        wrong.push(format!("only {compared} steps were compared"));
    }
    wrong
}

fn cause(cause: &Value) -> String {
    let text = |field: &str| cause[field].as_str().unwrap_or_default();
    format!("{} {}: {}", text("reason"), text("field"), text("message"))
}

/// Puts a value at a path, or drops what is there.
fn mutate(pod: &mut Value, path: &str, mutation: &str, value: &Value) {
    let mut steps: Vec<_> = path.split('.').collect();
    let last = steps.pop().unwrap_or_default();
    let mut at = pod;
    for step in steps {
        at = match step.parse::<usize>() {
            Ok(index) if at.is_array() => &mut at[index],
            _ => &mut at[step],
        };
    }
    match (last.parse::<usize>(), mutation) {
        (Ok(index), "drop") if at.is_array() => {
            at.as_array_mut().expect("it is a list").remove(index);
        }
        (Ok(index), _) if at.is_array() => at[index] = value.clone(),
        (_, "drop") => {
            at.as_object_mut().expect("it is an object").remove(last);
        }
        _ => at[last] = value.clone(),
    }
}
