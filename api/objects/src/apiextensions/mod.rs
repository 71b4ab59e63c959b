//! The rules of CustomResourceDefinitions. Expressions in their schemas are looked at for being there; nothing compiles
//! them.

mod schema;
mod structural;
mod value;

use serde_json::{Value, json};

use crate::check::{has, immutable, list, text, texts};
use crate::webhook::{check_service, check_url};
use crate::{FieldError, Path, fill, names};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 9] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "name", "password"];
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const APPROVED: &str = "api-approved.kubernetes.io";

pub(crate) fn defaults(definition: &mut Value) {
    for spec in fill::part(definition, "spec") {
        for names in fill::part(spec, "names") {
            let kind = text(names, "kind").to_owned();
            if !kind.is_empty() {
                fill::text(names, "singular", &kind.to_lowercase());
                fill::text(names, "listKind", &format!("{kind}List"));
            }
        }
        fill::missing(spec, "conversion", json!({"strategy": "None"}));
        fill::part(spec, "conversion")
            .flat_map(|conversion| fill::part(conversion, "webhook"))
            .flat_map(|webhook| fill::part(webhook, "clientConfig"))
            .flat_map(|client| fill::part(client, "service"))
            .for_each(|service| fill::missing(service, "port", 443));
    }
}

/// The version that is stored from now on is one of those that were stored.
pub(crate) fn prepare(definition: &mut Value, _: Option<&Value>) {
    let versions = list(&definition["spec"], "versions");
    let stored = versions.iter().find(|version| version["storage"] == true);
    let Some(name) = stored.map(|version| text(version, "name").to_owned()) else { return };
    fill::missing(definition, "status", json!({}));
    for status in fill::part(definition, "status") {
        let mut before = list(status, "storedVersions").to_vec();
        if !before.iter().any(|version| *version == name) {
            before.push(name.as_str().into());
            status["storedVersions"] = before.into();
        }
    }
}

pub(crate) fn create(definition: &Value) -> Vec<FieldError> {
    check(definition, None)
}

pub(crate) fn update(definition: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = check(definition, Some(old));
    let (new, before) = (&definition["spec"], &old["spec"]);
    let path = Path::ROOT.field("spec");
    let names = path.field("names");
    let established = list(&old["status"], "conditions")
        .iter()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
    if established {
        immutable(&mut errors, new, before, &path, "scope");
        immutable(&mut errors, &new["names"], &before["names"], &names, "kind");
    }
    immutable(&mut errors, new, before, &path, "group");
    immutable(&mut errors, &new["names"], &before["names"], &names, "plural");
    errors
}

pub(crate) fn status(definition: &Value, _: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("status");
    named(&mut errors, &definition["status"]["acceptedNames"], &path.field("acceptedNames"));
    errors
}

fn check(definition: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &definition["spec"]);
    group(&mut errors, spec, &path);
    let scopes = ["Cluster", "Namespaced"];
    match text(spec, "scope") {
        "" => errors.push(FieldError::required(&path.field("scope"), "")),
        scope if !scopes.contains(&scope) => {
            errors.push(FieldError::not_supported(&path.field("scope"), scope, &scopes));
        }
        _ => {}
    }
    versions(&mut errors, spec, &path);
    let (at, found) = (path.field("names"), &spec["names"]);
    for field in ["plural", "singular", "kind", "listKind"] {
        if text(found, field).is_empty() {
            errors.push(FieldError::required(&at.field(field), ""));
        }
    }
    named(&mut errors, found, &at);
    let shared = Shared::of(spec);
    shared_parts(&mut errors, spec, &path, &shared);
    if has(spec, "conversion") {
        conversion(&mut errors, &spec["conversion"], &path.field("conversion"));
    }
    errors.extend(status(definition, definition));
    stored(&mut errors, definition);
    approval(&mut errors, definition, old);
    if spec["preserveUnknownFields"] == true
        && old.is_none_or(|old| old["spec"]["preserveUnknownFields"] != true)
    {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema \
                   instead";
        errors.push(FieldError::invalid(&path.field("preserveUnknownFields"), true, why));
    }
    errors
}

