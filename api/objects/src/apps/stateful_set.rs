//! StatefulSet.

use serde_json::{Map, Value, json};

use super::rolling::{int_or_percent, is_none, not_more_than_all};
use super::{check_selector, collisions, counts, selector};
use crate::check::{has, invalid_names, list, not_negative, text};
use crate::core::claim;
use crate::error::Kind;
use crate::pod::{
    absent, check_running, check_template, claim_defaults, default, not_more, prepare_template, same,
    selected, template_defaults, template_metadata,
};
use crate::rules::Rules;
use crate::{FieldError, Path, names};

pub(super) const RULES: Rules = Rules { defaults, prepare, create, update, status };

fn prepare(set: &mut Value, _: Option<&Value>) {
    prepare_template(set, "/spec/template/spec");
    // The feature is off.
    if let Some(Value::Object(rolling)) = set.pointer_mut("/spec/updateStrategy/rollingUpdate") {
        rolling.remove("maxUnavailable");
    }
}

fn defaults(set: &mut Value) {
    let Some(spec) = set["spec"].as_object_mut() else { return };
    default(spec, "podManagementPolicy", "OrderedReady");
    absent(spec, "updateStrategy", || json!({}));
    if let Some(strategy) = spec.get_mut("updateStrategy").and_then(Value::as_object_mut) {
        if strategy.get("type").is_none_or(|kind| kind == "") {
            default(strategy, "type", "RollingUpdate");
            absent(strategy, "rollingUpdate", || json!({}));
        }
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut)
        {
            absent(rolling, "partition", || json!(0));
        }
    }
    let retention = "persistentVolumeClaimRetentionPolicy";
    absent(spec, retention, || json!({}));
    if let Some(policy) = spec.get_mut(retention).and_then(Value::as_object_mut) {
        default(policy, "whenDeleted", "Retain");
        default(policy, "whenScaled", "Retain");
    }
    absent(spec, "replicas", || json!(1));
    absent(spec, "revisionHistoryLimit", || json!(10));
    template_defaults(spec.entry("template").or_insert_with(|| json!({})));
    let claims = spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut);
    for claim in claims.into_iter().flatten().filter_map(Value::as_object_mut) {
        claim_template(claim);
    }
}

/// A claim in a template is told as a whole object.
fn claim_template(claim: &mut Map<String, Value>) {
    claim.insert("apiVersion".to_owned(), json!("v1"));
    claim.insert("kind".to_owned(), json!("PersistentVolumeClaim"));
    let spec = claim.entry("spec").or_insert_with(|| json!({}));
    spec.as_object_mut().into_iter().for_each(claim_defaults);
    let status = claim.entry("status").or_insert_with(|| json!({}));
    if let Some(status) = status.as_object_mut() {
        default(status, "phase", "Pending");
    }
}

fn create(set: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_spec(&mut errors, &set["spec"], &Path::ROOT.field("spec"), true);
    errors
}

