//! FlowSchemas.

use serde_json::{Value, json};

use crate::check::{has, invalid_names, list, text, texts};
use crate::{FieldError, Path, fill, names};

const EXEMPT: &str = "exempt";
const CATCH_ALL: &str = "catch-all";
const PRECEDENCE: i64 = 1000;
const MOST_PRECEDENCE: i64 = 10_000;
const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub(crate) fn defaults(schema: &mut Value) {
    for spec in fill::part(schema, "spec") {
        if spec["matchingPrecedence"].as_i64().unwrap_or(0) == 0 {
            spec["matchingPrecedence"] = PRECEDENCE.into();
        }
    }
}

pub(crate) fn create(schema: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &schema["spec"]);
    let name = text(&schema["metadata"], "name");
    let precedence = spec["matchingPrecedence"].as_i64().unwrap_or(0);
    for (wrong, why) in [
        (precedence <= 0, "must be a positive value".to_owned()),
        (precedence > MOST_PRECEDENCE, format!("must not be greater than {MOST_PRECEDENCE}")),
        (
            precedence == 1 && name != EXEMPT,
            "only the schema named 'exempt' may have matchingPrecedence 1".to_owned(),
        ),
    ] {
        if wrong {
            errors.push(FieldError::invalid(&path.field("matchingPrecedence"), precedence, &why));
        }
    }
    if has(spec, "distinguisherMethod") {
        let (at, method) = (path.field("distinguisherMethod"), &spec["distinguisherMethod"]);
        let methods = ["ByNamespace", "ByUser"];
        if !methods.contains(&text(method, "type")) {
            errors.push(FieldError::not_supported(&at.field("type"), method.clone(), &methods));
        }
    }
    let level = path.field("priorityLevelConfiguration");
    match text(&spec["priorityLevelConfiguration"], "name") {
        "" => errors.push(FieldError::required(&level.field("name"), "must reference a priority level")),
        name => invalid_names(&mut errors, &level.field("name"), name, names::dns_subdomain),
    }
    for (index, found) in list(spec, "rules").iter().enumerate() {
        rule(&mut errors, found, &path.field("rules").index(index));
    }
    if fixed(name).is_some_and(|fixed| fixed != *spec) {
        let why = format!("spec of '{name}' must equal the fixed value");
        errors.push(FieldError::invalid(&path, spec.clone(), &why));
    }
    errors.extend(super::conditions(schema));
    errors
}

/// What the two schemas that must be there ask for.
fn fixed(name: &str) -> Option<Value> {
    let everything = |groups: &[&str]| {
        let subjects: Vec<Value> = groups
            .iter()
            .map(|group| json!({"kind": "Group", "group": {"name": format!("system:{group}")}}))
            .collect();
        json!([{
            "subjects": subjects,
            "resourceRules": [{
                "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
            }],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }])
    };
    match name {
        EXEMPT => Some(json!({
            "priorityLevelConfiguration": {"name": EXEMPT}, "matchingPrecedence": 1, "rules": everything(&["masters"]),
        })),
        CATCH_ALL => Some(json!({
            "priorityLevelConfiguration": {"name": CATCH_ALL}, "matchingPrecedence": MOST_PRECEDENCE,
            "distinguisherMethod": {"type": "ByUser"}, "rules": everything(&["unauthenticated", "authenticated"]),
        })),
        _ => None,
    }
}

