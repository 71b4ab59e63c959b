//! Containers that ended and do not run again: a status cannot take that back.

use serde_json::Value;

use crate::check::{has, list, text};
use crate::{FieldError, Path};

/// Refuses the statuses in which a container of this list runs again that should not.
///
/// ```text
/// waiting ──▶ running ──▶ terminated      the kubelet's, which tells what it sees
///    ▲                        │
///    └────────────────────────┘           only where the policies of container and pod say so
/// ```
pub(super) fn check(
    errors: &mut Vec<FieldError>,
    status: &Value,
    before: &Value,
    spec: &Value,
    (statuses, containers): (&str, &str),
    path: &Path,
) {
    let ephemeral = containers == "ephemeralContainers";
    if !ephemeral && all_may_restart(spec) {
        return;
    }
    for (index, old) in list(before, statuses).iter().enumerate() {
        let ended = &old["state"]["terminated"];
        let name = text(old, "name");
        let runs_again = |new: &Value| text(new, "name") == name && !has(&new["state"], "terminated");
        if ended.is_null() || !list(status, statuses).iter().any(runs_again) {
            continue;
        }
        let container = list(spec, containers).iter().find(|container| text(container, "name") == name);
        let code = ended["exitCode"].as_i64().unwrap_or(0);
        let allowed = !ephemeral && container.is_some_and(|container| restarts(container, spec, code));
        if !allowed {
            let why = "may not be transitioned to non-terminated state";
            let at = path.index(index);
            errors.push(FieldError::forbidden(&at.field("state"), why));
        }
    }
}

/// A container that ends can make all of them start again.
fn all_may_restart(spec: &Value) -> bool {
    let containers = ["initContainers", "containers"].iter().flat_map(|field| list(spec, field));
    let mut rules = containers.flat_map(|container| list(container, "restartPolicyRules"));
    rules.any(|rule| text(rule, "action") == "RestartAllContainers")
}

fn restarts(container: &Value, spec: &Value, code: i64) -> bool {
    let matches = |rule: &&Value| {
        let codes = &rule["exitCodes"];
        let named = list(codes, "values").iter().any(|value| value.as_i64() == Some(code));
        match text(codes, "operator") {
            "In" => named,
            "NotIn" => !named,
            _ => false,
        }
    };
    if has(container, "restartPolicy")
        && list(container, "restartPolicyRules").iter().any(|rule| matches(&rule))
    {
        return true;
    }
    let own = text(container, "restartPolicy");
    match if own.is_empty() { text(spec, "restartPolicy") } else { own } {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}
