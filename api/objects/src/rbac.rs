//! The rules of roles and their bindings. Whether their writer may give what they give is asked elsewhere.

use serde_json::{Value, json};

use crate::check::{invalid_names, label_selector, list, text};
use crate::{FieldError, Path, fill, names};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn binding_defaults(binding: &mut Value) {
    fill::part(binding, "roleRef").for_each(|role| fill::text(role, "apiGroup", GROUP));
    for subject in fill::each(binding, "subjects") {
        if ["User", "Group"].contains(&text(subject, "kind")) {
            fill::text(subject, "apiGroup", GROUP);
        }
    }
}

pub(crate) fn create_role(role: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    rules(&mut errors, role, true);
    errors
}

pub(crate) fn create_cluster_role(role: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    rules(&mut errors, role, false);
    if role["aggregationRule"].is_object() {
        let path = Path::ROOT.field("aggregationRule");
        let at = path.field("clusterRoleSelectors");
        let selectors = list(&role["aggregationRule"], "clusterRoleSelectors");
        if selectors.is_empty() {
            let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            errors.push(FieldError::required(&at, why));
        }
        for (index, selector) in selectors.iter().enumerate() {
            let at = at.index(index);
            let before = errors.len();
            label_selector(&mut errors, selector, &at);
            if errors.len() > before {
                errors.push(FieldError::invalid(&at, Value::Null, "invalid label selector."));
            }
        }
    }
    errors
}

fn rules(errors: &mut Vec<FieldError>, role: &Value, namespaced: bool) {
    let path = Path::ROOT.field("rules");
    for (index, rule) in list(role, "rules").iter().enumerate() {
        let at = path.index(index);
        let none = |field: &str| list(rule, field).is_empty();
        if none("verbs") {
            let why = "verbs must contain at least one value";
            errors.push(FieldError::required(&at.field("verbs"), why));
        }
        if !none("nonResourceURLs") {
            let at = at.field("nonResourceURLs");
            let shown = &rule["nonResourceURLs"];
            if namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                errors.push(FieldError::invalid(&at, shown.clone(), why));
            }
            if !["apiGroups", "resources", "resourceNames"].into_iter().all(none) {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(&at, shown.clone(), why));
            }
            continue;
        }
        if none("apiGroups") {
            let why = "resource rules must supply at least one api group";
            errors.push(FieldError::required(&at.field("apiGroups"), why));
        }
        if none("resources") {
            let why = "resource rules must supply at least one resource";
            errors.push(FieldError::required(&at.field("resources"), why));
        }
    }
}

pub(crate) fn create_binding(binding: &Value) -> Vec<FieldError> {
    check_binding(binding, true)
}

pub(crate) fn create_cluster_binding(binding: &Value) -> Vec<FieldError> {
    check_binding(binding, false)
}

pub(crate) fn update_binding(binding: &Value, old: &Value) -> Vec<FieldError> {
    with_same_role(check_binding(binding, true), binding, old)
}

pub(crate) fn update_cluster_binding(binding: &Value, old: &Value) -> Vec<FieldError> {
    with_same_role(check_binding(binding, false), binding, old)
}

fn with_same_role(mut errors: Vec<FieldError>, binding: &Value, old: &Value) -> Vec<FieldError> {
    if binding["roleRef"] != old["roleRef"] {
        let (path, role) = (Path::ROOT.field("roleRef"), &binding["roleRef"]);
        // Upstream shows it by the names that it has within.
        let shown = json!({ "APIGroup": role["apiGroup"], "Kind": role["kind"], "Name": role["name"] });
        errors.push(FieldError::invalid(&path, shown, "cannot change roleRef"));
    }
    errors
}

fn check_binding(binding: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, role) = (Path::ROOT.field("roleRef"), &binding["roleRef"]);
    let group = text(role, "apiGroup");
    if group != GROUP {
        errors.push(FieldError::not_supported(&path.field("apiGroup"), group, &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&text(role, "kind")) {
        errors.push(FieldError::not_supported(&path.field("kind"), text(role, "kind"), kinds));
    }
    match text(role, "name") {
        "" => errors.push(FieldError::required(&path.field("name"), "")),
        name => invalid_names(&mut errors, &path.field("name"), name, names::path_segment),
    }
    let path = Path::ROOT.field("subjects");
    for (index, found) in list(binding, "subjects").iter().enumerate() {
        subject(&mut errors, found, &path.index(index), namespaced);
    }
    errors
}

fn subject(errors: &mut Vec<FieldError>, subject: &Value, path: &Path, namespaced: bool) {
    let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(&path.field("name"), ""));
    }
    let at = path.field("apiGroup");
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                invalid_names(errors, &path.field("name"), name, names::dns_subdomain);
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(&at, group, &[""]));
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(&path.field("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(&at, group, &[GROUP]));
            }
        }
        other => {
            let kinds = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(&path.field("kind"), other, &kinds));
        }
    }
}

#[cfg(test)]
mod tests;
