//! From a server elsewhere into the index: a kind is listed and then watched, and listed again when that breaks.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use super::feed::Step;
use super::item::Item;
use crate::client::{Client, Gvr, Id, Refused};

/// Between two tries.
const RETRY: Duration = Duration::from_secs(1);
/// A line of a watch is an object, and those are bounded by what a store takes.
const LONGEST: usize = 16 << 20;

/// What is to be followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    /// The kind.
    pub kind: Gvr,
    /// Of this namespace; empty for all.
    pub namespace: &'static str,
    /// What of it, as a query that is not empty and ends with `&`; or empty.
    pub query: &'static str,
}

/// Follows objects for ever.
pub(super) async fn follow(client: Client, scope: Scope, mut step: impl FnMut(Step<'_>) + Send) {
    let mut known = HashMap::new();
    loop {
        if let Err(error) = followed(&client, &scope, &mut known, &mut step).await {
            tracing::warn!(%error, resource = scope.kind.resource, "following a kind; beginning anew");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Follows until something breaks. `known` is what was told of, with the revision of each.
async fn followed(
    client: &Client,
    scope: &Scope,
    known: &mut HashMap<Id, u64>,
    step: &mut (impl FnMut(Step<'_>) + Send),
) -> Result<(), Refused> {
    let Scope { kind, namespace, query } = scope;
    let list = client.list(kind, namespace, query.trim_end_matches('&')).await?;
    let mut revision = revision(&list);
    let mut before = std::mem::take(known);
    for object in list["items"].as_array().into_iter().flatten() {
        put(kind, object, known, step);
    }
    for id in known.keys() {
        before.remove(id);
    }
    for (id, _) in before {
        step(&mut |index| index.remove(&id, revision));
    }
    step(&mut |index| {
        index.complete(kind, revision);
        None
    });
    loop {
        let path = format!(
            "{}?{query}watch=true&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion={revision}",
            kind.path(namespace, "")
        );
        let mut lines = Lines { body: client.open(&path).await?, read: BytesMut::new() };
        while let Some(line) = lines.next().await? {
            let event: Value =
                serde_json::from_slice(&line).map_err(|error| Refused::unclear(error.to_string()))?;
            let object = &event["object"];
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => put(kind, object, known, step),
                Some("DELETED") => {
                    if let Some(id) = place(kind, object) {
                        known.remove(&id);
                        let at = self::revision(object);
                        step(&mut |index| index.remove(&id, at));
                    }
                }
                Some("BOOKMARK") => {
                    let at = self::revision(object);
                    step(&mut |index| {
                        index.complete(kind, at);
                        None
                    });
                }
                _ => return Err(Refused::of_status(object)),
            }
            revision = revision.max(self::revision(object));
        }
    }
}

fn put(kind: &Gvr, object: &Value, known: &mut HashMap<Id, u64>, step: &mut (impl FnMut(Step<'_>) + Send)) {
    match Item::of(kind, object) {
        Ok(item) => {
            let item = std::sync::Arc::new(item);
            // It may be told again, and is no change then.
            if known.insert(item.id.clone(), item.revision) != Some(item.revision) {
                step(&mut |index| Some(index.put(item.clone())));
            }
        }
        Err(error) => tracing::error!(%error, resource = kind.resource, "an object is left out"),
    }
}

fn place(kind: &Gvr, object: &Value) -> Option<Id> {
    let metadata = &object["metadata"];
    Some(Id::new(kind, metadata["namespace"].as_str().unwrap_or_default(), metadata["name"].as_str()?))
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The lines of an answer that goes on.
struct Lines {
    body: Incoming,
    read: BytesMut,
}

impl Lines {
    /// The next one; none when the answer is over.
    async fn next(&mut self) -> Result<Option<BytesMut>, Refused> {
        let mut looked = 0;
        loop {
            if let Some(end) = self.read[looked..].iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(looked + end);
                self.read.advance(1);
                return Ok(Some(line));
            }
            looked = self.read.len();
            if looked > LONGEST {
                return Err(Refused::unclear("a line of a watch is too long".to_owned()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Refused::unclear(error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
            }
        }
    }
}
