//! What happened to an object, and what a watch is told of it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::object::Object;
use crate::apiserver::kinds::Resource;
use crate::storage::Revision;

/// What a watch is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// It came to be, or came to be selected.
    Added,
    /// It changed and stays selected.
    Modified,
    /// It is gone, or is no longer selected.
    Deleted,
}

impl Type {
    /// As it is sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// A write to an object.
#[derive(Debug)]
pub struct Event {
    /// The write.
    pub revision: Revision,
    /// The object after it; of a deletion the last one, with the deletion's revision.
    pub object: Arc<Object>,
    /// The object before it.
    pub previous: Option<Arc<Object>>,
    /// It was deleted.
    pub deleted: bool,
    /// The event as most watches get it, encoded once for all of them.
    frame: OnceLock<Bytes>,
}

impl Event {
    /// A write of an object.
    pub fn put(object: Arc<Object>, previous: Option<Arc<Object>>) -> Self {
        Self { revision: object.revision, object, previous, deleted: false, frame: OnceLock::new() }
    }

    /// A deletion.
    pub fn delete(previous: Arc<Object>, revision: Revision) -> Self {
        let object = Arc::new(previous.at(revision));
        Self { revision, object, previous: Some(previous), deleted: true, frame: OnceLock::new() }
    }

    /// What it is to a watch that selects everything.
    pub fn plain_type(&self) -> Type {
        match (self.deleted, &self.previous) {
            (true, _) => Type::Deleted,
            (false, None) => Type::Added,
            (false, Some(_)) => Type::Modified,
        }
    }

    /// What a watch is told that selects some objects; none when it is not told.
    pub fn told(&self, selects: impl Fn(&Object) -> bool) -> Option<(Type, Arc<Object>)> {
        let before = self.previous.as_deref().is_some_and(&selects);
        let after = !self.deleted && selects(&self.object);
        match (before, after) {
            (false, true) => Some((Type::Added, self.object.clone())),
            (true, true) => Some((Type::Modified, self.object.clone())),
            (true, false) if self.deleted => Some((Type::Deleted, self.object.clone())),
            // It left the selection: the watch is shown it as it last was there.
            (true, false) => {
                let last = self.previous.as_ref()?.at(self.revision);
                Some((Type::Deleted, Arc::new(last)))
            }
            (false, false) => None,
        }
    }

    /// The whole event, encoded.
    pub fn frame(&self, told: Type, object: &Arc<Object>, resource: &Resource) -> Bytes {
        let shared = told == self.plain_type()
            && Arc::ptr_eq(object, &self.object)
            && resource.served().conversion.is_none();
        if shared {
            return self.frame.get_or_init(|| frame(told, object, resource)).clone();
        }
        frame(told, object, resource)
    }

    /// Bytes that it takes up, roughly.
    pub fn size(&self) -> usize {
        self.object.size() * 2 + 200
    }
}

/// `{"type":"ADDED","object":{…}}` and a newline.
fn frame(told: Type, object: &Object, resource: &Resource) -> Bytes {
    let json = &object.body(resource).json;
    let head = head(resource);
    let mut frame = Vec::with_capacity(json.len() + head.len() + 40);
    frame.extend_from_slice(b"{\"type\":\"");
    frame.extend_from_slice(told.name().as_bytes());
    frame.extend_from_slice(b"\",\"object\":");
    frame.extend_from_slice(head.as_bytes());
    frame.extend_from_slice(&json[1..]);
    frame.extend_from_slice(b"}\n");
    frame.into()
}

/// The beginning of an object of a resource, up to its first member.
pub fn head(resource: &Resource) -> String {
    format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", resource.kind.kind, resource.served().api_version())
}
