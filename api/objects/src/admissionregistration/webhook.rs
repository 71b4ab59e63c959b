//! ValidatingWebhookConfigurations and MutatingWebhookConfigurations.

use serde_json::Value;

use super::matching;
use crate::check::{has, label_selector, list, one_of, text, texts};
use crate::webhook::{check_service, check_url};
use crate::{FieldError, Path, fill, names};

const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const ALL_SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const SECONDS: i64 = 10;
const PORT: i64 = 443;

pub(crate) fn defaults(configuration: &mut Value) {
    for hook in fill::each(configuration, "webhooks") {
        fill::missing(hook, "failurePolicy", "Fail");
        fill::missing(hook, "timeoutSeconds", SECONDS);
        matching::defaults(hook);
        let services = fill::part(hook, "clientConfig").flat_map(|client| fill::part(client, "service"));
        services.for_each(|service| fill::missing(service, "port", PORT));
    }
}

pub(crate) fn mutating_defaults(configuration: &mut Value) {
    defaults(configuration);
    fill::each(configuration, "webhooks").for_each(|hook| fill::missing(hook, "reinvocationPolicy", "Never"));
}

pub(crate) fn create(configuration: &Value) -> Vec<FieldError> {
    check(configuration, &Before { effects: true, versions: true, unique: true })
}

/// What a configuration that is there does wrong it may go on with.
struct Before {
    effects: bool,
    versions: bool,
    unique: bool,
}

pub(crate) fn update(configuration: &Value, old: &Value) -> Vec<FieldError> {
    let hooks = list(old, "webhooks");
    let before = Before {
        effects: hooks.iter().all(|hook| SIDE_EFFECTS.contains(&text(hook, "sideEffects"))),
        versions: hooks.iter().all(|hook| {
            let mut versions = texts(hook, "admissionReviewVersions").peekable();
            versions.peek().is_none() || versions.any(|(_, version)| VERSIONS.contains(&version))
        }),
        unique: hooks.iter().enumerate().all(|(index, hook)| {
            !hooks[..index].iter().any(|other| text(other, "name") == text(hook, "name"))
        }),
    };
    check(configuration, &before)
}

fn check(configuration: &Value, before: &Before) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("webhooks");
    let hooks = list(configuration, "webhooks");
    for (index, hook) in hooks.iter().enumerate() {
        let at = path.index(index);
        one(&mut errors, hook, &at, before);
        versions(&mut errors, hook, &at.field("admissionReviewVersions"), before);
        let name = text(hook, "name");
        let twice = hooks[..index].iter().any(|other| text(other, "name") == name);
        if before.unique && !name.is_empty() && twice {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        }
    }
    errors
}

fn one(errors: &mut Vec<FieldError>, hook: &Value, path: &Path, before: &Before) {
    let (at, name) = (path.field("name"), text(hook, "name"));
    let faults = names::dns_subdomain(name);
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !faults.is_empty() {
        errors.push(FieldError::invalid(&at, name, &faults.join(",")));
    } else if name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(&at, name, why));
    }
    for (index, rule) in list(hook, "rules").iter().enumerate() {
        matching::rule(errors, rule, &path.field("rules").index(index));
    }
    matching::check_policy(errors, hook, path);
    let allowed: &[&str] = if before.effects { &SIDE_EFFECTS } else { &ALL_SIDE_EFFECTS };
    if has(hook, "sideEffects") {
        one_of(errors, hook, path, "sideEffects", allowed);
    } else {
        let why = format!("must specify one of {}", allowed.join(", "));
        errors.push(FieldError::required(&path.field("sideEffects"), &why));
    }
    if let Some(seconds) = hook["timeoutSeconds"].as_i64().filter(|seconds| !(1..=30).contains(seconds)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(&path.field("timeoutSeconds"), seconds, why));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        label_selector(errors, &hook[field], &path.field(field));
    }
    one_of(errors, hook, path, "reinvocationPolicy", &["IfNeeded", "Never"]);
    let (client, at) = (&hook["clientConfig"], path.field("clientConfig"));
    match (has(client, "url"), has(client, "service")) {
        (true, false) => check_url(errors, text(client, "url"), &at.field("url")),
        (false, true) => check_service(errors, &client["service"], &at.field("service")),
        _ => errors.push(FieldError::required(&at, "exactly one of url or service is required")),
    }
    matching::conditions(errors, hook, path);
}

fn versions(errors: &mut Vec<FieldError>, hook: &Value, path: &Path, before: &Before) {
    let found: Vec<&str> = texts(hook, "admissionReviewVersions").map(|(_, version)| version).collect();
    if found.is_empty() {
        let why = format!("must specify one of {}", VERSIONS.join(", "));
        errors.push(FieldError::required(path, &why));
        return;
    }
    for (index, version) in found.iter().enumerate() {
        let at = path.index(index);
        if found[..index].contains(version) {
            errors.push(FieldError::invalid(&at, *version, "duplicate version"));
            continue;
        }
        let faults = names::dns_1035_label(version);
        errors.extend(faults.iter().map(|why| FieldError::invalid(&at, *version, why)));
    }
    if before.versions && !found.iter().any(|version| VERSIONS.contains(version)) {
        let why = format!("must include at least one of {}", VERSIONS.join(", "));
        errors.push(FieldError::invalid(path, hook["admissionReviewVersions"].clone(), &why));
    }
}
