//! ValidatingAdmissionPolicies and MutatingAdmissionPolicies, and what binds them.

use serde_json::Value;

use super::matching;
use crate::check::{has, invalid_names, label_selector, list, one_of, required_one_of, text, texts};
use crate::{FieldError, Path, fill, names};

const MOST_ANNOTATIONS: usize = 20;
const MOST_EXPRESSION: usize = 5 << 10;
const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
/// The words that no variable can be called.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

pub(crate) fn defaults(policy: &mut Value) {
    for spec in fill::part(policy, "spec") {
        fill::missing(spec, "failurePolicy", "Fail");
        fill::part(spec, "matchConstraints").for_each(matching::defaults);
    }
}

pub(crate) fn binding_defaults(binding: &mut Value) {
    for spec in fill::part(binding, "spec") {
        fill::part(spec, "matchResources").for_each(matching::defaults);
    }
}

pub(crate) fn create(policy: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &policy["spec"]);
    shared(&mut errors, spec, &path);
    let why = "validations or auditAnnotations must contain at least one item";
    let (validations, annotations) = (list(spec, "validations"), list(spec, "auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        for field in ["validations", "auditAnnotations"] {
            errors.push(FieldError::required(&path.field(field), why));
        }
        return errors;
    }
    for (index, found) in validations.iter().enumerate() {
        validation(&mut errors, found, &path.field("validations").index(index));
    }
    let at = path.field("auditAnnotations");
    if annotations.len() > MOST_ANNOTATIONS {
        let why = format!("must not have more than {MOST_ANNOTATIONS} auditAnnotations");
        errors.push(FieldError::invalid(&at, annotations, &why));
    }
    for (index, annotation) in annotations.iter().enumerate() {
        let at = at.index(index);
        let key = text(annotation, "key");
        let whole = format!("{}/{key}", text(&policy["metadata"], "name"));
        let faults = names::qualified_name(&whole);
        errors.extend(faults.iter().map(|why| FieldError::invalid(&at.field("key"), whole.as_str(), why)));
        let expression = text(annotation, "valueExpression").trim();
        if expression.is_empty() {
            let why = "valueExpression is not specified";
            errors.push(FieldError::required(&at.field("valueExpression"), why));
        } else if expression.len() > MOST_EXPRESSION {
            let why = format!("must not exceed {MOST_EXPRESSION} bytes in length");
            errors.push(FieldError::required(&at.field("valueExpression"), &why));
        }
        if annotations[..index].iter().any(|other| text(other, "key") == key) {
            errors.push(FieldError::duplicate(&at.field("key"), key));
        }
    }
    errors
}