fn group(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let (at, group) = (path.field("group"), text(spec, "group"));
    let faults = names::dns_subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !faults.is_empty() {
        errors.push(FieldError::invalid(&at, group, &faults.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(&at, group, "should be a domain with at least one dot"));
    }
}

/// What all versions have alike, which upstream looks at once, and by another path.
struct Shared {
    schema: bool,
    subresources: bool,
    columns: bool,
}

impl Shared {
    fn of(spec: &Value) -> Self {
        let versions = list(spec, "versions");
        let alike = |field: &str| {
            versions.first().is_some_and(|first| {
                has(first, field) && versions.iter().all(|version| version[field] == first[field])
            })
        };
        Self {
            schema: alike("schema"),
            subresources: alike("subresources"),
            columns: alike("additionalPrinterColumns"),
        }
    }
}

fn shared_parts(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, shared: &Shared) {
    let Some(first) = list(spec, "versions").first() else { return };
    if shared.schema {
        let status = list(spec, "versions").iter().any(has_status);
        schema::check(errors, &first["schema"], &path.field("validation"), status);
    }
    if shared.subresources {
        subresources(errors, first, &path.field("subresources"));
    }
    if shared.columns {
        columns(errors, first, &path.field("additionalPrinterColumns"));
    }
}

fn has_status(version: &Value) -> bool {
    has(&version["subresources"], "status")
}

fn versions(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let at = path.field("versions");
    let versions = list(spec, "versions");
    let shared = Shared::of(spec);
    for (index, version) in versions.iter().enumerate() {
        if !has(&version["schema"], "openAPIV3Schema") {
            let at = at.index(index);
            let at = at.field("schema");
            errors.push(FieldError::required(&at.field("openAPIV3Schema"), ""));
        }
    }
    for (index, version) in versions.iter().enumerate() {
        let at = at.index(index);
        let name = text(version, "name");
        let faults = names::dns_1035_label(name);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(&at.field("name"), name, &faults.join(",")));
        }
        let warning = text(version, "deprecationWarning");
        if has(version, "deprecationWarning") && version["deprecated"] != true {
            let why = "can only be set for deprecated versions";
            errors.push(FieldError::invalid(&at.field("deprecationWarning"), warning, why));
        }
        if has(version, "schema") && !shared.schema {
            schema::check(errors, &version["schema"], &at.field("schema"), has_status(version));
        }
        if !shared.subresources {
            subresources(errors, version, &at.field("subresources"));
        }
        if !shared.columns {
            columns(errors, version, &at.field("additionalPrinterColumns"));
        }
    }
    let shown = &spec["versions"];
    let twice = versions.iter().enumerate().any(|(index, version)| {
        versions[..index].iter().any(|other| text(other, "name") == text(version, "name"))
    });
    if twice {
        errors.push(FieldError::invalid(&at, shown.clone(), "must contain unique version names"));
    }
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(&at, shown.clone(), why));
    }
    // The first version has a field of its own inside upstream.
    if let Some(name) = versions.first().map(|first| text(first, "name")).filter(|name| !name.is_empty()) {
        let faults = names::dns_1035_label(name);
        if !faults.is_empty() {
            errors.push(FieldError::invalid(&path.field("version"), name, &faults.join(",")));
        }
    }
}

fn named(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    for field in ["plural", "singular"] {
        let name = text(found, field);
        let faults = names::dns_1035_label(name);
        if !name.is_empty() && !faults.is_empty() {
            errors.push(FieldError::invalid(&path.field(field), name, &faults.join(",")));
        }
    }
    for field in ["kind", "listKind"] {
        let name = text(found, field);
        let faults = names::dns_1035_label(&name.to_lowercase());
        if !name.is_empty() && !faults.is_empty() {
            let why = format!("may have mixed case, but should otherwise match: {}", faults.join(","));
            errors.push(FieldError::invalid(&path.field(field), name, &why));
        }
    }
    let kind = text(found, "kind");
    if !kind.is_empty() && kind == text(found, "listKind") {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.field("listKind"), kind, why));
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in texts(found, field) {
            let faults = names::dns_1035_label(name);
            if !faults.is_empty() {
                let at = path.field(field);
                errors.push(FieldError::invalid(&at.index(index), name, &faults.join(",")));
            }
        }
    }
}

fn subresources(errors: &mut Vec<FieldError>, version: &Value, path: &Path) {
    let scale = &version["subresources"]["scale"];
    if scale.is_null() {
        return;
    }
    for (field, required, places, told) in [
        ("specReplicasPath", true, &[".spec."][..], ".spec"),
        ("statusReplicasPath", true, &[".status."], ".status"),
        ("labelSelectorPath", false, &[".spec.", ".status."], "either .spec or .status"),
    ] {
        let at = path.field("scale");
        let (at, value) = (at.field(field), text(scale, field));
        if value.is_empty() {
            if required {
                errors.push(FieldError::required(&at, ""));
            }
        } else if !value.starts_with('.') {
            errors.push(FieldError::invalid(&at, value, SIMPLE_PATH));
        } else if !places.iter().any(|place| value.starts_with(place)) {
            let why = format!("should be a json path under {told}");
            errors.push(FieldError::invalid(&at, value, &why));
        }
    }
}

const SIMPLE_PATH: &str = "must be a simple json path starting with .";

