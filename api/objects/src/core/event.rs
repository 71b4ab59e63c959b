//! Events, whose rules are those of the older version and, when one is written as the newer one, more of them.

use serde_json::Value;

use crate::check::{IMMUTABLE, has, invalid_names, text};
use crate::{FieldError, Path, names};

/// What a name, an action or a reason may have at most, in bytes, and what a note may.
const MOST: usize = 128;
const MOST_NOTE: usize = 1024;

/// The names of fields in the two versions.
struct Fields {
    new: bool,
    object: &'static str,
    note: &'static str,
    controller: &'static str,
}

impl Fields {
    fn of(event: &Value) -> Self {
        if text(event, "apiVersion") == "v1" {
            Self { new: false, object: "involvedObject", note: "message", controller: "reportingComponent" }
        } else {
            Self { new: true, object: "regarding", note: "note", controller: "reportingController" }
        }
    }
}

pub(crate) fn create(event: &Value) -> Vec<FieldError> {
    let fields = Fields::of(event);
    let mut errors = Vec::new();
    either(&mut errors, event, &fields);
    if !fields.new {
        return errors;
    }
    series(&mut errors, event);
    if !has(event, "eventTime") {
        errors.push(FieldError::required(&Path::ROOT.field("eventTime"), ""));
    }
    let of = text(event, "type");
    if !["Normal", "Warning"].contains(&of) {
        let why = format!("has invalid value: {of}");
        errors.push(FieldError::invalid(&Path::ROOT.field("type"), "", &why));
    }
    let source = &event["deprecatedSource"];
    for (set, field) in [
        (has(event, "deprecatedFirstTimestamp"), "firstTimestamp"),
        (has(event, "deprecatedLastTimestamp"), "lastTimestamp"),
        (event["deprecatedCount"].as_i64().unwrap_or(0) != 0, "count"),
        (["component", "host"].iter().any(|field| !text(source, field).is_empty()), "source"),
    ] {
        if set {
            errors.push(FieldError::invalid(&Path::ROOT.field(field), "", "needs to be unset"));
        }
    }
    errors
}

pub(crate) fn update(event: &Value, old: &Value) -> Vec<FieldError> {
    let fields = Fields::of(event);
    let mut errors = Vec::new();
    either(&mut errors, event, &fields);
    if !fields.new {
        return errors;
    }
    if event["series"] != old["series"] {
        series(&mut errors, event);
    }
    // The fields as this version has them, and as the errors name them.
    for (field, told) in [
        ("regarding", "involvedObject"),
        ("reason", "reason"),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("reason", "reason"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ] {
        if event[field] != old[field] {
            errors.push(FieldError::invalid(&Path::ROOT.field(told), event[field].clone(), IMMUTABLE));
        }
    }
    errors
}

fn series(errors: &mut Vec<FieldError>, event: &Value) {
    if !has(event, "series") {
        return;
    }
    let series = &event["series"];
    if series["count"].as_i64().unwrap_or(0) < 2 {
        errors.push(FieldError::invalid(&Path::ROOT.field("series.count"), "", "should be at least 2"));
    }
    if !has(series, "lastObservedTime") {
        errors.push(FieldError::required(&Path::ROOT.field("series.lastObservedTime"), ""));
    }
}

fn either(errors: &mut Vec<FieldError>, event: &Value, fields: &Fields) {
    let namespace = text(&event["metadata"], "namespace");
    let about = text(&event[fields.object], "namespace");
    let timed = has(event, "eventTime");
    let fits = match (about, timed) {
        ("", false) => ["", "default"].contains(&namespace),
        ("", true) => ["default", "kube-system"].contains(&namespace),
        (about, false) => about == namespace,
        (_, true) => true,
    };
    if !fits {
        let object = Path::ROOT.field("involvedObject");
        let why = "does not match event.namespace";
        errors.push(FieldError::invalid(&object.field("namespace"), about, why));
    }
    if timed {
        told(errors, event, fields);
    }
    invalid_names(errors, &Path::ROOT.field("namespace"), namespace, names::dns_subdomain);
}

/// Who tells it, and what.
fn told(errors: &mut Vec<FieldError>, event: &Value, fields: &Fields) {
    let at = Path::ROOT.field(fields.controller);
    let controller = if fields.new { "reportingController" } else { "reportingComponent" };
    let controller = text(event, controller);
    if controller.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    invalid_names(errors, &at, controller, names::qualified_name);
    for field in ["reportingInstance", "action", "reason"] {
        let path = Path::ROOT.field(field);
        if text(event, field).is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        bounded(errors, &path, text(event, field), MOST);
    }
    bounded(errors, &Path::ROOT.field("message"), text(event, fields.note), MOST_NOTE);
}

fn bounded(errors: &mut Vec<FieldError>, path: &Path, text: &str, most: usize) {
    if text.len() > most {
        errors.push(FieldError::invalid(path, "", &format!("can have at most {most} characters")));
    }
}
