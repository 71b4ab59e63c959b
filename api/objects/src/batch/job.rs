//! Job.

use serde_json::{Value, json};

use super::{failure, holds, indexes, is_indexed, job_status};
use crate::check::{IMMUTABLE, has, immutable, invalid_names, label_selector, list, not_negative, text};
use crate::pod::{absent, check_template, default, prepare_template, same, selected, template_defaults};
use crate::rules::Rules;
use crate::selector::LabelSelector;
use crate::{FieldError, Path, check, names};

pub(super) const RULES: Rules = Rules { defaults, prepare, create, update, status: job_status::check };

/// What the labels of a Job's pods are called, before they had a domain and since.
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

const MAX_MANAGER: usize = 63;
const MAX_PARALLELISM: i64 = 100_000;
const MAX_FAILED: i64 = 100_000;
/// Above this many completions, limits per index are told.
const MANY_COMPLETIONS: i64 = 100_000;
const MANY_PARALLELISM: i64 = 10_000;
const MANY_FAILED: i64 = 10_000;

fn defaults(job: &mut Value) {
    let labels = job["spec"]["template"]["metadata"]["labels"].clone();
    let none = job["metadata"]["labels"].as_object().is_none_or(serde_json::Map::is_empty);
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) && none {
        job["metadata"]["labels"] = labels;
    }
    spec_defaults(&mut job["spec"]);
    let Some(spec) = job["spec"].as_object_mut() else { return };
    if !spec.get("parallelism").is_some_and(Value::is_i64) {
        absent(spec, "completions", || json!(1));
        absent(spec, "parallelism", || json!(1));
    }
    if spec.get("backoffLimitPerIndex").is_some_and(Value::is_i64) {
        absent(spec, "backoffLimit", || json!(i32::MAX));
    }
    absent(spec, "backoffLimit", || json!(6));
    absent(spec, "completionMode", || json!("NonIndexed"));
    absent(spec, "suspend", || json!(false));
    let policy = if spec.get("podFailurePolicy").is_some_and(Value::is_object) {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    absent(spec, "podReplacementPolicy", || json!(policy));
    absent(spec, "manualSelector", || json!(false));
}

