//! Templates of pods: what a PodTemplate and a ReplicationController carry, and every other workload.

use serde_json::{Value, json};

use super::{annotations, defaults, prepare_template, spec};
use crate::check::{has, labels, list, not_negative, text};
use crate::rules::Rules;
use crate::selector::LabelSelector;
use crate::{FieldError, Path};

/// Fills in a template.
pub(crate) fn template_defaults(template: &mut Value) {
    if let Some(template) = template.as_object_mut() {
        let spec = template.entry("spec").or_insert_with(|| json!({}));
        defaults::template(spec);
    }
}

/// Checks a template whose defaults are filled in.
pub(crate) fn check_template(errors: &mut Vec<FieldError>, template: &Value, path: &Path) {
    let (meta, spec) = (&template["metadata"], &template["spec"]);
    metadata(errors, template, path);
    let at = path.field("spec");
    spec::check(errors, spec, &at, None);
    annotations::agree(errors, meta, spec, &at);
    if !list(spec, "ephemeralContainers").is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(&at.field("ephemeralContainers"), why));
    }
}

/// Checks the labels and annotations of a template, which the API tells of as if they stood in the template itself.
pub(crate) fn metadata(errors: &mut Vec<FieldError>, template: &Value, path: &Path) {
    let meta = &template["metadata"];
    labels(errors, &meta["labels"], &path.field("labels"));
    let at = path.field("annotations");
    annotations::form(errors, meta, &at);
    annotations::check(errors, meta, &template["spec"], &at);
}

/// Checks the template of what keeps its pods running for good; `kind` is what it is.
pub(crate) fn check_running(errors: &mut Vec<FieldError>, template: &Value, path: &Path, kind: &str) {
    let (spec, at) = (&template["spec"], path.field("spec"));
    let policy = text(spec, "restartPolicy");
    if policy != "Always" {
        errors.push(FieldError::not_supported(&at.field("restartPolicy"), policy, &["Always"]));
    }
    if has(spec, "activeDeadlineSeconds") {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(&at.field("activeDeadlineSeconds"), &why));
    }
}

/// A selector must find the pods of its own template. Where there is none, it finds nothing.
pub(crate) fn selected(
    errors: &mut Vec<FieldError>,
    selector: Option<&LabelSelector>,
    template: &Value,
    path: &Path,
) {
    let labels = &template["metadata"]["labels"];
    if !selector.is_some_and(|selector| selector.matches_object(labels)) {
        let at = path.field("metadata");
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(&at.field("labels"), labels.clone(), why));
    }
}

/// PodTemplate.
pub(crate) const POD_TEMPLATE: Rules = Rules {
    defaults: |object| {
        if has(object, "template") {
            template_defaults(&mut object["template"]);
        }
    },
    prepare: |object, _| prepare_template(object, "/template/spec"),
    create: pod_template,
    update: |new, _| pod_template(new),
    ..Rules::NONE
};

fn pod_template(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_template(&mut errors, &object["template"], &Path::ROOT.field("template"));
    errors
}

/// ReplicationController.
pub(crate) const REPLICATION_CONTROLLER: Rules = Rules {
    defaults: controller_defaults,
    prepare: |object, _| prepare_template(object, "/spec/template/spec"),
    create: controller,
    update: |new, _| controller(new),
    status: |new, _| controller_status(new),
};

fn controller_defaults(object: &mut Value) {
    let none = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    if labels.is_object() {
        if none(&object["spec"]["selector"]) {
            object["spec"]["selector"] = labels.clone();
        }
        if none(&object["metadata"]["labels"]) && !none(&labels) {
            object["metadata"]["labels"] = labels;
        }
    }
    let Some(spec) = object["spec"].as_object_mut() else { return };
    defaults::absent(spec, "replicas", || json!(1));
    if let Some(template) = spec.get_mut("template").filter(|template| !template.is_null()) {
        template_defaults(template);
    }
}

fn controller(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&object["spec"], Path::ROOT.field("spec"));
    not_negative(&mut errors, spec, &path, "minReadySeconds");
    let selector = LabelSelector::from_map(&spec["selector"]);
    if selector.is_empty() {
        errors.push(FieldError::required(&path.field("selector"), ""));
    }
    not_negative(&mut errors, spec, &path, "replicas");
    let at = path.field("template");
    if !has(spec, "template") {
        errors.push(FieldError::required(&at, ""));
        return errors;
    }
    let template = &spec["template"];
    selected(&mut errors, Some(&selector), template, &at);
    check_template(&mut errors, template, &at);
    check_running(&mut errors, template, &at, "ReplicationController");
    errors
}

fn controller_status(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (status, path) = (&object["status"], Path::ROOT.field("status"));
    let counts =
        ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    for field in counts {
        not_negative(&mut errors, status, &path, field);
    }
    not_more(&mut errors, status, &path, &counts[1..4], "replicas", "status.replicas");
    not_more(&mut errors, status, &path, &["availableReplicas"], "readyReplicas", "readyReplicas");
    errors
}

/// Refuses counts that are larger than one that they are part of, which the API tells of as `told`.
pub(crate) fn not_more(
    errors: &mut Vec<FieldError>,
    status: &Value,
    path: &Path,
    parts: &[&str],
    whole: &str,
    told: &str,
) {
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    for part in parts.iter().filter(|part| count(part) > count(whole)) {
        let why = format!("cannot be greater than {told}");
        errors.push(FieldError::invalid(&path.field(part), count(part), &why));
    }
}
