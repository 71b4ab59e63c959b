//! DaemonSet.

use serde_json::{Value, json};

use super::rolling::{int_or_percent, is_none, not_more_than_all, strategy};
use super::{collisions, counts, not_all, selector};
use crate::check::{has, immutable, label_selector, not_negative, text};
use crate::error::Kind;
use crate::pod::{
    absent, check_running, check_template, default, prepare_template, same, selected, template_defaults,
};
use crate::rules::Rules;
use crate::{FieldError, Path};

/// Counts the changes of the template, in the annotation that is left of a field.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) const RULES: Rules = Rules { defaults, prepare, create, update, status };

fn defaults(set: &mut Value) {
    if let Some(meta) = set["metadata"].as_object_mut() {
        absent(meta, "annotations", || json!({}));
        let annotations = meta.get_mut("annotations").and_then(Value::as_object_mut);
        annotations.into_iter().for_each(|map| absent(map, TEMPLATE_GENERATION, || json!("0")));
    }
    let Some(spec) = set["spec"].as_object_mut() else { return };
    absent(spec, "updateStrategy", || json!({}));
    if let Some(strategy) = spec.get_mut("updateStrategy").and_then(Value::as_object_mut) {
        default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            absent(strategy, "rollingUpdate", || json!({}));
        }
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut)
        {
            absent(rolling, "maxUnavailable", || json!(1));
            absent(rolling, "maxSurge", || json!(0));
        }
    }
    absent(spec, "revisionHistoryLimit", || json!(10));
    template_defaults(spec.entry("template").or_insert_with(|| json!({})));
}

/// Counts how often the template changed; a writer cannot.
fn prepare(set: &mut Value, old: Option<&Value>) {
    prepare_template(set, "/spec/template/spec");
    let count = |set: &Value| {
        let told = set["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
        told.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0)
    };
    let now = match old {
        None => count(set).max(1),
        Some(old) => {
            let changed = !same(&set["spec"]["template"], &old["spec"]["template"]);
            count(old) + i64::from(changed)
        }
    };
    set["metadata"]["annotations"][TEMPLATE_GENERATION] = json!(now.to_string());
}

fn create(set: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&set["spec"], Path::ROOT.field("spec"));
    let (template, at) = (&spec["template"], path.field("template"));
    label_selector(&mut errors, &spec["selector"], &path.field("selector"));
    if let Some(selector) = selector(spec) {
        selected(&mut errors, selector.as_ref(), template, &at);
    }
    not_all(&mut errors, spec, &path, "daemonset");
    check_template(&mut errors, template, &at);
    check_running(&mut errors, template, &at, "DaemonSet");
    not_negative(&mut errors, spec, &path, "minReadySeconds");
    check_strategy(&mut errors, &spec["updateStrategy"], &path.field("updateStrategy"));
    not_negative(&mut errors, spec, &path, "revisionHistoryLimit");
    errors
}

fn check_strategy(errors: &mut Vec<FieldError>, value: &Value, path: &Path) {
    let (rolling, at) = (&value["rollingUpdate"], path.field("rollingUpdate"));
    match text(value, "type") {
        "OnDelete" => {}
        "RollingUpdate" if !has(value, "rollingUpdate") => errors.push(FieldError::required(&at, "")),
        "RollingUpdate" => {
            let (unavailable_at, surge_at) = (at.field("maxUnavailable"), at.field("maxSurge"));
            let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            int_or_percent(errors, unavailable, &unavailable_at);
            int_or_percent(errors, surge, &surge_at);
            not_more_than_all(errors, unavailable, &unavailable_at);
            not_more_than_all(errors, surge, &surge_at);
            match (is_none(unavailable), is_none(surge)) {
                (false, false) => {
                    let why = "may not be set when maxUnavailable is non-zero";
                    errors.push(FieldError::invalid(&surge_at, surge.clone(), why));
                }
                (true, true) => {
                    errors.push(FieldError::required(&unavailable_at, "cannot be 0 when maxSurge is 0"));
                }
                _ => {}
            }
        }
        _ => {
            let told = strategy(value, [("maxUnavailable", "MaxUnavailable"), ("maxSurge", "MaxSurge")]);
            let allowed = r#"supported values: "RollingUpdate", "OnDelete""#;
            let message = format!("Unsupported value: {told}: {allowed}");
            errors.push(FieldError { kind: Kind::NotSupported, field: path.to_string(), message });
        }
    }
}

fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    immutable(&mut errors, &new["spec"], &old["spec"], &Path::ROOT.field("spec"), "selector");
    errors.extend(create(new));
    errors
}

fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("status");
    let fields = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    counts(&mut errors, &new["status"], &path, &fields);
    collisions(&mut errors, new, old, &path);
    errors
}
