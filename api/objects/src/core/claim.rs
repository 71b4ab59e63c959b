//! PersistentVolumeClaims.

use serde_json::{Value, json};

use super::resources::{self, quantity};
use super::volume::{VOLUME_MODES, access_modes};
use crate::check::{IMMUTABLE, entries, has, immutable, invalid_names, label_selector, list, one_of, text};
use crate::{FieldError, Path, fill, names};

/// What said the class before there was a field.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(crate) fn defaults(claim: &mut Value) {
    fill::missing(claim, "status", json!({}));
    fill::part(claim, "status").for_each(|status| fill::text(status, "phase", "Pending"));
    fill::part(claim, "spec").for_each(spec_defaults);
}

/// Those of what a claim asks for, of a template's as well.
pub(crate) fn spec_defaults(spec: &mut Value) {
    fill::missing(spec, "volumeMode", "Filesystem");
}

/// Where the data comes from stands in two fields, of which the older one takes claims and snapshots only.
pub(crate) fn prepare(claim: &mut Value, old: Option<&Value>) {
    let (source, reference) = ("dataSource", "dataSourceRef");
    for spec in fill::part(claim, "spec") {
        let of = |spec: &Value, field: &str| text(&spec[source], field).to_owned();
        let foreign = text(&spec[reference], "namespace");
        if !foreign.is_empty() && old.is_none_or(|old| !has(&old["spec"], reference)) {
            fill::remove(spec, &[reference]);
        }
        let used = old.is_some_and(|old| has(&old["spec"], source));
        let known = matches!(
            (of(spec, "apiGroup").as_str(), of(spec, "kind").as_str()),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        );
        if !used && !has(spec, reference) && !known {
            fill::remove(spec, &[source]);
        }
        let copy = |from: &Value| {
            let mut to = from.clone();
            fill::remove(&mut to, &["namespace"]);
            to
        };
        match (has(spec, source), has(spec, reference)) {
            (true, false) => spec[reference] = copy(&spec[source]),
            (false, true) if text(&spec[reference], "namespace").is_empty() => {
                spec[source] = copy(&spec[reference]);
            }
            _ => {}
        }
    }
}

pub(crate) fn create(claim: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    spec(&mut errors, &claim["spec"], &Path::ROOT.field("spec"));
    errors
}

/// Checks what a claim asks for, of a template's as well.
pub(crate) fn spec(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    if list(spec, "accessModes").is_empty() {
        let why = "at least 1 access mode is required";
        errors.push(FieldError::required(&path.field("accessModes"), why));
    }
    label_selector(errors, &spec["selector"], &path.field("selector"));
    access_modes(errors, spec, path);
    let resources = path.field("resources");
    let at = resources.key("storage");
    match spec["resources"]["requests"].get("storage") {
        None => errors.push(FieldError::required(&at, "")),
        Some(amount) => {
            let amount = quantity(amount);
            if amount.is_zero() || amount.is_negative() {
                errors.push(FieldError::invalid(&at, amount.to_string(), "must be greater than zero"));
            }
        }
    }
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        invalid_names(errors, &path.field("storageClassName"), class, names::dns_subdomain);
    }
    one_of(errors, spec, path, "volumeMode", &VOLUME_MODES);
    for field in ["dataSource", "dataSourceRef"] {
        if has(spec, field) {
            source(errors, &spec[field], &path.field(field));
        }
    }
    if has(spec, "dataSource") && has(spec, "dataSourceRef") {
        let (source, reference) = (&spec["dataSource"], &spec["dataSourceRef"]);
        let same = ["apiGroup", "kind", "name"].iter().all(|field| source[*field] == reference[*field]);
        if !text(reference, "namespace").is_empty() {
            let why = "may not be specified when dataSourceRef.namespace is specified";
            errors.push(FieldError::invalid(path, path.field("dataSource").to_string(), why));
        } else if !same {
            errors.push(FieldError::invalid(
                path,
                path.field("dataSource").to_string(),
                "must match dataSourceRef",
            ));
        }
    }
    let class = text(spec, "volumeAttributesClassName");
    if !class.is_empty() {
        invalid_names(errors, &path.field("volumeAttributesClassName"), class, names::dns_subdomain);
    }
}

fn source(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    for field in ["name", "kind"] {
        if text(source, field).is_empty() {
            errors.push(FieldError::required(&path.field(field), ""));
        }
    }
    match (text(source, "apiGroup"), text(source, "kind")) {
        ("", "PersistentVolumeClaim") => {}
        ("", kind) => {
            let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.push(FieldError::invalid(path, kind, why));
        }
        (group, _) => invalid_names(errors, &path.field("apiGroup"), group, names::dns_subdomain),
    }
    let namespace = text(source, "namespace");
    if !namespace.is_empty() {
        invalid_names(errors, &path.field("namespace"), namespace, names::dns_label);
    }
}

