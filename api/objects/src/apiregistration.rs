//! The rules of APIServices.

use serde_json::Value;

use crate::check::{has, invalid_names, list, one_of, required, text};
use crate::decode::base64;
use crate::webhook::check_port;
use crate::{FieldError, Path, fill, names};

const MOST_GROUP_PRIORITY: i64 = 20_000;
const MOST_VERSION_PRIORITY: i64 = 1000;

pub(crate) fn defaults(service: &mut Value) {
    for spec in fill::part(service, "spec") {
        fill::part(spec, "service").for_each(|service| fill::missing(service, "port", 443));
    }
}

pub(crate) fn create(service: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &service["spec"]);
    let (group, version) = (text(spec, "group"), text(spec, "version"));
    if group.is_empty() && version != "v1" {
        let why = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(&path.field("group"), why));
    }
    if !group.is_empty() {
        invalid_names(&mut errors, &path.field("group"), group, names::dns_subdomain);
    }
    invalid_names(&mut errors, &path.field("version"), version, names::dns_1035_label);
    for (field, most) in
        [("groupPriorityMinimum", MOST_GROUP_PRIORITY), ("versionPriority", MOST_VERSION_PRIORITY)]
    {
        let priority = spec[field].as_i64().unwrap_or(0);
        if !(1..=most).contains(&priority) {
            let why = format!("must be positive and less than {most}");
            errors.push(FieldError::invalid(&path.field(field), priority, &why));
        }
    }
    let bundle = base64::decoded_length(text(spec, "caBundle"));
    let (skip, skips) = (path.field("insecureSkipTLSVerify"), spec["insecureSkipTLSVerify"] == true);
    if !has(spec, "service") {
        if bundle > 0 {
            let why = "local APIServices may not have a caBundle";
            errors.push(FieldError::invalid(&path.field("caBundle"), format!("{bundle} bytes"), why));
        }
        if skips {
            let why = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(FieldError::invalid(&skip, true, why));
        }
        return errors;
    }
    let at = path.field("service");
    for field in ["namespace", "name"] {
        required(&mut errors, &spec["service"], &at, field, "");
    }
    check_port(&mut errors, &spec["service"], &at);
    if skips && bundle > 0 {
        errors.push(FieldError::invalid(&skip, true, "may not be true if caBundle is present"));
    }
    errors
}

pub(crate) fn status(service: &Value, _: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let status = Path::ROOT.field("status");
    let path = status.field("conditions");
    for (index, condition) in list(&service["status"], "conditions").iter().enumerate() {
        one_of(&mut errors, condition, &path.index(index), "status", &["True", "False", "Unknown"]);
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::table::Table;

    #[test]
    fn services() {
        let good = json!({"spec": {"group": "a.b", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"name": "a", "namespace": "n"}},
            "status": {"conditions": [{"status": "True"}]}});
        let table = Table::of("apiregistration.k8s.io", "APIService", good);
        table.create(&[
            ("/spec/group", json!("A"), &["spec.group: Invalid value: \"A\""]),
            ("/spec/version", json!("1"), &["spec.version: Invalid value: \"1\""]),
            (
                "/spec/groupPriorityMinimum",
                json!(0),
                &["spec.groupPriorityMinimum: Invalid value: 0: must be positive"],
            ),
            (
                "/spec/versionPriority",
                json!(1001),
                &["spec.versionPriority: Invalid value: 1001: must be positive"],
            ),
            (
                "/spec/service",
                json!(null),
                &["spec.insecureSkipTLSVerify: Invalid value: true: local APIServices"],
            ),
            ("/spec/service/name", json!(""), &["spec.service.name: Required value"]),
            (
                "/spec/service/port",
                json!(0),
                &["spec.service.port: Invalid value: 0: port is not valid: must be"],
            ),
            (
                "/spec/caBundle",
                json!("YQ=="),
                &["spec.insecureSkipTLSVerify: Invalid value: true: may not be true if"],
            ),
        ]);
        table.status(&[(
            "/status/conditions/0/status",
            json!("X"),
            &["status.conditions[0].status: Unsupported value"],
        )]);
        let local = json!({"spec": {"version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}});
        Table::of("apiregistration.k8s.io", "APIService", local).create(&[
            ("/spec/version", json!("v2"), &["spec.group: Required value: only v1 may have an empty group"]),
            (
                "/spec/caBundle",
                json!("YQ=="),
                &["spec.caBundle: Invalid value: \"1 bytes\": local APIServices may not"],
            ),
        ]);
    }
}