fn columns(errors: &mut Vec<FieldError>, version: &Value, path: &Path) {
    for (index, column) in list(version, "additionalPrinterColumns").iter().enumerate() {
        let at = path.index(index);
        if text(column, "name").is_empty() {
            errors.push(FieldError::required(&at.field("name"), ""));
        }
        let why = format!("must be one of {}", COLUMN_TYPES.join(","));
        match text(column, "type") {
            "" => errors.push(FieldError::required(&at.field("type"), &why)),
            of if !COLUMN_TYPES.contains(&of) => {
                errors.push(FieldError::invalid(&at.field("type"), of, &why));
            }
            _ => {}
        }
        let format = text(column, "format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let why = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(&at.field("format"), format, &why));
        }
        match text(column, "jsonPath") {
            "" => errors.push(FieldError::required(&at.field("JSONPath"), "")),
            value if !value.starts_with('.') => {
                errors.push(FieldError::invalid(&at.field("JSONPath"), value, SIMPLE_PATH));
            }
            _ => {}
        }
    }
}

fn conversion(errors: &mut Vec<FieldError>, conversion: &Value, path: &Path) {
    let strategies = ["None", "Webhook"];
    let at = path.field("strategy");
    match text(conversion, "strategy") {
        "" => errors.push(FieldError::required(&at, "")),
        other if !strategies.contains(&other) => {
            errors.push(FieldError::not_supported(&at, other, &strategies));
        }
        _ => {}
    }
    // Upstream's errors have the fields of its first version.
    let (client_at, versions_at) =
        (path.field("webhookClientConfig"), path.field("conversionReviewVersions"));
    let (webhook, client) = (&conversion["webhook"], &conversion["webhook"]["clientConfig"]);
    if text(conversion, "strategy") != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        if !client.is_null() {
            errors.push(FieldError::forbidden(&client_at, why));
        }
        if !list(webhook, "conversionReviewVersions").is_empty() {
            errors.push(FieldError::forbidden(&versions_at, why));
        }
        return;
    }
    match (has(client, "url"), has(client, "service")) {
        _ if client.is_null() => {
            errors.push(FieldError::required(&client_at, "required when strategy is set to Webhook"));
        }
        (true, false) => check_url(errors, text(client, "url"), &client_at.field("url")),
        (false, true) => check_service(errors, &client["service"], &client_at.field("service")),
        _ => errors.push(FieldError::required(&client_at, "exactly one of url or service is required")),
    }
    let found: Vec<&str> = texts(webhook, "conversionReviewVersions").map(|(_, version)| version).collect();
    if found.is_empty() {
        errors.push(FieldError::required(&versions_at, ""));
        return;
    }
    for (index, version) in found.iter().enumerate() {
        let at = versions_at.index(index);
        if found[..index].contains(version) {
            errors.push(FieldError::invalid(&at, *version, "duplicate version"));
            continue;
        }
        let faults = names::dns_1035_label(version);
        errors.extend(faults.iter().map(|why| FieldError::invalid(&at, *version, why)));
    }
    if !found.iter().any(|version| REVIEWS.contains(version)) {
        let why = format!("must include at least one of {}", REVIEWS.join(", "));
        errors.push(FieldError::invalid(&versions_at, webhook["conversionReviewVersions"].clone(), &why));
    }
}

/// What was stored in a version may be there still.
fn stored(errors: &mut Vec<FieldError>, definition: &Value) {
    let status = Path::ROOT.field("status");
    let path = status.field("storedVersions");
    let shown = &definition["status"]["storedVersions"];
    let found: Vec<&str> =
        texts(&definition["status"], "storedVersions").map(|(_, version)| version).collect();
    if found.is_empty() {
        let shown = if shown.is_null() { Value::Null } else { shown.clone() };
        errors.push(FieldError::invalid(&path, shown, "must have at least one stored version"));
        return;
    }
    let versions = list(&definition["spec"], "versions");
    for version in versions.iter().filter(|version| version["storage"] == true) {
        let name = text(version, "name");
        if !found.contains(&name) {
            let why = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(&path, shown.clone(), &why));
        }
    }
    for (index, name) in found.iter().enumerate() {
        if !versions.iter().any(|version| text(version, "name") == *name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(FieldError::invalid(&path.index(index), *name, &why));
        }
    }
}

/// Groups of Kubernetes itself are for those that were reviewed.
fn approval(errors: &mut Vec<FieldError>, definition: &Value, old: Option<&Value>) {
    let group = text(&definition["spec"], "group");
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')));
    let of = |object: &Value| object["metadata"]["annotations"][APPROVED].as_str().map(str::to_owned);
    let found = of(definition);
    if !protected || old.is_some_and(|old| of(old) == found) {
        return;
    }
    let meta = Path::ROOT.field("metadata");
    let annotations = meta.field("annotations");
    let at = annotations.key(APPROVED);
    match found.as_deref() {
        None | Some("") => {
            let why = format!(
                "protected groups must have approval annotation {APPROVED:?}, see \
                 https://github.com/kubernetes/enhancements/pull/1111"
            );
            errors.push(FieldError::required(&at, &why));
        }
        Some(text) if text.starts_with("unapproved") || text.contains("://") => {}
        Some(text) => {
            let why = format!(
                "protected groups must have approval annotation {APPROVED:?} with either a URL or a reason starting \
                 with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
            );
            errors.push(FieldError::invalid(&at, text, &why));
        }
    }
}

#[cfg(test)]
mod tests;