/// What is filled in wherever a Job is specified, also where it is only a template.
pub(super) fn spec_defaults(spec: &mut Value) {
    let rules = spec.pointer_mut("/podFailurePolicy/rules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        let patterns = rule.get_mut("onPodConditions").and_then(Value::as_array_mut);
        for pattern in patterns.into_iter().flatten().filter_map(Value::as_object_mut) {
            default(pattern, "status", "True");
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        template_defaults(spec.entry("template").or_insert_with(|| json!({})));
    }
}

/// Gives a new Job the selector and the labels by which it knows its pods, unless it brings its own.
fn prepare(job: &mut Value, old: Option<&Value>) {
    prepare_template(job, "/spec/template/spec");
    if old.is_some() || job["spec"]["manualSelector"] == true {
        return;
    }
    let name = json!(text(&job["metadata"], "name"));
    let uid = job["metadata"]["uid"].clone();
    let labels = job["spec"]["template"]["metadata"]["labels"].take();
    let mut labels = match labels {
        Value::Object(labels) => labels,
        _ => serde_json::Map::new(),
    };
    NAME_LABELS.iter().for_each(|label| absent(&mut labels, label, || name.clone()));
    UID_LABELS.iter().for_each(|label| absent(&mut labels, label, || uid.clone()));
    let labels = Value::Object(labels);
    // Upstream copies them when it reads what is stored, and so says only once what is wrong with them.
    let mut wrong = Vec::new();
    check::labels(&mut wrong, &labels, &Path::ROOT);
    if wrong.is_empty() && job["metadata"]["labels"].as_object().is_none_or(serde_json::Map::is_empty) {
        job["metadata"]["labels"] = labels.clone();
    }
    job["spec"]["template"]["metadata"]["labels"] = labels;
    let selector = &mut job["spec"]["selector"]["matchLabels"];
    if !selector.is_object() {
        *selector = json!({});
    }
    selector.as_object_mut().into_iter().for_each(|map| absent(map, UID_LABELS[1], || uid.clone()));
}

fn create(job: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    generated(&mut errors, job, true);
    check_spec(&mut errors, &job["spec"], &Path::ROOT.field("spec"));
    pods_names(&mut errors, job);
    errors
}

/// The labels and the selector are those that a Job is given, unless it brings its own.
fn generated(errors: &mut Vec<FieldError>, job: &Value, with_domain: bool) {
    let (spec, meta) = (&job["spec"], &job["metadata"]);
    if spec["manualSelector"] == true || !has(spec, "selector") {
        return;
    }
    let uid = text(meta, "uid");
    let path = Path::ROOT.field("spec");
    let template = path.field("template");
    let template = template.field("metadata");
    let labels_at = template.field("labels");
    let mut expected = serde_json::Map::new();
    let labels = &spec["template"]["metadata"]["labels"];
    for domain in 0..=usize::from(with_domain) {
        for (label, value) in [(UID_LABELS[domain], uid), (NAME_LABELS[domain], text(meta, "name"))] {
            expected.insert(label.to_owned(), json!(value));
            match labels[label].as_str() {
                None => {
                    let why = format!("must be '{value}'");
                    errors.push(FieldError::required(&labels_at.key(label), &why));
                }
                Some(found) if found != value => {
                    let why = format!("must be '{value}'");
                    errors.push(FieldError::invalid(&labels_at.key(label), labels.clone(), &why));
                }
                Some(_) => {}
            }
        }
    }
    let selector = LabelSelector::from_object(&spec["selector"]);
    if selector.is_ok_and(|selector| !selector.matches_object(&Value::Object(expected))) {
        let why = "`selector` not auto-generated";
        errors.push(FieldError::invalid(&path.field("selector"), spec["selector"].clone(), why));
    }
}

/// The pods of an indexed Job have its name and their index as host name.
fn pods_names(errors: &mut Vec<FieldError>, job: &Value) {
    let count = job["spec"]["completions"].as_i64().unwrap_or(0);
    if !is_indexed(&job["spec"]) || count <= 0 {
        return;
    }
    let name = text(&job["metadata"], "name");
    let last = format!("{name}-{}", count - 1);
    if !names::dns_label(&last).is_empty() {
        let why = format!("will not able to create pod with invalid DNS label: {last}");
        let at = Path::ROOT.field("metadata");
        errors.push(FieldError::invalid(&at.field("name"), name, &why));
    }
}

fn check_spec(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    check_template_spec(errors, spec, path);
    let selector = &spec["selector"];
    if has(spec, "selector") {
        label_selector(errors, selector, &path.field("selector"));
    } else {
        errors.push(FieldError::required(&path.field("selector"), ""));
        selected(errors, None, &spec["template"], &path.field("template"));
    }
    if let Ok(selector) = LabelSelector::from_object(selector) {
        selected(errors, Some(&selector), &spec["template"], &path.field("template"));
    }
}

/// Checks a specification apart from its selector, which a template has none of.
pub(super) fn check_template_spec(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    numbers.iter().for_each(|field| not_negative(errors, spec, path, field));
    if has(spec, "maxFailedIndexes") && !has(spec, "backoffLimitPerIndex") {
        let why = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(&path.field("backoffLimitPerIndex"), why));
    }
    if let Some(manager) = spec["managedBy"].as_str() {
        domain_prefixed(errors, manager, &path.field("managedBy"));
    }
    completion_mode(errors, spec, path);
    if has(spec, "podFailurePolicy") {
        failure::check(errors, spec, &path.field("podFailurePolicy"));
    }
    if has(spec, "successPolicy") {
        let at = path.field("successPolicy");
        if is_indexed(spec) {
            indexes::success_policy(errors, spec, &at);
        } else {
            let why = "requires indexed completion mode";
            errors.push(FieldError::invalid(&at, spec["successPolicy"].clone(), why));
        }
    }
    if let Some(policy) = spec["podReplacementPolicy"].as_str() {
        let both = ["Failed", "TerminatingOrFailed"];
        let allowed = if has(spec, "podFailurePolicy") { &both[..1] } else { &both[..] };
        if !allowed.contains(&policy) {
            errors.push(FieldError::not_supported(&path.field("podReplacementPolicy"), policy, allowed));
        }
    }
    let at = path.field("template");
    check_template(errors, &spec["template"], &at);
    restart_policy(errors, spec, &at.field("spec").field("restartPolicy"));
}

/// What a Job's pods do when they fail is the Job's to decide.
fn restart_policy(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    match text(&spec["template"]["spec"], "restartPolicy") {
        "" | "Always" => {
            errors.push(FieldError::required(path, r#"valid values: "OnFailure", "Never""#));
        }
        "Never" => {}
        "OnFailure" => {
            if has(spec, "podFailurePolicy") {
                let why = r#"only "Never" is supported when podFailurePolicy is specified"#;
                errors.push(FieldError::invalid(path, "OnFailure", why));
            }
        }
        other => errors.push(FieldError::not_supported(path, other, &["OnFailure", "Never"])),
    }
}

fn domain_prefixed(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    match name.split_once('/') {
        _ if name.is_empty() => errors.push(FieldError::required(path, "")),
        None => {
            let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, name, why));
        }
        Some((domain, rest)) if domain.is_empty() || rest.is_empty() => {
            let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, name, why));
        }
        Some((domain, rest)) => {
            invalid_names(errors, path, domain, names::dns_subdomain);
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:/".contains(&byte);
            if !rest.bytes().all(good) {
                let why = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                errors.push(FieldError::invalid(path, rest, why));
            }
        }
    }
    if name.len() > MAX_MANAGER {
        errors.push(FieldError::too_long(path, MAX_MANAGER));
    }
}

