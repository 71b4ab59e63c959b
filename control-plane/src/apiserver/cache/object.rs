//! An object as the cache keeps it: encoded, with what selectors ask for beside it.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use super::scan;
use crate::apiserver::kinds::{Kind, Resource};
use crate::storage::Revision;

/// The bytes under a key are no object.
#[derive(Debug, thiserror::Error)]
#[error("{key}: what is stored there is no object: {why}")]
pub struct NoObject {
    key: String,
    why: &'static str,
}

/// An object without its `apiVersion` and `kind`, as JSON: what stands in a list. Its `resourceVersion` is in it.
#[derive(Debug, Clone)]
pub struct Body {
    /// `{"metadata":{…},…}`
    pub json: Bytes,
    metadata: Range<usize>,
}

impl Body {
    /// The metadata alone.
    pub fn metadata(&self) -> Bytes {
        self.json.slice(self.metadata.clone())
    }
}

/// An object at a revision.
#[derive(Debug)]
pub struct Object {
    /// Its key in the store.
    pub key: Arc<str>,
    /// The write that made it, or that deleted it.
    pub revision: Revision,
    kind: Arc<Kind>,
    body: Body,
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
    /// The bodies of other versions, made when somebody asks for them.
    converted: OnceLock<Box<[OnceLock<Body>]>>,
}

const HEAD: &[u8] = b"{\"metadata\":";
const REVISION: &[u8] = b"{\"resourceVersion\":\"";

impl Object {
    /// Reads what is stored.
    pub fn decode(kind: &Arc<Kind>, key: &str, revision: Revision, stored: &[u8]) -> Result<Self, NoObject> {
        let wrong = |why| NoObject { key: key.to_owned(), why };
        let mut parts = scan::members(stored).ok_or(wrong("it does not begin as one"))?;
        let (mut metadata, mut rest) = (None, Vec::new());
        for (name, range) in parts.by_ref() {
            match name {
                b"metadata" => metadata = Some(&stored[range]),
                b"apiVersion" | b"kind" => {}
                _ => rest.push((name, &stored[range])),
            }
        }
        if parts.broken() {
            return Err(wrong("it breaks off"));
        }
        let metadata = metadata.ok_or(wrong("it has no metadata"))?;
        let body = encode(revision, metadata, &rest).ok_or(wrong("its metadata is no object"))?;
        let json = &body.json;
        let fields = kind.fields.iter().map(|field| {
            let found = scan::find(json, &field.path).and_then(scan::text);
            found.unwrap_or_else(|| field.absent.clone()).into_boxed_str()
        });
        let fields = fields.collect();
        let labels = labels(&json[body.metadata.clone()]);
        Ok(Self {
            key: key.into(),
            revision,
            kind: kind.clone(),
            body,
            labels,
            fields,
            converted: OnceLock::new(),
        })
    }

    /// The same at another revision: what a deletion tells.
    pub fn at(&self, revision: Revision) -> Self {
        let json = &self.body.json;
        let begin = HEAD.len() + REVISION.len();
        let digits = json[begin..].iter().position(|b| *b == b'"').unwrap_or(0);
        let number = revision.to_string();
        let json = [&json[..begin], number.as_bytes(), &json[begin + digits..]].concat();
        let end = self.body.metadata.end + number.len() - digits;
        Self {
            key: self.key.clone(),
            revision,
            kind: self.kind.clone(),
            body: Body { json: json.into(), metadata: HEAD.len()..end },
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            converted: OnceLock::new(),
        }
    }

    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(n, _)| **n == *name).map(|(_, value)| &**value)
    }

    /// The value of the kind's field of this index.
    pub fn field(&self, index: usize) -> &str {
        self.fields.get(index).map_or("", |value| value)
    }

    /// The object as it is stored.
    pub fn stored(&self) -> &Body {
        &self.body
    }

    /// The object as it is stored, to be looked into.
    pub fn value(&self) -> Value {
        // It was well-formed when it was decoded.
        serde_json::from_slice(&self.body.json).unwrap_or_default()
    }

    /// The object as a version serves it.
    pub fn body(&self, resource: &Resource) -> &Body {
        let Some(conversion) = &resource.served().conversion else { return &self.body };
        let bodies =
            self.converted.get_or_init(|| self.kind.served.iter().map(|_| OnceLock::new()).collect());
        let Some(body) = bodies.get(resource.index()) else { return &self.body };
        body.get_or_init(|| {
            let mut value = self.value();
            (conversion.serve)(&mut value);
            Body::of(&value).unwrap_or_else(|| self.body.clone())
        })
    }

    /// Bytes that it takes up, roughly.
    pub fn size(&self) -> usize {
        self.body.json.len() + self.key.len() + 200
    }
}

