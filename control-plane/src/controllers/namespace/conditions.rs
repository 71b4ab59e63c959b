//! What a namespace says of its going.

use api_objects::time;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Left;
use crate::client::Refused;
use crate::controllers::conditions;

/// The conditions in their order, with what each says when all is well.
const WELL: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

/// The status as it is to be; none when it says so already.
pub(super) fn update(before: &Value, left: &Left, failures: &[Refused], now: Timestamp) -> Option<Value> {
    let mut status = before.clone();
    status["phase"] = "Terminating".into();
    for (name, reason, message) in WELL {
        let (yes, reason, message) = match trouble(name, left, failures) {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", reason, message.to_owned()),
        };
        let known = conditions::get(&status, name);
        let since =
            known.filter(|known| known["status"] == yes).map(|known| known["lastTransitionTime"].clone());
        let since = since.unwrap_or_else(|| time::format(now).into());
        let condition = json!({"type": name, "status": yes, "reason": reason, "message": message, "lastTransitionTime": since});
        match status["conditions"].as_array_mut().and_then(|all| all.iter_mut().find(|c| c["type"] == name)) {
            Some(there) => *there = condition,
            None => conditions::put(&mut status, condition),
        }
    }
    (status != *before).then_some(status)
}

fn trouble(name: &str, left: &Left, failures: &[Refused]) -> Option<(&'static str, String)> {
    match name {
        "NamespaceDeletionContentFailure" if !failures.is_empty() => {
            let mut why: Vec<&str> = failures.iter().map(|refused| refused.message.as_str()).collect();
            why.sort_unstable();
            let count = failures.len();
            let message =
                format!("Failed to delete all resource types, {count} remaining: {}", why.join(", "));
            Some(("ContentDeletionFailed", message))
        }
        "NamespaceContentRemaining" if !left.content.is_empty() => {
            let remain = left.content.iter().map(|(kind, (count, _))| {
                format!("{}.{} has {count} resource instances", kind.resource, kind.group)
            });
            let mut remain: Vec<String> = remain.collect();
            remain.sort();
            Some(("SomeResourcesRemain", format!("Some resources are remaining: {}", remain.join(", "))))
        }
        "NamespaceFinalizersRemaining" if !left.finalizers.is_empty() => {
            let remain = left
                .finalizers
                .iter()
                .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"));
            let remain: Vec<String> = remain.collect();
            let message =
                format!("Some content in the namespace has finalizers remaining: {}", remain.join(", "));
            Some(("SomeFinalizersRemain", message))
        }
        _ => None,
    }
}