fn rule(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    let subjects = list(rule, "subjects");
    if subjects.is_empty() {
        let why = "subjects must contain at least one value";
        errors.push(FieldError::required(&path.field("subjects"), why));
    }
    for (index, found) in subjects.iter().enumerate() {
        subject(errors, found, &path.field("subjects").index(index));
    }
    let (resources, others) = (list(rule, "resourceRules"), list(rule, "nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, why));
    }
    for (index, found) in resources.iter().enumerate() {
        let at = path.field("resourceRules");
        let at = at.index(index);
        verbs(errors, found, &at);
        some_or_all(errors, found, &at, "apiGroups", "api group");
        some_or_all(errors, found, &at, "resources", "resource");
        namespaces(errors, found, &at.field("namespaces"));
    }
    for (index, found) in others.iter().enumerate() {
        let at = path.field("nonResourceRules");
        let at = at.index(index);
        verbs(errors, found, &at);
        urls(errors, found, &at.field("nonResourceURLs"));
    }
}

fn subject(errors: &mut Vec<FieldError>, subject: &Value, path: &Path) {
    const KINDS: [(&str, &str); 3] =
        [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = text(subject, "kind");
    let Some((_, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let kinds = ["Group", "ServiceAccount", "User"];
        errors.push(FieldError::not_supported(&path.field("kind"), kind, &kinds));
        return;
    };
    let at = path.field(own);
    if !has(subject, own) {
        let why = format!("{own} is required when subject kind is '{kind}'");
        errors.push(FieldError::required(&at, &why));
    } else {
        let found = &subject[*own];
        match text(found, "name") {
            "" => errors.push(FieldError::required(&at.field("name"), "")),
            "*" => {}
            name if kind == "ServiceAccount" => {
                invalid_names(errors, &at.field("name"), name, names::dns_subdomain);
            }
            _ => {}
        }
        if kind == "ServiceAccount" {
            match text(found, "namespace") {
                "" => {
                    let why = "must specify namespace for service account";
                    errors.push(FieldError::required(&at.field("namespace"), why));
                }
                name => invalid_names(errors, &at.field("namespace"), name, names::dns_label),
            }
        }
    }
    for (other, field) in KINDS.iter().filter(|(other, field)| *other != kind && has(subject, field)) {
        let why = format!("{field} is forbidden when subject kind is not '{other}'");
        errors.push(FieldError::forbidden(&path.field(field), &why));
    }
}

fn verbs(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    let (at, found) = (path.field("verbs"), list(rule, "verbs"));
    let every = found.iter().any(|verb| verb == "*");
    if found.is_empty() {
        errors.push(FieldError::required(&at, "verbs must contain at least one value"));
    } else if every && found.len() > 1 {
        let why = "if '*' is present, must not specify other verbs";
        errors.push(FieldError::invalid(&at, found, why));
    } else if !every && !texts(rule, "verbs").all(|(_, verb)| VERBS.contains(&verb)) {
        errors.push(FieldError::not_supported(&at, found, &VERBS));
    }
}

fn some_or_all(errors: &mut Vec<FieldError>, rule: &Value, path: &Path, field: &str, noun: &str) {
    let (at, found) = (path.field(field), list(rule, field));
    if found.is_empty() {
        let why = format!("resource rules must supply at least one {noun}");
        errors.push(FieldError::required(&at, &why));
    } else if found.len() > 1 && found.iter().any(|value| value == "*") {
        let why = format!("if '*' is present, must not specify other {noun}s");
        errors.push(FieldError::invalid(&at, found, &why));
    }
}

fn namespaces(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    let found = list(rule, "namespaces");
    if found.is_empty() && rule["clusterScope"] != true {
        let why = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(path, why));
    } else if found.iter().any(|name| name == "*") {
        if found.len() > 1 {
            let why = "if '*' is present, must not specify other namespaces";
            errors.push(FieldError::invalid(path, found, why));
        }
    } else {
        for (index, name) in texts(rule, "namespaces") {
            let faults = names::dns_label(name);
            let why = faults
                .iter()
                .map(|why| format!("each member of this list must be '*' or a DNS-1123 label; {why}"));
            errors.extend(why.map(|why| FieldError::invalid(&path.index(index), name, &why)));
        }
    }
}

fn urls(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    let found = list(rule, "nonResourceURLs");
    if found.is_empty() {
        errors.push(FieldError::required(path, "nonResourceURLs must contain at least one value"));
    } else if found.iter().any(|url| url == "*") {
        if found.len() > 1 {
            let why = "if '*' is present, must not specify other non-resource URLs";
            errors.push(FieldError::invalid(path, found, why));
        }
    } else {
        for (index, url) in texts(rule, "nonResourceURLs") {
            let stars = url.matches('*').count();
            let why = match url {
                "" => "must not be empty",
                "/" => continue,
                _ if !url.starts_with('/') => "must start with slash",
                _ if url.contains(' ') => "must not contain white-space",
                _ if url.contains("//") => "must not contain double slash",
                _ if stars > 1 || stars == 1 && !url.ends_with("/*") => {
                    "wildcard can only do suffix matching"
                }
                _ => continue,
            };
            errors.push(FieldError::invalid(&path.index(index), url, why));
        }
    }
}
