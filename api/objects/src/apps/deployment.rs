//! Deployment.

use serde_json::{Value, json};

use super::rolling::{int_or_percent, is_none, not_more_than_all, strategy};
use super::{check_replicated, collisions, counts};
use crate::check::{has, immutable, not_negative, text};
use crate::error::Kind;
use crate::pod::{absent, default, not_more, prepare_template, template_defaults};
use crate::rules::Rules;
use crate::{FieldError, Path};

pub(super) const RULES: Rules = Rules {
    defaults,
    prepare: |object, _| prepare_template(object, "/spec/template/spec"),
    create,
    update,
    status,
};

fn defaults(deployment: &mut Value) {
    let Some(spec) = deployment["spec"].as_object_mut() else { return };
    absent(spec, "replicas", || json!(1));
    absent(spec, "strategy", || json!({}));
    if let Some(strategy) = spec.get_mut("strategy").and_then(Value::as_object_mut) {
        default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            absent(strategy, "rollingUpdate", || json!({}));
        }
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut)
        {
            absent(rolling, "maxUnavailable", || json!("25%"));
            absent(rolling, "maxSurge", || json!("25%"));
        }
    }
    absent(spec, "revisionHistoryLimit", || json!(10));
    absent(spec, "progressDeadlineSeconds", || json!(600));
    template_defaults(spec.entry("template").or_insert_with(|| json!({})));
}

fn create(deployment: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&deployment["spec"], Path::ROOT.field("spec"));
    not_negative(&mut errors, spec, &path, "replicas");
    check_replicated(&mut errors, spec, &path);
    check_strategy(&mut errors, &spec["strategy"], &path.field("strategy"));
    counts(&mut errors, spec, &path, &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"]);
    if let Some(deadline) = spec["progressDeadlineSeconds"].as_i64()
        && deadline <= spec["minReadySeconds"].as_i64().unwrap_or(0)
    {
        let at = path.field("progressDeadlineSeconds");
        errors.push(FieldError::invalid(&at, deadline, "must be greater than minReadySeconds"));
    }
    errors
}

fn check_strategy(errors: &mut Vec<FieldError>, value: &Value, path: &Path) {
    let (rolling, at) = (&value["rollingUpdate"], path.field("rollingUpdate"));
    match text(value, "type") {
        "Recreate" => {
            if has(value, "rollingUpdate") {
                let why = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden(&at, why));
            }
        }
        "RollingUpdate" if !has(value, "rollingUpdate") => {
            errors.push(FieldError::required(&at, "this should be defaulted and never be nil"));
        }
        "RollingUpdate" => {
            let unavailable_at = at.field("maxUnavailable");
            let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            int_or_percent(errors, unavailable, &unavailable_at);
            int_or_percent(errors, surge, &at.field("maxSurge"));
            if is_none(unavailable) && is_none(surge) {
                let why = "may not be 0 when `maxSurge` is 0";
                errors.push(FieldError::invalid(&unavailable_at, unavailable.clone(), why));
            }
            not_more_than_all(errors, unavailable, &unavailable_at);
        }
        _ => {
            let told = strategy(value, [("maxUnavailable", "MaxUnavailable"), ("maxSurge", "MaxSurge")]);
            let allowed = r#"supported values: "Recreate", "RollingUpdate""#;
            let message = format!("Unsupported value: {told}: {allowed}");
            errors.push(FieldError { kind: Kind::NotSupported, field: path.to_string(), message });
        }
    }
}

fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(new);
    immutable(&mut errors, &new["spec"], &old["spec"], &Path::ROOT.field("spec"), "selector");
    errors
}

fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (status, path) = (&new["status"], Path::ROOT.field("status"));
    let fields = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    counts(&mut errors, status, &path, &fields);
    not_more(&mut errors, status, &path, &fields[2..5], "replicas", "status.replicas");
    not_more(&mut errors, status, &path, &["availableReplicas"], "readyReplicas", "readyReplicas");
    collisions(&mut errors, new, old, &path);
    errors
}
