//! The Pod Security Standards that a namespace's labels ask for: pods are refused, their makers warned.

use serde_json::Value;

use super::super::target::Write;
use crate::apiserver::auth::podsecurity::{Policy, check_pod, check_template, is_significant, template};
use crate::apiserver::status::Status;

/// Holds an object against the policy of its namespace; the warnings for who made it are returned.
pub(super) async fn check(
    write: &Write<'_>,
    old: Option<&Value>,
    new: &Value,
) -> Result<Vec<String>, Status> {
    let kind = write.resource.kind.kind.as_str();
    if write.resource.qualified() == "namespaces" {
        return labels(write, old, new).map(|()| Vec::new());
    }
    let Some((metadata, spec)) = template(kind, new) else { return Ok(Vec::new()) };
    if let Some((_, before)) = old.and_then(|old| template(kind, old))
        && (before == spec || (kind == "Pod" && !is_significant(before, spec)))
    {
        return Ok(Vec::new());
    }
    let labels = write.namespace().await?.map_or(Value::Null, |found| found["metadata"]["labels"].clone());
    let (policy, _) = Policy::from_labels(&labels);
    let findings = match kind {
        "Pod" => check_pod(&policy, metadata, spec),
        _ => check_template(&policy, metadata, spec),
    };
    if let Some(why) = findings.refusal {
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        return Err(Status::forbidden("", "pods", name, &why));
    }
    Ok(findings.warning.into_iter().collect())
}

/// A namespace's labels must make sense, unless they made none before.
fn labels(write: &Write<'_>, old: Option<&Value>, new: &Value) -> Result<(), Status> {
    let (_, errors) = Policy::from_labels(&new["metadata"]["labels"]);
    let before = old.map(|old| Policy::from_labels(&old["metadata"]["labels"]).1).unwrap_or_default();
    let new: Vec<_> = errors.into_iter().filter(|error| !before.contains(error)).collect();
    if new.is_empty() { Ok(()) } else { Err(write.invalid(&write.context.target.name, new)) }
}
