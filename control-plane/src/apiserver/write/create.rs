//! Creating an object.

use std::sync::Arc;

use api_objects::{FieldError, Path, time};
use bytes::Bytes;
use http::StatusCode;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value, json};

use super::{admit, decode};
use crate::apiserver::cache::Object;
use crate::apiserver::http::answer::{Answer, Body};
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::read;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;
use crate::storage::{Change, Expect, StoreError};

/// What a generated name ends in: no vowels, so that it spells nothing.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const GENERATED: usize = 5;

/// Creates the object in the body.
pub(in crate::apiserver) async fn create(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: Bytes,
) -> Result<Answer, Status> {
    if !resource.served().verbs.has("get") {
        let message = format!("{} is not implemented", resource.qualified());
        return Err(Status::new(StatusCode::NOT_IMPLEMENTED, "", message));
    }
    let mut object = decode::decode(context, resource, &body)?;
    let name = prepare(server, context, resource, &mut object)?;
    admit::admit(context, resource, &mut object)?;
    if let Some(conversion) = &resource.served().conversion {
        (conversion.store)(&mut object);
    }
    object["kind"] = resource.kind.kind.as_str().into();
    object["apiVersion"] = resource.kind.stored().api_version().into();

    let key = resource.kind.key(Some(&context.target.namespace), Some(&name));
    if context.query.names("dryRun") {
        return tried(server, context, resource, &key, &name, &object).await;
    }
    let value = Bytes::from(object.to_string());
    let change = Change::Put { value: value.clone(), ttl: None };
    let revision = match server.caches.store().write(&key, Expect::Absent, change).await {
        Ok(revision) => revision,
        Err(StoreError::Conflict { .. }) => return Err(Status::already_exists(resource, &name)),
        Err(error) => return Err(error.into()),
    };
    let object = Object::decode(&resource.kind, &key, revision, &value);
    let object = object.map_err(|error| Status::unexpected(error.to_string()))?;
    read::answer_object(server, context, resource, &Arc::new(object), StatusCode::CREATED)
}

/// What would have been created, had it not been only tried.
async fn tried(
    server: &Server,
    context: &Context,
    resource: &Resource,
    key: &str,
    name: &str,
    object: &Value,
) -> Result<Answer, Status> {
    if server.caches.store().get(key).await?.what.is_some() {
        return Err(Status::already_exists(resource, name));
    }
    let mut object = object.clone();
    if let Some(conversion) = &resource.served().conversion {
        (conversion.serve)(&mut object);
        object["apiVersion"] = resource.served().api_version().into();
    }
    let body = Body::of(vec![object.to_string().into()]);
    Ok(Answer::new(StatusCode::CREATED, context.representation.encoding, body))
}

/// Gives the object what the server decides; its name is returned.
fn prepare(
    server: &Server,
    context: &Context,
    resource: &Resource,
    object: &mut Value,
) -> Result<String, Status> {
    let kind = &resource.kind;
    let Value::Object(object) = object else { return Err(Status::bad_request("the body is no object")) };
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    let Value::Object(metadata) = metadata else {
        return Err(Status::bad_request("metadata is no object"));
    };
    let text = |metadata: &Map<String, Value>, name: &str| {
        metadata.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if !text(metadata, "resourceVersion").is_empty() {
        return Err(Status::unexpected("resourceVersion should not be set on objects to be created"));
    }
    let namespace = text(metadata, "namespace");
    if kind.namespaced {
        if !namespace.is_empty() && namespace != context.target.namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata.insert("namespace".to_owned(), context.target.namespace.as_str().into());
    }
    let mut name = text(metadata, "name");
    let generate = text(metadata, "generateName");
    if name.is_empty() && !generate.is_empty() {
        name = generate + &suffix();
        metadata.insert("name".to_owned(), name.as_str().into());
    }
    if name.is_empty() {
        let path = Path::ROOT.field("metadata");
        let error = FieldError::required(&path.field("name"), "name or generateName is required");
        return Err(Status::invalid(&resource.served().group, &kind.kind, "", vec![error]));
    }
    for server_only in ["managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        metadata.remove(server_only);
    }
    metadata.insert("uid".to_owned(), uuid().into());
    metadata.insert("creationTimestamp".to_owned(), time::format(server.now()).into());
    if kind.generations {
        metadata.insert("generation".to_owned(), 1.into());
    }
    Ok(name)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The kernel's randomness does not fail once the machine has booted.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        tracing::error!("no randomness");
    }
    bytes
}

fn suffix() -> String {
    random::<GENERATED>().iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
