//! Objects, lists and tables as bytes. Whole objects and metadata are never parsed for it: they are put together from
//! what the cache holds.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::apiserver::cache::{Listed, Object, head};
use crate::apiserver::http::negotiate::Meta;
use crate::apiserver::kinds::Resource;
use crate::apiserver::status::Status;
use crate::apiserver::table;

/// The annotation that counts the templates of a DaemonSet.
const TEMPLATES: &str = "deprecated.daemonset.template.generation";

/// What of its object a row of a table carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads `includeObject`.
    pub fn parse(text: Option<&str>) -> Result<Self, Status> {
        match text.unwrap_or_default() {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
        }
    }
}

/// The whole object.
pub fn whole(resource: &Resource, object: &Object) -> Bytes {
    let (head, body) = (head(resource), object.body(resource));
    [head.as_bytes(), &body.json[1..]].concat().into()
}

/// Its metadata as a `PartialObjectMetadata`.
pub fn metadata(meta: Meta, resource: &Resource, object: &Object) -> Bytes {
    let (head, mut metadata) = (metadata_head(meta), object.body(resource).metadata());
    if resource.kind.kind == "DaemonSet" {
        metadata = without_count(&metadata);
    }
    let parts: [&[u8]; 3] = [head.as_bytes(), &metadata, b"}"];
    parts.concat().into()
}

/// The metadata of a DaemonSet without the annotation that counts its templates: upstream writes it when it shows the
/// whole object, and metadata alone do not have it.
fn without_count(metadata: &Bytes) -> Bytes {
    let Ok(mut shown) = serde_json::from_slice::<Value>(metadata) else { return metadata.clone() };
    let Some(annotations) = shown["annotations"].as_object_mut() else { return metadata.clone() };
    annotations.remove(TEMPLATES);
    if annotations.is_empty()
        && let Some(shown) = shown.as_object_mut()
    {
        shown.remove("annotations");
    }
    shown.to_string().into()
}

fn metadata_head(meta: Meta) -> String {
    format!("{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"{}\",\"metadata\":", meta.api_version())
}

/// The metadata of a list.
fn list_metadata(listed: &Listed, next: Option<&str>) -> Value {
    let mut metadata = json!({ "resourceVersion": listed.revision.to_string() });
    if let Some(next) = next {
        metadata["continue"] = next.into();
        if let Some(remaining) = listed.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    metadata
}

/// A list of whole objects.
pub fn list(resource: &Resource, listed: &Listed, next: Option<&str>) -> Vec<Bytes> {
    let (kind, version) = (&resource.kind.kind, resource.served().api_version());
    let items = listed.objects.iter().map(|object| object.body(resource).json.clone());
    join(&format!("{kind}List"), &version, &list_metadata(listed, next), items)
}

/// A list of metadata.
pub fn metadata_list(meta: Meta, resource: &Resource, listed: &Listed, next: Option<&str>) -> Vec<Bytes> {
    let items = listed.objects.iter().map(|object| metadata(meta, resource, object));
    join("PartialObjectMetadataList", meta.api_version(), &list_metadata(listed, next), items)
}

fn join(kind: &str, version: &str, metadata: &Value, items: impl Iterator<Item = Bytes>) -> Vec<Bytes> {
    let head =
        format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":[");
    let mut parts = vec![Bytes::from(head)];
    for (index, item) in items.enumerate() {
        if index > 0 {
            parts.push(Bytes::from_static(b","));
        }
        parts.push(item);
    }
    parts.push(Bytes::from_static(b"]}"));
    parts
}

/// A table of a list, a row for each object.
pub fn table(
    meta: Meta,
    resource: &Resource,
    listed: &Listed,
    next: Option<&str>,
    include: Include,
    now: Timestamp,
) -> Vec<Bytes> {
    let head = table_head(meta, resource, true, &list_metadata(listed, next));
    // Upstream's printer of kinds that have no columns of their own makes no list of no rows.
    if listed.objects.is_empty() && resource.kind.columns.iter().any(|column| column.name == "Created At") {
        return vec![Bytes::from(head.trim_end_matches('[').to_owned() + "null}")];
    }
    let mut parts = vec![Bytes::from(head)];
    for (index, object) in listed.objects.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        parts.push(row(comma, meta, resource, object, include, now));
    }
    parts.push(Bytes::from_static(b"]}"));
    parts
}

/// A table of one object, as a watch sends it: only its first one says what the columns are.
pub fn event_table(
    meta: Meta,
    resource: &Resource,
    object: &Object,
    columns: bool,
    include: Include,
    now: Timestamp,
) -> Vec<u8> {
    let metadata = json!({ "resourceVersion": object.revision.to_string() });
    let head = table_head(meta, resource, columns, &metadata);
    let row = row("", meta, resource, object, include, now);
    let parts: [&[u8]; 3] = [head.as_bytes(), &row, b"]}"];
    parts.concat()
}

fn table_head(meta: Meta, resource: &Resource, columns: bool, metadata: &Value) -> String {
    let columns = if columns { table::columns(&resource.kind) } else { Value::Null };
    format!(
        "{{\"kind\":\"Table\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"columnDefinitions\":{columns},\"rows\":[",
        meta.api_version()
    )
}

fn row(
    before: &str,
    meta: Meta,
    resource: &Resource,
    object: &Object,
    include: Include,
    now: Timestamp,
) -> Bytes {
    let value = object.value();
    let row = table::row(&resource.kind, &value, now);
    let cells = Value::Array(row.cells);
    let conditions = row.conditions.map(|c| format!(",\"conditions\":{c}")).unwrap_or_default();
    let head = format!("{before}{{\"cells\":{cells}{conditions},\"object\":");
    let of = match include {
        Include::None => Bytes::from_static(b"null"),
        Include::Metadata => metadata(meta, resource, object),
        Include::Object => whole(resource, object),
    };
    let parts: [&[u8]; 3] = [head.as_bytes(), &of, b"}"];
    parts.concat().into()
}

/// What a watch's bookmark carries instead of an object.
pub fn bookmark(revision: u64, initial: bool) -> Value {
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if initial {
        metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    metadata
}

/// A bookmark's table: one row of an object that has nothing but its metadata.
pub fn bookmark_table(
    meta: Meta,
    resource: &Resource,
    metadata: &Value,
    columns: bool,
    now: Timestamp,
) -> Value {
    let row = table::row(&resource.kind, &json!({}), now);
    let columns = if columns { table::columns(&resource.kind) } else { Value::Null };
    json!({
        "kind": "Table",
        "apiVersion": meta.api_version(),
        "metadata": { "resourceVersion": metadata["resourceVersion"] },
        "columnDefinitions": columns,
        "rows": [{
            "cells": row.cells,
            "object": {
                "kind": "PartialObjectMetadata", "apiVersion": meta.api_version(), "metadata": metadata,
            },
        }],
    })
}
