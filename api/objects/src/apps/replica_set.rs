//! ReplicaSet.

use serde_json::{Value, json};

use super::{check_replicated, counts};
use crate::check::immutable;
use crate::pod::{absent, not_more, prepare_template, template_defaults};
use crate::rules::Rules;
use crate::{FieldError, Path};

pub(super) const RULES: Rules = Rules {
    defaults,
    prepare: |object, _| prepare_template(object, "/spec/template/spec"),
    create,
    update,
    status: |new, _| status(new),
};

fn defaults(set: &mut Value) {
    let Some(spec) = set["spec"].as_object_mut() else { return };
    absent(spec, "replicas", || json!(1));
    template_defaults(spec.entry("template").or_insert_with(|| json!({})));
}

fn create(set: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&set["spec"], Path::ROOT.field("spec"));
    counts(&mut errors, spec, &path, &["replicas", "minReadySeconds"]);
    check_replicated(&mut errors, spec, &path);
    errors
}

fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(new);
    immutable(&mut errors, &new["spec"], &old["spec"], &Path::ROOT.field("spec"), "selector");
    errors
}

fn status(set: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (status, path) = (&set["status"], Path::ROOT.field("status"));
    let fields = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ];
    counts(&mut errors, status, &path, &fields);
    not_more(&mut errors, status, &path, &fields[1..4], "replicas", "status.replicas");
    not_more(&mut errors, status, &path, &["availableReplicas"], "readyReplicas", "readyReplicas");
    errors
}