/// What policies of both kinds say.
fn shared(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    match spec["failurePolicy"].as_str() {
        None => errors.push(FieldError::required(&path.field("failurePolicy"), "")),
        Some(_) => one_of(errors, spec, path, "failurePolicy", &matching::FAILURE_POLICIES),
    }
    if has(spec, "paramKind") {
        parameter_kind(errors, &spec["paramKind"], &path.field("paramKind"));
    }
    let constraints = path.field("matchConstraints");
    if has(spec, "matchConstraints") {
        matching::check(errors, &spec["matchConstraints"], &constraints);
        if list(&spec["matchConstraints"], "resourceRules").is_empty() {
            errors.push(FieldError::required(&constraints.field("resourceRules"), ""));
        }
    } else {
        errors.push(FieldError::required(&constraints, ""));
    }
    matching::conditions(errors, spec, path);
    for (index, variable) in list(spec, "variables").iter().enumerate() {
        let at = path.field("variables");
        let at = at.index(index);
        let name = text(variable, "name");
        if name.trim().is_empty() {
            errors.push(FieldError::required(&at.field("name"), "name is not specified"));
        } else if !is_identifier(name) {
            errors.push(FieldError::invalid(&at.field("name"), name, "must be a valid CEL identifier"));
        }
        if text(variable, "expression").trim().is_empty() {
            errors.push(FieldError::required(&at.field("expression"), "expression is not specified"));
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !RESERVED.contains(&name)
}

fn parameter_kind(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    let (at, whole) = (path.field("apiVersion"), text(found, "apiVersion"));
    let (group, version) = whole.split_once('/').unwrap_or(("", whole));
    if whole.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if version.contains('/') {
        let why = format!("unexpected GroupVersion string: {whole}");
        errors.push(FieldError::invalid(&at, whole, &why));
    } else {
        let faults = names::dns_subdomain(group);
        if !group.is_empty() && !faults.is_empty() {
            errors.push(FieldError::invalid(&at, group, &faults.join(",")));
        }
        let faults = names::dns_1035_label(version);
        if version.is_empty() {
            errors.push(FieldError::invalid(&at, whole, "version must be specified"));
        } else if !faults.is_empty() {
            errors.push(FieldError::invalid(&at, version, &faults.join(",")));
        }
    }
    let (at, kind) = (path.field("kind"), text(found, "kind"));
    let faults = names::dns_1035_label(&kind.to_lowercase());
    if kind.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !faults.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", faults.join(","));
        errors.push(FieldError::invalid(&at, kind, &why));
    }
}

fn validation(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    if text(found, "expression").trim().is_empty() {
        errors.push(FieldError::required(&path.field("expression"), "expression is not specified"));
    }
    for field in ["messageExpression", "message"] {
        let (at, value) = (path.field(field), text(found, field));
        if !value.is_empty() && value.trim().is_empty() {
            errors.push(FieldError::invalid(&at, value, "must be non-empty if specified"));
        } else if field == "message" && value.trim().contains(['\n', '\r']) {
            errors.push(FieldError::invalid(&at, value, "must not contain line breaks"));
        }
    }
    one_of(errors, found, path, "reason", &["Forbidden", "Invalid", "RequestEntityTooLarge"]);
}

pub(crate) fn create_binding(binding: &Value) -> Vec<FieldError> {
    let mut errors = binds(binding);
    let (path, spec) = (Path::ROOT.field("spec"), &binding["spec"]);
    let at = path.field("validationActions");
    let actions: Vec<&str> = texts(spec, "validationActions").map(|(_, action)| action).collect();
    for (index, action) in actions.iter().enumerate() {
        if !ACTIONS.contains(action) {
            errors.push(FieldError::not_supported(&at.index(index), *action, &ACTIONS));
        }
        if actions[..index].contains(action) {
            errors.push(FieldError::duplicate(&at.index(index), *action));
        }
    }
    if actions.contains(&"Deny") && actions.contains(&"Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                   API response and headers serves no purpose)";
        errors.push(FieldError::invalid(&at, spec["validationActions"].clone(), why));
    }
    if actions.is_empty() {
        errors.push(FieldError::required(&at, "at least one validation action is required"));
    }
    errors
}

/// What binds a policy of either kind.
fn binds(binding: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &binding["spec"]);
    match text(spec, "policyName") {
        "" => errors.push(FieldError::required(&path.field("policyName"), "")),
        name => invalid_names(&mut errors, &path.field("policyName"), name, names::dns_subdomain),
    }
    if has(spec, "paramRef") {
        parameters(&mut errors, &spec["paramRef"], &path.field("paramRef"));
    }
    if has(spec, "matchResources") {
        matching::check(&mut errors, &spec["matchResources"], &path.field("matchResources"));
    }
    errors
}

fn parameters(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    const EITHER: &str = "name and selector are mutually exclusive";
    let name = text(found, "name");
    let selected = has(found, "selector");
    if !name.is_empty() {
        invalid_names(errors, &path.field("name"), name, names::path_segment);
        if selected {
            errors.push(FieldError::forbidden(&path.field("name"), EITHER));
        }
    }
    label_selector(errors, &found["selector"], &path.field("selector"));
    if selected && !name.is_empty() {
        errors.push(FieldError::forbidden(&path.field("selector"), EITHER));
    }
    if name.is_empty() && !selected {
        errors.push(FieldError::required(path, "one of name or selector must be specified"));
    }
    required_one_of(errors, found, path, "parameterNotFoundAction", &["Deny", "Allow"]);
}

pub(crate) fn create_mutating(policy: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &policy["spec"]);
    shared(&mut errors, spec, &path);
    let at = path.field("mutations");
    let mutations = list(spec, "mutations");
    if mutations.is_empty() {
        errors.push(FieldError::required(&at, "mutations must contain at least one item"));
    }
    for (index, mutation) in mutations.iter().enumerate() {
        let at = at.index(index);
        let kinds = [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];
        let of = text(mutation, "patchType");
        match kinds.iter().find(|(kind, _)| *kind == of) {
            None => required_one_of(&mut errors, mutation, &at, "patchType", &kinds.map(|(kind, _)| kind)),
            Some((kind, field)) if !has(mutation, field) => {
                let why = format!("must be specified when patchType is {kind}");
                errors.push(FieldError::required(&at.field(field), &why));
            }
            Some((_, field)) => {
                if text(&mutation[*field], "expression").trim().is_empty() {
                    let at = at.field(field);
                    errors.push(FieldError::required(&at.field("expression"), "expression is not specified"));
                }
            }
        }
        for (kind, field) in kinds.iter().filter(|(kind, field)| *kind != of && has(mutation, field)) {
            let why = format!("must not be specified when patchType is not {kind}");
            errors.push(FieldError::invalid(&at.field(field), mutation[*field].clone(), &why));
        }
    }
    required_one_of(&mut errors, spec, &path, "reinvocationPolicy", &["IfNeeded", "Never"]);
    errors
}

pub(crate) fn create_mutating_binding(binding: &Value) -> Vec<FieldError> {
    binds(binding)
}
