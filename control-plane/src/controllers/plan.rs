//! What a controller decided: effects in steps, for the shell to perform.

use std::time::Duration;

use serde_json::{Value, json};

use super::item::Item;
use crate::client::{Gvr, Id, PatchType, Refused};

/// Something to be done through the API server.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make an object.
    Create {
        /// Of this kind,
        kind: Gvr,
        /// in this namespace.
        namespace: String,
        /// The object without `apiVersion` and `kind`.
        object: Value,
    },
    /// Replace an object, or a subresource of it. Its resourceVersion says which one is meant.
    Replace {
        /// Where it is.
        id: Id,
        /// Empty for the object itself.
        subresource: &'static str,
        /// What it is to be.
        object: Value,
    },
    /// Patch an object, or a subresource of it.
    Patch {
        /// Where it is.
        id: Id,
        /// Empty for the object itself.
        subresource: &'static str,
        /// How the patch is to be read.
        how: PatchType,
        /// The patch; a uid or a resourceVersion in it says which object is meant.
        patch: Value,
    },
    /// Delete an object.
    Delete {
        /// Where it is.
        id: Id,
        /// This one and no other of its name.
        uid: String,
        /// As it was at this write and not later.
        revision: Option<u64>,
        /// What becomes of what it owns.
        propagation: Option<&'static str>,
        /// The seconds that it has left, where it is not to have those of its own.
        grace: Option<u32>,
    },
    /// Delete all objects of a kind in a namespace.
    DeleteAll {
        /// The kind.
        kind: Gvr,
        /// The namespace.
        namespace: String,
    },
    /// Tell people.
    Tell(Telling),
    /// Do something if all of this holds, as the API server itself says and not the index.
    If(Vec<Guard>, Box<Effect>),
}

/// Something that people should know of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// The object that it is about: an `ObjectReference`.
    pub about: Value,
    /// It is a warning.
    pub warning: bool,
    /// One word for programs.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

/// A condition that is checked right before an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Guard {
    /// The object with this identity is there and not going.
    Alive(Id, String),
    /// The object with this identity is not there.
    Gone(Id, String),
    /// There is no object here, of whatever identity.
    Absent(Id),
    /// No pod that has its node uses this claim.
    Unclaimed(Id),
    /// No object of this kind, which is that of claims or of volumes, names this VolumeAttributesClass.
    Unnamed(Id, Gvr),
    /// One of these SubjectAccessReviews is answered with yes.
    Allowed(Vec<Value>),
    /// There is nothing of a kind in a namespace.
    Empty(Gvr, String),
}

/// Effects that belong together.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// One.
    One(Effect),
    /// At the same time.
    Together(Vec<Effect>),
    /// One, then two at the same time, then four, until one of them fails: who is refused asks not for all.
    SlowStart(Vec<Effect>),
}

/// How the steps went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was refused. The steps behind it were not begun.
    pub failures: Vec<Refused>,
    /// The names of what was made.
    pub created: Vec<String>,
    /// The names of what was deleted.
    pub deleted: Vec<String>,
}

/// What is to be done depending on how the steps went.
pub type Then = Box<dyn FnOnce(&Outcome) -> Vec<Effect> + Send>;

/// Somebody else than the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Their name.
    pub name: String,
    /// Their group.
    pub group: &'static str,
}

/// What is to be done.
#[derive(Default)]
pub struct Plan {
    /// Who does it, where that is not the controller itself.
    pub by: Option<Identity>,
    /// One after the other; a step that fails is the last one.
    pub steps: Vec<Step>,
    /// And then, whether they failed or not.
    pub then: Option<Then>,
    /// Look again after this time even if nothing happens.
    pub again: Option<Duration>,
}

impl Plan {
    /// Adds an effect.
    pub fn one(&mut self, effect: Effect) {
        self.steps.push(Step::One(effect));
    }
}

/// The reference to an object in Events.
pub fn reference(item: &Item, kind: &str) -> Value {
    json!({
        "apiVersion": item.id.kind.api_version(),
        "kind": kind,
        "namespace": item.id.namespace,
        "name": item.id.name,
        "uid": item.uid,
        "resourceVersion": item.revision.to_string(),
    })
}
