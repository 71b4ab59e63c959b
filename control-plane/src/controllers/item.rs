//! An object as controllers see it: its metadata read, the rest as the watch cache keeps it until somebody asks.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use api_objects::selector::LabelSelector;
use api_objects::time;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::node::NODES;
use super::node::facts::NodeFacts;
use super::pods::PodFacts;
use crate::client::{Gvr, Id};

/// Pods, whose facts are read at once.
pub static PODS: Gvr = Gvr::of("", "v1", "pods");

/// Who an object belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    /// The owner's group and version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// It manages the object; at most one owner does.
    pub controller: bool,
    /// It is not to go before the object, where it goes in the foreground.
    pub block_owner_deletion: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
    generation: i64,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Owner>>,
    finalizers: Option<Vec<String>>,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
}

/// An object.
#[derive(Debug)]
pub struct Item {
    /// Its place.
    pub id: Id,
    /// Its identity.
    pub uid: String,
    /// The write that made it what it is.
    pub revision: u64,
    /// How often what is asked of it changed.
    pub generation: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its owners.
    pub owners: Vec<Owner>,
    /// Who has something left to do before it may go.
    pub finalizers: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// It is going.
    pub deleting: bool,
    /// What is asked of pods most.
    pub pod: Option<PodFacts>,
    /// What is asked of nodes most.
    pub node: Option<Box<NodeFacts>>,
    /// What its spec selects, once somebody asked.
    selector: OnceLock<Option<LabelSelector>>,
    json: Bytes,
}

impl Item {
    /// Reads an object of a kind; `metadata` is that part of `json`.
    pub fn read(kind: &Gvr, json: Bytes, metadata: &[u8]) -> Result<Self, serde_json::Error> {
        let read: Metadata = serde_json::from_slice(metadata)?;
        let time = |text: Option<String>| text.as_deref().and_then(time::parse);
        Ok(Self {
            id: Id { kind: *kind, namespace: read.namespace, name: read.name },
            uid: read.uid,
            revision: read.resource_version.parse().unwrap_or(0),
            generation: read.generation,
            labels: read.labels.unwrap_or_default(),
            owners: read.owner_references.unwrap_or_default(),
            finalizers: read.finalizers.unwrap_or_default(),
            created: time(read.creation_timestamp),
            deleting: read.deletion_timestamp.is_some(),
            pod: if *kind == PODS { Some(PodFacts::read(&json)?) } else { None },
            node: if *kind == NODES { Some(Box::new(NodeFacts::read(&json)?)) } else { None },
            selector: OnceLock::new(),
            json,
        })
    }

    /// An object that is at hand as a value.
    pub fn of(kind: &Gvr, object: &Value) -> Result<Self, serde_json::Error> {
        Self::read(kind, object.to_string().into(), object["metadata"].to_string().as_bytes())
    }

    /// The whole object, without `apiVersion` and `kind`.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }

    fn read_selector(&self) -> Option<&LabelSelector> {
        let read = || {
            let object = self.value();
            let selector = object["spec"].get("selector").filter(|selector| !selector.is_null())?;
            LabelSelector::from_object(selector).ok()
        };
        self.selector.get_or_init(read).as_ref()
    }

    /// What its spec selects; none where that would be everything, or cannot be told.
    pub fn selector(&self) -> Option<&LabelSelector> {
        self.read_selector().filter(|selector| !selector.is_empty())
    }

    /// Whether its spec selects an object, where one that is empty selects everything.
    pub fn chooses(&self, other: &Self) -> bool {
        self.read_selector().is_some_and(|selector| selector.matches(|name| other.label(name)))
    }

    /// Whether its spec selects an object.
    pub fn selects(&self, other: &Self) -> bool {
        self.selector().is_some_and(|selector| selector.matches(|name| other.label(name)))
    }

    /// Who manages it.
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }

    /// A label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Whether somebody is to do this before it may go.
    pub fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == name)
    }
}
