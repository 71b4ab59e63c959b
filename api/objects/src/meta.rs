//! The metadata of objects of all kinds: what is refused in it.
//!
//! A kind decides which form its names have, and whether a finalizer without a domain must be one that Kubernetes
//! knows. A new object is checked in the kind's way first, and then in the way of all kinds. An update is checked in the
//! way of all kinds and in the kind's, so that what both find is told twice.

mod ways;

use serde_json::Value;

use crate::check::{IMMUTABLE, entries, has, invalid_names, labels, list, text, texts};
use crate::error::Kind::Invalid;
use crate::{FieldError, Path, names};

pub use ways::Kind;
use ways::{Again, Name};

/// The bytes that all annotations may have together.
const MAX_ANNOTATIONS: usize = 256 << 10;
const MAX_MANAGER: usize = 128;
const MAX_SUBRESOURCE: usize = 256;

/// The finalizers without a domain that Kubernetes knows.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a new object of the kind breaks, whose name was generated if it was to be.
pub fn create(kind: &Kind<'_>, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if kind.checks_itself() {
        named(&mut errors, kind, kind.name(), object);
        finalizer_domains(&mut errors, kind, object);
    }
    errors
}

/// What a new object breaks that its kind has nothing against.
pub fn create_any(kind: &Kind<'_>, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    named(&mut errors, kind, Name::PathSegment, object);
    errors
}

/// What an object of the kind breaks that replaces `old`, or tells its status.
pub fn update(kind: &Kind<'_>, new: &Value, old: &Value, status: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    named(&mut errors, kind, Name::PathSegment, new);
    kept(&mut errors, new, old);
    let again = kind.again(status);
    if matches!(again, Again::Create | Again::Both) {
        named(&mut errors, kind, kind.name(), new);
        finalizer_domains(&mut errors, kind, new);
    }
    if matches!(again, Again::Update | Again::Both) {
        kept(&mut errors, new, old);
        finalizer_domains(&mut errors, kind, new);
    }
    errors
}

/// The name, and everything else that a single object can break.
fn named(errors: &mut Vec<FieldError>, kind: &Kind<'_>, form: Name, object: &Value) {
    let path = Path::ROOT.field("metadata");
    let meta = &object["metadata"];
    let generate = text(meta, "generateName");
    if !generate.is_empty() {
        let path = path.field("generateName");
        invalid_names(errors, &path, generate, |name| form.faults(name, true, object));
    }
    match text(meta, "name") {
        "" => errors.push(FieldError::required(&path.field("name"), "name or generateName is required")),
        name => invalid_names(errors, &path.field("name"), name, |name| form.faults(name, false, object)),
    }
    let at = path.field("namespace");
    match text(meta, "namespace") {
        "" if kind.namespaced => errors.push(FieldError::required(&at, "")),
        "" => {}
        name if kind.namespaced => invalid_names(errors, &at, name, names::dns_label),
        _ => errors.push(FieldError::forbidden(&at, "not allowed on this type")),
    }
    if let Some(generation) = meta["generation"].as_i64().filter(|generation| *generation < 0) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.field("generation"), generation, why));
    }
    described(errors, meta, &path);
    let at = path.field("finalizers");
    for (_, finalizer) in texts(meta, "finalizers") {
        invalid_names(errors, &at, finalizer, names::qualified_name);
    }
    if [ORPHAN, FOREGROUND].iter().all(|name| list(meta, "finalizers").iter().any(|f| f == name)) {
        let why = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(&at, meta["finalizers"].clone(), &why));
    }
    managers(errors, meta, &path);
}

/// Labels, annotations and owners.
fn described(errors: &mut Vec<FieldError>, meta: &Value, path: &Path) {
    labels(errors, &meta["labels"], &path.field("labels"));
    let at = path.field("annotations");
    let mut total = 0;
    for (key, value) in entries(meta, "annotations") {
        // Letters of either case will do.
        invalid_names(errors, &at, key, |key| names::qualified_name(&key.to_lowercase()));
        total += key.len() + value.as_str().unwrap_or_default().len();
    }
    if total > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long(&at, MAX_ANNOTATIONS));
    }
    owners(errors, meta, &path.field("ownerReferences"));
}