/// Checks a specification. What cannot change is looked at once, when it is `new`.
fn check_spec(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, new: bool) {
    let at = path.field("podManagementPolicy");
    match text(spec, "podManagementPolicy") {
        "" => errors.push(FieldError::required(&at, "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(FieldError::invalid(&at, other, "must be 'OrderedReady' or 'Parallel'")),
    }
    check_strategy(errors, &spec["updateStrategy"], &path.field("updateStrategy"));
    let (retention, at) =
        (&spec["persistentVolumeClaimRetentionPolicy"], path.field("persistentVolumeClaimRetentionPolicy"));
    for field in ["whenDeleted", "whenScaled"] {
        let policy = text(retention, field);
        if !retention.is_null() && !["Retain", "Delete"].contains(&policy) {
            errors.push(FieldError::not_supported(&at.field(field), policy, &["Retain", "Delete"]));
        }
    }
    let claims = path.field("volumeClaimTemplates");
    for (index, claim) in list(spec, "volumeClaimTemplates").iter().enumerate().filter(|_| new) {
        let at = claims.index(index);
        claim::spec(errors, &claim["spec"], &at.field("spec"));
    }
    counts(errors, spec, path, &["replicas", "minReadySeconds"]);
    if let Some(start) = spec["ordinals"]["start"].as_i64().filter(|start| *start < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.field("ordinals.start"), start, why));
    }
    let service = text(spec, "serviceName");
    if new && !service.is_empty() {
        invalid_names(errors, &path.field("serviceName"), service, names::dns_label);
    }
    check_selector(errors, spec, path, "statefulset");
    let (template, at) = (&spec["template"], path.field("template"));
    match selector(spec) {
        None => errors.push(FieldError::invalid(&path.field("selector"), spec["selector"].clone(), "")),
        Some(selector) => {
            let pod = as_made(spec);
            selected(errors, selector.as_ref(), template, &at);
            check_template(errors, &pod, &at);
            // The API looks at these once more.
            template_metadata(errors, &pod, &at);
        }
    }
    check_running(errors, template, &at, "StatefulSet");
}

/// The template with what the controller puts into pods: a name, and the claims as volumes.
fn as_made(spec: &Value) -> Value {
    let mut template = spec["template"].clone();
    let claims = list(spec, "volumeClaimTemplates");
    let Some(pod) = template["spec"].as_object_mut() else { return template };
    pod.remove("subdomain");
    pod.remove("hostname");
    let name = |claim: &Value| text(&claim["metadata"], "name").to_owned();
    let mut volumes: Vec<Value> = Vec::new();
    for name in claims.iter().map(name) {
        let volume = json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        if !volumes.contains(&volume) {
            volumes.push(volume);
        }
    }
    let given = pod.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let kept = given.filter(|volume| !claims.iter().any(|claim| name(claim) == text(volume, "name")));
    volumes.extend(kept.cloned());
    pod.insert("volumes".to_owned(), Value::Array(volumes));
    template
}

fn check_strategy(errors: &mut Vec<FieldError>, value: &Value, path: &Path) {
    let (rolling, at) = (&value["rollingUpdate"], path.field("rollingUpdate"));
    match text(value, "type") {
        "" => errors.push(FieldError::required(path, "")),
        "OnDelete" if has(value, "rollingUpdate") => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(FieldError::invalid(&at, rolling.clone(), why));
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            not_negative(errors, rolling, &at, "partition");
            if has(rolling, "maxUnavailable") {
                let (most, at) = (&rolling["maxUnavailable"], at.field("maxUnavailable"));
                int_or_percent(errors, most, &at);
                if is_none(most) {
                    errors.push(FieldError::invalid(&at, most.clone(), "cannot be 0"));
                }
                not_more_than_all(errors, most, &at);
            }
        }
        _ => {
            let told = super::rolling::strategy(
                value,
                [("partition", "Partition"), ("maxUnavailable", "MaxUnavailable")],
            );
            let message = format!("Invalid value: {told}: must be 'RollingUpdate' or 'OnDelete'");
            errors.push(FieldError { kind: Kind::Invalid, field: path.to_string(), message });
        }
    }
}

/// What may change in a specification.
const MUTABLE: [&str; 7] = [
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
];

fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("spec");
    check_spec(&mut errors, &new["spec"], &path, false);
    let fixed = |set: &Value| {
        let mut spec = set["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, _| !MUTABLE.contains(&field.as_str()));
        }
        spec
    };
    if !same(&fixed(new), &fixed(old)) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                   'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                   'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden(&path, why));
    }
    errors
}

fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (status, path) = (&new["status"], Path::ROOT.field("status"));
    let fields = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    counts(&mut errors, status, &path, &fields);
    not_more(&mut errors, status, &path, &fields[1..5], "replicas", "status.replicas");
    not_more(&mut errors, status, &path, &["availableReplicas"], "readyReplicas", "status.readyReplicas");
    collisions(&mut errors, new, old, &path);
    errors
}
