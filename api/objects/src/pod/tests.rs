//! Each rule of a pod with what it accepts and what it refuses.

use serde_json::{Value, json};

use super::RULES;
use crate::trial::{Row, created};

mod changes;
mod containers;
mod scheduling;
mod spec;
mod template;
mod volumes;

fn pod() -> Value {
    json!({"metadata": {"name": "a"}, "spec": {
        "serviceAccountName": "s",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v"}, {"name": "p", "persistentVolumeClaim": {"claimName": "p"}}],
    }})
}

/// Rows whose fields and messages leave out what stands before each.
fn rows_at(base: &Value, place: &str, field: &str, rows: &[Row<'_>]) {
    for (at, good, bad, said) in rows {
        let said: Vec<String> = said.iter().map(|said| format!("{field}{said}")).collect();
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        created(&RULES, base, &[(&format!("{place}{at}"), good.clone(), bad.clone(), &said)]);
    }
}

const LABEL: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