fn owners(errors: &mut Vec<FieldError>, meta: &Value, path: &Path) {
    let mut controller: Option<String> = None;
    for owner in list(meta, "ownerReferences") {
        let (version, kind) = (text(owner, "apiVersion"), text(owner, "kind"));
        let short = version.rsplit('/').next().unwrap_or_default();
        if short.is_empty() || version.matches('/').count() > 1 {
            errors.push(FieldError::invalid(&path.field("apiVersion"), version, "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                errors.push(FieldError::invalid(&path.field(field), "", "must not be empty"));
            }
        }
        if (version, kind) == ("v1", "Event") {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(owners_error(path, shown(owner), why));
        }
        if owner["controller"] == true {
            let name = format!("{kind}/{}", text(owner, "name"));
            match &controller {
                None => controller = Some(name),
                Some(first) => {
                    let why = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for \
                         {first} and {name}"
                    );
                    let all: Vec<String> = list(meta, "ownerReferences").iter().map(shown).collect();
                    errors.push(owners_error(path, format!("[{}]", all.join(",")), &why));
                }
            }
        }
    }
}

fn owners_error(path: &Path, shown: String, why: &str) -> FieldError {
    let message = format!("Invalid value: {shown}: {why}");
    FieldError { kind: Invalid, field: path.to_string(), message }
}

/// An owner with its fields in the order in which upstream shows them.
fn shown(owner: &Value) -> String {
    let fields = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
    let said = fields.iter().filter(|field| has(owner, field));
    let said: Vec<String> = said.map(|field| format!("{field:?}:{}", owner[*field])).collect();
    format!("{{{}}}", said.join(","))
}

fn managers(errors: &mut Vec<FieldError>, meta: &Value, path: &Path) {
    let at = path.field("managedFields");
    for (index, entry) in list(meta, "managedFields").iter().enumerate() {
        let at = at.index(index);
        let (operation, fields) = (text(entry, "operation"), text(entry, "fieldsType"));
        if !["Apply", "Update"].contains(&operation) {
            let why = "must be `Apply` or `Update`";
            errors.push(FieldError::invalid(&at.field("operation"), operation, why));
        }
        if !["", "FieldsV1"].contains(&fields) {
            errors.push(FieldError::invalid(&at.field("fieldsType"), fields, "must be `FieldsV1`"));
        }
        let manager = text(entry, "manager");
        let path = at.field("manager");
        if manager.len() > MAX_MANAGER {
            errors.push(FieldError::too_long(&path, MAX_MANAGER));
        }
        for (position, letter) in manager.char_indices().filter(|(_, letter)| letter.is_control()) {
            let why = format!("invalid character U+{:04X} (at position {position})", u32::from(letter));
            errors.push(FieldError::invalid(&path, manager, &why));
        }
        if text(entry, "subresource").len() > MAX_SUBRESOURCE {
            errors.push(FieldError::too_long(&at.field("subresource"), MAX_SUBRESOURCE));
        }
    }
}

/// A finalizer without a domain is one that Kubernetes knows.
fn finalizer_domains(errors: &mut Vec<FieldError>, kind: &Kind<'_>, object: &Value) {
    if !kind.knows_finalizers() {
        return;
    }
    let path = Path::ROOT.field("metadata");
    let at = path.field("finalizers");
    for (index, finalizer) in texts(&object["metadata"], "finalizers") {
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&at.index(index), finalizer, why));
        }
    }
}

/// What must stay as it was, and what each new object must have again.
fn kept(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let path = Path::ROOT.field("metadata");
    let (new, old) = (&new["metadata"], &old["metadata"]);
    if has(old, "deletionTimestamp") {
        new_finalizers(errors, new, old, &path.field("finalizers"));
    }
    if text(new, "resourceVersion").is_empty() {
        errors.push(FieldError::invalid(
            &path.field("resourceVersion"),
            "",
            "must be specified for an update",
        ));
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        if new[field] != old[field] {
            errors.push(FieldError::invalid(&path.field(field), new[field].clone(), IMMUTABLE));
        }
    }
    described(errors, new, &path);
    managers(errors, new, &path);
}

/// What is being deleted waits for nobody new.
fn new_finalizers(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let before = list(old, "finalizers");
    let mut found: Vec<&str> =
        list(new, "finalizers").iter().filter(|f| !before.contains(f)).filter_map(Value::as_str).collect();
    found.sort_unstable();
    found.dedup();
    if !found.is_empty() {
        let listed: Vec<String> = found.iter().map(|finalizer| format!("{finalizer:?}")).collect();
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            listed.join(", ")
        );
        errors.push(FieldError::forbidden(path, &why));
    }
}

#[cfg(test)]
mod tests;
