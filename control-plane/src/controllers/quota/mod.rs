//! ResourceQuotas: how much of what they limit is used.
//!
//! ```text
//!   a quota came or asks for something else ─┐
//!   an object went, or uses something else ──┼─▶ count what there is ─▶ and what is on its way ─▶ status
//!   five minutes ────────────────────────────┘
//! ```
//!
//! What is made was charged when it was admitted, so that a new object is no reason to count.

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Controller;
use super::index::{Change, Index};
use super::item::Item;
use super::kinds::Kinds;
use super::plan::{Effect, Plan};
use crate::amounts::Amounts;
use crate::client::{Gvr, Id};
use crate::quota::{self, Charges, Open};

/// ResourceQuotas.
pub static QUOTAS: Gvr = Gvr::of("", "v1", "resourcequotas");
/// Everything is counted again after so long, whatever was missed.
const RESYNC: Duration = Duration::from_mins(5);
/// What may have been missed is counted again once it must have been seen.
const SOON: Duration = Duration::from_secs(1);
/// A write that is on its way is waited for.
const UNCLEAR: Duration = Duration::from_millis(50);

/// The controller of ResourceQuotas.
pub struct Quotas {
    kinds: Kinds,
    charges: Charges,
}

impl Quotas {
    /// For these kinds and the charges of this server.
    pub fn new(kinds: Kinds, charges: Charges) -> Self {
        Self { kinds, charges }
    }

    /// What there is of what `hard` names.
    fn count(&self, index: &Index, namespace: &str, spec: &Value, hard: &Amounts, now: Timestamp) -> Amounts {
        let mut used = Amounts::default();
        for kind in self.kinds.deletable() {
            let resource = qualified(&kind.gvr);
            let names = hard.only(|name| quota::counts(&resource, name));
            if names.is_empty() || !quota::is_counted(&resource) {
                continue;
            }
            for (name, _) in names.iter().filter(|(name, _)| used.get(name).is_none()).collect::<Vec<_>>() {
                used.set(name, api_objects::Quantity::ZERO);
            }
            let mut add = |object: &Value| {
                if quota::is_in_scope(spec, &resource, object) {
                    let of = quota::usage(&resource, object, now);
                    used.add(&of.only(|name| names.get(name).is_some()));
                }
            };
            for item in index.in_namespace(&kind.gvr, namespace) {
                // Of most kinds it does not matter what an object says.
                let object = if looks_inside(&resource) { item.value() } else { Value::Null };
                add(&object);
            }
        }
        used
    }
}

impl Controller for Quotas {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        None
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == QUOTAS && asks_anew(change) {
            wake(item.id.clone());
        }
        let Some(old) = &change.old else { return };
        for found in index.in_namespace(&QUOTAS, &item.id.namespace) {
            if is_concerned(&found.value()["spec"], old, change.new.as_deref()) {
                wake(found.id.clone());
            }
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(item) = index.at(key) else { return plan };
        let unseen = match self.charges.open(&key.namespace, &key.name, |kind| index.newest(kind)) {
            Open::Unclear => {
                plan.again = Some(UNCLEAR);
                return plan;
            }
            Open::Unseen(unseen) => unseen,
            Open::Settled => Amounts::default(),
        };
        let mut object = item.value();
        let hard = Amounts::of(&object["spec"]["hard"]);
        let limited = |name: &str| hard.get(name).is_some();
        let before = Amounts::of(&object["status"]["used"]);
        // What nobody here can count stays what it was.
        let mut used = before.only(limited);
        for (name, amount) in self.count(index, &key.namespace, &object["spec"], &hard, now).iter() {
            used.set(name, amount);
        }
        used.add(&unseen.only(limited));
        let told = object["status"]["used"].is_object() && used == before;
        // Who was admitted before the quota said so was not charged, and may come a moment later.
        let asks_anew = hard != Amounts::of(&object["status"]["hard"]);
        plan.again = Some(if unseen.is_empty() && !asks_anew { RESYNC } else { SOON });
        if !told || asks_anew {
            object["status"] = json!({"hard": hard.to_json(), "used": used.to_json()});
            plan.one(Effect::Replace { id: key.clone(), subresource: "status", object });
        }
        plan
    }
}

/// `pods`, `deployments.apps`.
fn qualified(kind: &Gvr) -> String {
    match kind.group {
        "" => kind.resource.to_owned(),
        group => format!("{}.{group}", kind.resource),
    }
}

/// Whether more than their number counts of a kind's objects.
fn looks_inside(resource: &str) -> bool {
    matches!(resource, "pods" | "services" | "persistentvolumeclaims" | "resourceclaims.resource.k8s.io")
}

/// Whether a quota was made, asks for something else, or was never counted.
fn asks_anew(change: &Change) -> bool {
    let Some(new) = change.new.as_ref().map(|item| item.value()) else { return false };
    let Some(old) = change.old.as_ref().map(|item| item.value()) else { return true };
    old["spec"] != new["spec"]
        || old["status"]["hard"] != new["status"]["hard"]
        || !new["status"]["used"].is_object()
}

/// Whether a quota counts something else because an object changed or went.
fn is_concerned(spec: &Value, old: &Item, new: Option<&Item>) -> bool {
    let resource = qualified(&old.id.kind);
    let hard = Amounts::of(&spec["hard"]).only(|name| quota::counts(&resource, name));
    if hard.is_empty() {
        return false;
    }
    let Some(new) = new else { return true };
    if !looks_inside(&resource) {
        return false;
    }
    let of = |item: &Item| {
        let object = item.value();
        // Who should have gone by now is found when everything is counted again.
        let used = quota::usage(&resource, &object, Timestamp::UNIX_EPOCH);
        (quota::is_in_scope(spec, &resource, &object), used)
    };
    of(old) != of(new)
}
