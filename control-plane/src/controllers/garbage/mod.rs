//! The garbage collector: what belongs to somebody goes when they go.
//!
//! ```text
//!   an object's owners        all there ─▶ it stays
//!                             some gone or going first ─▶ it stays, without them
//!                             none there ─▶ deleted
//!   a going object
//!     orphan                  its dependents are told that it is no longer theirs ─▶ it may go
//!     foregroundDeletion      its dependents go; when none of those that block it is left ─▶ it may go
//! ```
//!
//! The index may be behind: that an owner is gone is asked of the API server before anything is deleted for it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Controller;
use super::index::{Change, Index};
use super::item::{Item, Owner};
use super::kinds::Kinds;
use super::plan::{Effect, Guard, Plan, Step};
use crate::client::{Gvr, Id, PatchType};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// The garbage collector.
pub struct Garbage {
    kinds: Kinds,
}

impl Garbage {
    /// A collector of these kinds' objects.
    pub fn new(kinds: Kinds) -> Self {
        Self { kinds }
    }
}

/// It goes when what it owns is gone.
fn waits(item: &Item) -> bool {
    item.deleting && item.has_finalizer(FOREGROUND)
}

impl Controller for Garbage {
    fn name(&self) -> &'static str {
        "generic-garbage-collector"
    }

    fn queue(&self) -> &'static str {
        "garbage_collector_attempt_to_delete"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        None
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let (old, new) = (change.old.as_ref(), change.new.as_ref());
        if let Some(item) = new {
            let owners = !item.owners.is_empty() && owners_of(old) != item.owners;
            if owners || (item.deleting && (item.has_finalizer(ORPHAN) || item.has_finalizer(FOREGROUND))) {
                wake(item.id.clone());
            }
        }
        // Its dependents are concerned by its end, and by its waiting for theirs.
        let now_waits = new.is_some_and(|item| waits(item)) && !old.is_some_and(|item| waits(item));
        let other = old.zip(new).is_some_and(|(old, new)| old.uid != new.uid);
        if let Some(item) = old.filter(|_| new.is_none() || other).or(new.filter(|_| now_waits)) {
            index.owned(&item.uid).for_each(|dependent| wake(dependent.id.clone()));
        }
        // An owner that waits may have waited for this.
        for owner in owners_of(old) {
            if let Some(owner) = index.by_uid(&owner.uid).filter(|owner| waits(owner)) {
                wake(owner.id.clone());
            }
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, _now: Timestamp) -> Plan {
        let Some(item) = index.at(key) else { return Plan::default() };
        let mut plan = Plan::default();
        if item.deleting {
            if item.has_finalizer(ORPHAN) {
                let free = index.owned(&item.uid).map(|dependent| disown(dependent, &[&item.uid]));
                plan.steps.push(Step::Together(free.collect()));
                plan.one(finish(item, ORPHAN));
            } else if item.has_finalizer(FOREGROUND) {
                let blocks = |dependent: &Item| {
                    dependent.owners.iter().any(|owner| owner.uid == item.uid && owner.block_owner_deletion)
                };
                if !index.owned(&item.uid).any(|dependent| blocks(dependent)) {
                    plan.one(finish(item, FOREGROUND));
                }
            }
            return plan;
        }
        if let Some(owners) = Owners::of(index, item, &self.kinds) {
            plan.steps = owners.decide(index, item);
        }
        plan
    }
}

fn owners_of(item: Option<&Arc<Item>>) -> &[Owner] {
    item.map_or(&[], |item| &item.owners)
}

/// An object's owners, by what is known of them.
#[derive(Default)]
struct Owners<'a> {
    /// Those that are there.
    solid: Vec<&'a Owner>,
    /// Those that wait for their dependents to go.
    waiting: Vec<&'a Owner>,
    /// Those that the index does not have.
    gone: Vec<&'a Owner>,
    /// That they really are gone.
    guards: Vec<Guard>,
}

impl<'a> Owners<'a> {
    /// None when somebody cannot be told: such an object is left alone.
    fn of(index: &Index, item: &'a Item, kinds: &Kinds) -> Option<Self> {
        let mut owners = Self::default();
        for owner in &item.owners {
            let kind = kinds.find(&owner.api_version, &owner.kind)?;
            if kind.namespaced && item.id.namespace.is_empty() {
                // What is in no namespace cannot say in which one its owner is.
                return None;
            }
            let namespace = if kind.namespaced { item.id.namespace.as_str() } else { "" };
            let id = Id::new(&kind.gvr, namespace, &owner.name);
            match index.at(&id).filter(|found| found.uid == owner.uid) {
                Some(found) if waits(found) => owners.waiting.push(owner),
                Some(_) => owners.solid.push(owner),
                None => {
                    owners.gone.push(owner);
                    owners.guards.push(Guard::Gone(id, owner.uid.clone()));
                }
            }
        }
        Some(owners)
    }

    fn decide(self, index: &Index, item: &Item) -> Vec<Step> {
        let guarded = |effect: Effect| Step::One(Effect::If(self.guards.clone(), Box::new(effect)));
        if !self.solid.is_empty() || item.owners.is_empty() {
            let others: Vec<&str> =
                self.gone.iter().chain(&self.waiting).map(|owner| owner.uid.as_str()).collect();
            return if others.is_empty() { Vec::new() } else { vec![guarded(disown(item, &others))] };
        }
        if !self.waiting.is_empty() && index.owned(&item.uid).next().is_some() {
            let mut steps = Vec::new();
            let mut revision = Some(item.revision);
            if index.owned(&item.uid).any(|dependent| waits(dependent)) {
                // They could be waiting for each other in a circle.
                steps.push(guarded(unblock(item)));
                revision = None;
            }
            steps.push(guarded(delete(item, revision, "Foreground")));
            return steps;
        }
        let propagation = match (item.has_finalizer(ORPHAN), item.has_finalizer(FOREGROUND)) {
            (true, _) => "Orphan",
            (_, true) => "Foreground",
            _ => "Background",
        };
        vec![guarded(delete(item, Some(item.revision), propagation))]
    }
}

fn delete(item: &Item, revision: Option<u64>, propagation: &'static str) -> Effect {
    let (id, uid) = (item.id.clone(), item.uid.clone());
    Effect::Delete { id, uid, revision, propagation: Some(propagation), grace: None }
}

/// Writes some of an object's metadata, if it is still the one that is known.
fn patch(item: &Item, field: &str, value: Value) -> Effect {
    let revision = item.revision.to_string();
    let patch = json!({"metadata": {"uid": item.uid, "resourceVersion": revision, field: value}});
    Effect::Patch { id: item.id.clone(), subresource: "", how: PatchType::Merge, patch }
}

fn references(item: &Item) -> Vec<Value> {
    item.value()["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default()
}

/// Takes owners away.
fn disown(item: &Item, uids: &[&str]) -> Effect {
    let mut owners = references(item);
    owners.retain(|owner| !uids.iter().any(|uid| owner["uid"] == **uid));
    patch(item, "ownerReferences", owners.into())
}

/// No owner waits for it any more.
fn unblock(item: &Item) -> Effect {
    let mut owners = references(item);
    owners.iter_mut().for_each(|owner| owner["blockOwnerDeletion"] = false.into());
    patch(item, "ownerReferences", owners.into())
}

/// Says that this is done, so that the object may go.
fn finish(item: &Item, finalizer: &str) -> Effect {
    let left: Vec<&String> = item.finalizers.iter().filter(|other| *other != finalizer).collect();
    patch(item, "finalizers", json!(left))
}
