//! Creating an object.

use std::sync::Arc;

use api_objects::decode::for_storage;
use bytes::Bytes;
use http::StatusCode;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value};

use super::options::Options;
use super::prepare::same_namespace;
use super::target::Write;
use super::{admit, allocate, decode, review, strategy};
use crate::apiserver::apply::{FieldSet, Kind, OneVersion};
use crate::apiserver::http::answer::Answer;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::server::Server;
use crate::apiserver::services::{Allocation, Outcome};
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
    let write = Write::new(server, context, resource, Options::of(context, "CreateOptions", false)?)?;
    let decode::Sent { object, warnings } = decode::decode(&write, &body)?;
    let object = write.complete(object)?;
    let object = write.with_kind(|kind| kind.update(None, object, &write.options.manager, &write.now()));
    if !resource.served().verbs.has("get") {
        return review::answer(&write, &object, &warnings).await;
    }
    store(&write, object, &warnings).await
}

/// Creates a token of a service account, which is a request in itself.
pub(in crate::apiserver) async fn create_token(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: Bytes,
) -> Result<Answer, Status> {
    let options = Options::of(context, "CreateOptions", false)?;
    let write = Write::new(server, context, resource, options)?;
    let expected = decode::Expected::of("authentication.k8s.io/v1", "TokenRequest")?;
    let decode::Sent { object, warnings } =
        decode::decode_as(&expected, context, write.options.validation, &body)?;
    let object = owned(&write, &expected, object);
    admit::token(&write, &object).await?;
    review::token(&write, &object, &warnings).await
}

/// A request with who owns its fields, though it is stored nowhere.
fn owned(write: &Write<'_>, expected: &decode::Expected<'_>, object: Value) -> Value {
    let kind = Kind {
        of: expected.of,
        version: expected.version,
        kind: expected.kind,
        subresource: &write.context.target.subresource,
        ignored: &FieldSet::of(&[&["status"]]),
        versions: &OneVersion,
    };
    kind.update(None, object, &write.options.manager, &write.now())
}

/// Stores an object that is not there yet, with its owners and defaults.
pub(super) async fn store(
    write: &Write<'_>,
    mut object: Value,
    warnings: &[String],
) -> Result<Answer, Status> {
    let name = prepare(write, &mut object)?;
    admit::create(write, &mut object).await?;
    let kind = write.resource.kind.kind.as_str();
    strategy::first_status(kind, write.of, &mut object);
    strategy::tell_asker(kind, &write.context.user, &mut object);
    let mut allocation = allocate::begin(write, None, &mut object).await?;
    let stored = put(write, &name, object, warnings, &mut allocation).await;
    allocation.end(write.server, Outcome::of(&stored)).await;
    stored
}

/// Stores a new object that has everything, unless it breaks rules or is there already.
async fn put(
    write: &Write<'_>,
    name: &str,
    mut object: Value,
    warnings: &[String],
    allocation: &mut Allocation,
) -> Result<Answer, Status> {
    if let Some(rules) = write.rules() {
        (rules.prepare)(&mut object, None);
    }
    for_storage(write.of, &mut object);
    write.check_new(name, &object)?;
    let admit::Admitted { warnings: more, charged } = admit::complete(write, None, &object).await?;
    let warnings = &[warnings, &write.warnings(None, &object), &more].concat();
    let (store, key) = (write.server.caches.store(), write.key(name));
    let exists = || Status::already_exists(write.resource, name);
    if write.options.dry_run {
        return match store.get(&key).await?.what {
            Some(_) => Err(exists()),
            None => write.answer(StatusCode::CREATED, &object, None, warnings),
        };
    }
    let change = Change::Put { value: write.stored(&object), ttl: None };
    match store.write(&key, Expect::Absent, change).await {
        Ok(revision) => {
            charged.stored(write, revision);
            allocation.was_written();
            write.answer(StatusCode::CREATED, &object, Some(revision), warnings)
        }
        Err(StoreError::Conflict { .. }) => {
            charged.refused(write).await;
            Err(exists())
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives the object what the server decides; its name is returned.
fn prepare(write: &Write<'_>, object: &mut Value) -> Result<String, Status> {
    same_namespace(write, object)?;
    let kind = &write.resource.kind;
    let Value::Object(metadata) = &mut object["metadata"] else {
        return Err(Status::bad_request("metadata is no object"));
    };
    let text = |metadata: &Map<String, Value>, name: &str| {
        metadata.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if !text(metadata, "resourceVersion").is_empty() {
        return Err(Status::unexpected("resourceVersion should not be set on objects to be created"));
    }
    let mut name = text(metadata, "name");
    let generate = text(metadata, "generateName");
    if name.is_empty() && !generate.is_empty() {
        name = generate + &suffix();
        metadata.insert("name".to_owned(), name.as_str().into());
    }
    if name.is_empty() && strategy::names_itself(&kind.kind) {
        name = uuid();
        metadata.insert("name".to_owned(), name.as_str().into());
    }
    for server_only in ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
        metadata.remove(server_only);
    }
    metadata.insert("uid".to_owned(), uuid().into());
    metadata.insert("creationTimestamp".to_owned(), write.now().into());
    if kind.generations {
        metadata.insert("generation".to_owned(), 1.into());
    }
    Ok(name)
}

/// Bytes that nobody can guess.
pub(in crate::apiserver) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The kernel's randomness does not fail once the machine has booted.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        tracing::error!("no randomness");
    }
    bytes
}

pub(super) fn suffix() -> String {
    random::<GENERATED>().iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

/// A random UUID (RFC 9562, version 4).
pub(in crate::apiserver) fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