fn completion_mode(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let number = |field: &str| spec[field].as_i64();
    let (completions, parallelism) = (number("completions"), number("parallelism"));
    let failed = number("maxFailedIndexes");
    let failed_at = path.field("maxFailedIndexes");
    let parallelism_at = path.field("parallelism");
    match spec["completionMode"].as_str() {
        None | Some("NonIndexed") => {
            let why = "requires indexed completion mode";
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(value) = number(field) {
                    errors.push(FieldError::invalid(&path.field(field), value, why));
                }
            }
            return;
        }
        Some("Indexed") => {}
        Some(other) => {
            let at = path.field("completionMode");
            errors.push(FieldError::not_supported(&at, other, &["NonIndexed", "Indexed"]));
            return;
        }
    }
    let at_most = |errors: &mut Vec<FieldError>, at: &Path, value: Option<i64>, most: i64, when: &str| {
        if let Some(value) = value.filter(|value| *value > most) {
            let why = format!("must be less than or equal to {most}{when}");
            errors.push(FieldError::invalid(at, value, &why));
        }
    };
    if completions.is_none() {
        errors.push(FieldError::required(&path.field("completions"), "when completion mode is Indexed"));
    }
    let when = " when completion mode is Indexed";
    at_most(errors, &parallelism_at, parallelism, MAX_PARALLELISM, when);
    if let Some(failed) = failed.filter(|failed| completions.is_some_and(|completions| *failed > completions))
    {
        errors.push(FieldError::invalid(&failed_at, failed, "must be less than or equal to completions"));
    }
    at_most(errors, &failed_at, failed, MAX_FAILED, "");
    let many = completions.is_some_and(|completions| completions > MANY_COMPLETIONS);
    if many && has(spec, "backoffLimitPerIndex") {
        let when =
            format!(" when completions are above {MANY_COMPLETIONS} and used with backoff limit per index");
        if failed.is_none() {
            let why = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            errors.push(FieldError::required(&failed_at, &why));
        }
        at_most(errors, &parallelism_at, parallelism, MANY_PARALLELISM, &when);
        at_most(errors, &failed_at, failed, MANY_FAILED, &when);
    }
}

fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("spec");
    let (spec, before) = (&new["spec"], &old["spec"]);
    let labels = &before["template"]["metadata"]["labels"];
    generated(&mut errors, new, has(labels, NAME_LABELS[1]) && has(labels, UID_LABELS[1]));
    // Upstream looks at the specification as that of a new Job, and once more.
    check_spec(&mut errors, spec, &path);
    pods_names(&mut errors, new);
    check_spec(&mut errors, spec, &path);
    completions(&mut errors, spec, before, &path);
    immutable(&mut errors, spec, before, &path, "selector");
    template(&mut errors, new, old, &path);
    let fixed = ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"];
    fixed.iter().for_each(|field| immutable(&mut errors, spec, before, &path, field));
    errors
}

/// An indexed Job may be given more or fewer indexes, with as many pods at once.
fn completions(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let at = path.field("completions");
    if !is_indexed(new) {
        immutable(errors, new, old, path, "completions");
    } else if let Some(count) = new["completions"].as_i64()
        && new["completions"] != old["completions"]
        && new["parallelism"].as_i64() != Some(count)
    {
        let why = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(&at, count, why));
    }
}

/// The template stays, but for where pods may run and what they ask for as long as the Job is suspended.
fn template(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let suspended = old["spec"]["suspend"] == true;
    let started = has(&old["status"], "startTime") && !holds(old, "Suspended");
    let mutable = suspended && !started && old["status"]["active"].as_i64().unwrap_or(0) == 0;
    let (template, mut before) = (&new["spec"]["template"], old["spec"]["template"].clone());
    if mutable {
        take_directives(&mut before, template);
        for field in ["containers", "initContainers"] {
            let containers = list(&template["spec"], field);
            let Some(before) = before["spec"][field].as_array_mut() else { continue };
            if before.len() != containers.len() {
                continue;
            }
            for (before, container) in before.iter_mut().zip(containers) {
                if before["name"] == container["name"] {
                    before["resources"] = container["resources"].clone();
                }
            }
        }
    }
    if !same(template, &before) {
        let (field, value) = match mutable {
            true => ("template.spec", template["spec"].clone()),
            false => ("template", template.clone()),
        };
        errors.push(FieldError::invalid(&path.field(field), value, IMMUTABLE));
    }
}

/// Takes over what tells where pods may run, and what a queue notes of them.
fn take_directives(before: &mut Value, template: &Value) {
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        before["spec"][field] = template["spec"][field].clone();
    }
    for field in ["annotations", "labels"] {
        before["metadata"][field] = template["metadata"][field].clone();
    }
    let nodes = template["spec"]["affinity"]["nodeAffinity"].clone();
    if !before["spec"]["affinity"].is_null() || !template["spec"]["affinity"].is_null() {
        before["spec"]["affinity"]["nodeAffinity"] = nodes;
    }
    let affinity = &before["spec"]["affinity"];
    let empty = affinity.as_object().is_some_and(|fields| fields.values().all(Value::is_null));
    if empty && template["spec"]["affinity"].is_null() {
        before["spec"]["affinity"] = Value::Null;
    }
}