impl Body {
    /// The body of an object that has its metadata.
    pub fn of(value: &Value) -> Option<Self> {
        let json = Bytes::from(value.to_string());
        let (_, metadata) = scan::members(&json)?.find(|(name, _)| *name == b"metadata")?;
        Some(Self { json, metadata })
    }
}

/// `{"metadata":{"resourceVersion":"N",…},…}`
fn encode(revision: Revision, metadata: &[u8], rest: &[(&[u8], &[u8])]) -> Option<Body> {
    let mut json = Vec::with_capacity(
        HEAD.len() + metadata.len() + 40 + rest.iter().map(|(n, v)| n.len() + v.len() + 4).sum::<usize>(),
    );
    json.extend_from_slice(HEAD);
    json.extend_from_slice(REVISION);
    json.extend_from_slice(revision.to_string().as_bytes());
    json.push(b'"');
    for (name, range) in scan::members(metadata)?.filter(|(name, _)| *name != b"resourceVersion") {
        member(&mut json, name, &metadata[range]);
    }
    json.push(b'}');
    let end = json.len();
    for (name, value) in rest {
        member(&mut json, name, value);
    }
    json.push(b'}');
    json.shrink_to_fit();
    Some(Body { json: json.into(), metadata: HEAD.len()..end })
}

fn member(json: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name);
    json.extend_from_slice(b"\":");
    json.extend_from_slice(value);
}

fn labels(metadata: &[u8]) -> Box<[(Box<str>, Box<str>)]> {
    let found = scan::members(metadata).and_then(|mut members| members.find(|(name, _)| *name == b"labels"));
    let Some(json) = found.map(|(_, range)| &metadata[range]) else { return Box::default() };
    let pairs = scan::members(json).into_iter().flatten().filter_map(|(name, range)| {
        Some((scan::name(name)?.into_boxed_str(), scan::text(&json[range])?.into_boxed_str()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::apiserver::kinds::Registry;

    fn resource(group: &str, name: &str) -> Resource {
        Registry::builtin().unwrap().table().find(group, "v1", name).unwrap().clone()
    }

    fn parsed(body: &Body) -> Value {
        serde_json::from_slice(&body.json).unwrap()
    }

    #[test]
    fn what_is_stored_gets_its_revision_and_loses_its_type() {
        let pods = resource("", "pods");
        let stored = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"x\"": "é"}},
            "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        let object =
            Object::decode(&pods.kind, "/registry/pods/d/a", 7, stored.to_string().as_bytes()).unwrap();
        let mut expected = stored.clone();
        expected.as_object_mut().unwrap().retain(|name, _| name != "apiVersion" && name != "kind");
        expected["metadata"]["resourceVersion"] = "7".into();
        let body = object.body(&pods);
        assert_eq!(parsed(body), expected);
        assert_eq!(serde_json::from_slice::<Value>(&body.metadata()).unwrap(), expected["metadata"]);
        assert_eq!((object.label("x\""), object.label("y")), (Some("é"), None));
        let field = |name: &str| {
            let index = pods.served().labels.iter().find(|(label, _)| label == name).unwrap().1;
            object.field(index)
        };
        assert_eq!((field("spec.nodeName"), field("status.phase")), ("n", "Running"));
        assert_eq!((field("spec.hostNetwork"), field("status.podIP")), ("false", ""));

        let deleted = object.at(12345);
        expected["metadata"]["resourceVersion"] = "12345".into();
        assert_eq!(parsed(deleted.body(&pods)), expected);
        let metadata: Value = serde_json::from_slice(&deleted.body(&pods).metadata()).unwrap();
        assert_eq!(metadata, expected["metadata"]);
    }

    #[test]
    fn another_version_has_a_body_of_its_own() {
        let (core, own) = (resource("", "events"), resource("events.k8s.io", "events"));
        let stored = json!({"metadata": {"name": "e"}, "message": "m"}).to_string();
        let object = Object::decode(&core.kind, "k", 1, stored.as_bytes()).unwrap();
        assert_eq!(parsed(object.body(&own))["note"], "m");
        assert_eq!(parsed(object.body(&core))["message"], "m");
        let metadata: Value = serde_json::from_slice(&object.body(&own).metadata()).unwrap();
        assert_eq!(metadata, json!({"name": "e", "resourceVersion": "1"}));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let pods = resource("", "pods");
        for stored in ["", "[]", "{}", "{\"metadata\":1}", "{\"metadata\":{}", "k8s\0"] {
            assert!(Object::decode(&pods.kind, "k", 1, stored.as_bytes()).is_err(), "{stored}");
        }
    }
}