pub(crate) fn update(claim: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(claim);
    let path = Path::ROOT.field("spec");
    let bound = claim["status"]["phase"] == "Bound";
    let annotation = |claim: &Value| claim["metadata"]["annotations"][CLASS].clone();
    let (new, before) = (&claim["spec"], &old["spec"]);
    let mut asked = [new.clone(), before.clone()];
    if text(before, "volumeName").is_empty() {
        asked.iter_mut().for_each(|spec| fill::remove(spec, &["volumeName"]));
    }
    let (annotated, class) = (annotation(old), &new["storageClassName"]);
    let unset = before["storageClassName"].is_null() && !class.is_null();
    let fits = annotated.is_null() || annotated == *class;
    let moved = unset
        && !annotated.is_null()
        && fits
        && (annotation(claim).is_null() || annotation(claim) == annotated);
    if !moved && annotation(claim) != annotated {
        let meta = Path::ROOT.field("metadata");
        let at = meta.field("annotations");
        let shown = annotation(claim).as_str().unwrap_or_default().to_owned();
        errors.push(FieldError::invalid(&at.field(CLASS), shown, IMMUTABLE));
    }
    if unset && fits {
        asked.iter_mut().for_each(|spec| fill::remove(spec, &["storageClassName"]));
    }
    if bound {
        for spec in &mut asked {
            fill::remove(spec, &["volumeAttributesClassName"]);
            fill::part(spec, "resources")
                .flat_map(|resources| fill::part(resources, "requests"))
                .for_each(|requests| fill::remove(requests, &["storage"]));
        }
    }
    if asked[0] != asked[1] {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                   bound claims";
        errors.push(FieldError::forbidden(&path, why));
    }
    let size = |spec: &Value| quantity(&spec["resources"]["requests"]["storage"]);
    if size(new) < size(before) && size(new) <= quantity(&old["status"]["capacity"]["storage"]) {
        let resources = path.field("resources");
        let requests = resources.field("requests");
        let why = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden(&requests.field("storage"), why));
    }
    immutable(&mut errors, new, before, &Path::ROOT, "volumeMode");
    let class = "volumeAttributesClassName";
    if new[class] != before[class] && has(&old["status"], "currentVolumeAttributesClassName") {
        let to = match new[class].as_str() {
            None => "nil",
            Some("") => "empty string",
            Some(_) => "",
        };
        if !to.is_empty() {
            let why = format!(
                "update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil"
            );
            errors.push(FieldError::forbidden(&path.field(class), &why));
        }
    }
    errors
}

pub(crate) fn status(claim: &Value, _: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if list(&claim["spec"], "accessModes").is_empty() {
        let spec = Path::ROOT.field("Spec");
        errors.push(FieldError::required(&spec.field("accessModes"), ""));
    }
    let (path, status) = (Path::ROOT.field("status"), &claim["status"]);
    let negative = |errors: &mut Vec<FieldError>, at: &Path, amount: &Value| {
        let amount = quantity(amount);
        if amount.is_negative() {
            errors.push(FieldError::invalid(at, amount.units(), "must be a valid resource quantity"));
        }
    };
    for (name, amount) in entries(status, "capacity") {
        negative(&mut errors, &path.field("capacity").key(name), amount);
    }
    let at = path.field("allocatedResourceStatuses");
    let states = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizePending",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
    ];
    for (name, state) in entries(status, "allocatedResourceStatuses") {
        resource_name(&mut errors, &at, name);
        if !states.iter().any(|known| state == known) {
            let mut sorted = states;
            sorted.sort_unstable();
            errors.push(FieldError::not_supported(&at, name, &sorted));
        }
    }
    let at = path.field("allocatedResources");
    for (name, amount) in entries(status, "allocatedResources") {
        let before = errors.len();
        resource_name(&mut errors, &at, name);
        if errors.len() == before {
            negative(&mut errors, &at.key(name), amount);
        }
        if errors.len() == before {
            resources::amount(&mut errors, &at.key(name), "storage", amount);
        }
    }
    errors
}

fn resource_name(errors: &mut Vec<FieldError>, path: &Path, name: &str) {
    let faults = names::qualified_name(name);
    if faults.is_empty() && resources::is_native(name) && name != "storage" {
        errors.push(FieldError::not_supported(path, name, &["storage"]));
    }
    errors.extend(faults.iter().map(|why| FieldError::invalid(path, name, why)));
}
