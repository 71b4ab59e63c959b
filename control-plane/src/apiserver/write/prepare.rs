//! Between what was asked for and what is stored: what a write cannot change is put back, what the server decides is
//! put in.

use api_objects::{FieldError, Path, decode, meta, pod};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::part::Part;
use super::strategy;
use super::target::Write;
use crate::apiserver::apply::keep_times;
use crate::apiserver::status::Status;

/// What upstream tells a writer who was too slow.
pub(super) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// The object in the body must be the one in the path.
pub(super) fn same_name(write: &Write<'_>, object: &mut Value) -> Result<(), Status> {
    same_namespace(write, object)?;
    let wanted = write.context.target.name.as_str();
    match text(object, "name") {
        "" => Err(Status::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        ))),
        name if name != wanted => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({wanted})"
        ))),
        _ => Ok(()),
    }
}

/// The object's namespace must be the one in the path, and is it where the object does not say.
pub(super) fn same_namespace(write: &Write<'_>, object: &mut Value) -> Result<(), Status> {
    if !write.resource.kind.namespaced {
        return Ok(());
    }
    let (wanted, found) = (write.context.target.namespace.as_str(), text(object, "namespace"));
    if !found.is_empty() && found != wanted {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    object["metadata"]["namespace"] = wanted.into();
    Ok(())
}

/// Makes of an object what replaces `live`, or refuses it.
pub(super) fn update(write: &Write<'_>, live: &Value, object: &mut Value) -> Result<(), Status> {
    let kind = write.resource.kind.kind.as_str();
    let name = text(live, "name").to_owned();
    check_version(write, &name, live, object)?;
    keep_metadata(&live["metadata"], &mut object["metadata"]);
    match write.part {
        Part::Whole | Part::Status => put_back(write, live, object),
        part => part.restrict(live, object),
    }
    if write.is_status() {
        for field in strategy::status_keeps(kind) {
            copy(&live["metadata"], &mut object["metadata"], field);
        }
    }
    if write.is_status() || write.part == Part::Approval {
        strategy::stamp_status(kind, live, object, &write.now());
    }
    if let Some(rules) = write.rules().filter(|_| write.part == Part::Whole) {
        (rules.prepare)(object, Some(live));
    }
    decode::for_storage(write.of, object);
    let mut errors = meta::update(&write.meta_kind(), object, live, write.is_status());
    if let Some(rules) = write.rules() {
        errors.extend(match write.part {
            Part::Whole => (rules.update)(object, live),
            Part::Status => (rules.status)(object, live),
            Part::Ephemeral => pod::check_ephemeral(object, live),
            Part::Resources => pod::check_resize(object, live),
            Part::Finalizers | Part::Approval | Part::Derived => Vec::new(),
        });
    }
    if !errors.is_empty() {
        return Err(write.invalid(&name, errors));
    }
    // A node is given to a pod, not asked for.
    let bound = write.part == Part::Derived && kind == "Pod";
    if write.resource.kind.generations && !bound && asks_for_else(write, live, object) {
        let generation = live["metadata"]["generation"].as_i64().unwrap_or(0);
        object["metadata"]["generation"] = (generation + 1).into();
    }
    keep_times(live, object);
    Ok(())
}

fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object["metadata"][field].as_str().unwrap_or_default()
}

fn check_version(write: &Write<'_>, name: &str, live: &Value, object: &mut Value) -> Result<(), Status> {
    let (wanted, found) = (text(object, "resourceVersion"), text(live, "resourceVersion"));
    let resource = write.resource;
    if matches!(wanted, "" | "0") {
        if !strategy::updates_unconditionally(&resource.kind.kind) {
            let path = Path::ROOT.field("metadata");
            let error =
                FieldError::invalid(&path.field("resourceVersion"), 0, "must be specified for an update");
            let group = &resource.served().group;
            return Err(Status::invalid(group, &resource.kind.resource, name, vec![error]));
        }
    } else if wanted != found {
        return Err(Status::conflict(resource, name, MODIFIED));
    }
    object["metadata"]["resourceVersion"] = found.into();
    Ok(())
}

/// Puts back what the server wrote. A writer who leaves out what may not change means it as it is.
fn keep_metadata(live: &Value, object: &mut Value) {
    let unset = |object: &Value, field: &str| object[field].is_null() || object[field] == "";
    for field in ["uid", "deletionGracePeriodSeconds"] {
        if unset(object, field) {
            copy(live, object, field);
        }
    }
    if live.get("deletionTimestamp").is_some() || unset(object, "deletionTimestamp") {
        copy(live, object, "deletionTimestamp");
    }
    for field in ["creationTimestamp", "generation", "selfLink", "namespace"] {
        copy(live, object, field);
    }
}

/// Who is still to do something before the object may go.
pub(super) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Undoes what a write to here cannot change.
fn put_back(write: &Write<'_>, live: &Value, object: &mut Value) {
    let fields = write.of.structure().map(|structure| structure.fields.as_slice()).unwrap_or_default();
    for field in fields.iter().filter(|field| write.keeps(field.name)) {
        copy(live, object, field.name);
    }
}

fn copy(from: &Value, to: &mut Value, field: &str) {
    match (from.get(field), to.as_object_mut()) {
        (Some(value), Some(to)) => drop(to.insert(field.to_owned(), value.clone())),
        (None, Some(to)) => drop(to.remove(field)),
        _ => {}
    }
}

/// Whether something else is asked for than before: anything but metadata and status.
fn asks_for_else(write: &Write<'_>, live: &Value, object: &Value) -> bool {
    let (Some(live), Some(object)) = (live.as_object(), object.as_object()) else { return false };
    let asked = |object: &Map<String, Value>| -> Vec<(String, Value)> {
        let told = ["apiVersion", "kind", "metadata", "status"];
        let mut fields: Vec<_> = object
            .iter()
            .filter(|(field, _)| !told.contains(&field.as_str()))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields
    };
    let annotations = strategy::counts_annotations(&write.resource.kind.kind) && !write.is_status();
    let annotated = |object: &Map<String, Value>| object["metadata"]["annotations"].clone();
    let labels = strategy::counts_labels(&write.resource.kind.kind);
    let labelled = |object: &Map<String, Value>| object["metadata"]["labels"].clone();
    asked(live) != asked(object)
        || (annotations && annotated(live) != annotated(object))
        || (labels && labelled(live) != labelled(object))
}

/// The Status of an object that a finished deletion removed.
pub(super) fn removed(write: &Write<'_>, live: &Value, name: &str) -> Value {
    let mut details = crate::apiserver::status::about(write.resource, name);
    text(live, "uid").clone_into(&mut details.uid);
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details.to_json(),
    })
}

/// 422 without a field: what a JSON patch that does not apply is answered with.
pub(super) fn unprocessable(message: String) -> Status {
    let mut status = Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
    status.details = Some(Box::default());
    status
}
