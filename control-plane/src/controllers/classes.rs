//! VolumeAttributesClasses are kept while a claim or a volume names them.
//!
//! ```text
//!   is there ──▶ protected      going ──▶ no claim and no volume names it ──▶ may go
//! ```

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::Controller;
use super::claims::{CLAIMS, VOLUMES, protect, release, wants};
use super::index::{Change, Index};
use super::plan::{Effect, Guard, Plan};
use crate::client::{Gvr, Id};

static CLASSES: Gvr = Gvr::of("storage.k8s.io", "v1", "volumeattributesclasses");
const FINALIZER: &str = "kubernetes.io/vac-protection";

/// Protects them.
pub struct AttributesClasses;

impl Controller for AttributesClasses {
    fn name(&self) -> &'static str {
        "volumeattributesclass-protection-controller"
    }

    fn queue(&self) -> &'static str {
        "vacprotection"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![CLASSES, CLAIMS, VOLUMES])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == CLASSES {
            if change.new.as_deref().is_some_and(|class| wants(class, FINALIZER)) {
                wake(item.id.clone());
            }
        } else if let Some(old) = change.old.as_deref().filter(|old| [CLAIMS, VOLUMES].contains(&old.id.kind))
        {
            // What is named no longer may have waited for this.
            let now = change.new.as_deref().map(|new| new.value()).unwrap_or_default();
            let (old, now) = (old.value(), names(&now));
            let lost: Vec<Id> =
                names(&old).difference(&now).map(|name| Id::new(&CLASSES, "", name)).collect();
            lost.into_iter().for_each(wake);
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(class) = index.at(key).filter(|class| wants(class, FINALIZER)) else { return plan };
        if !class.deleting {
            plan.one(protect(class, FINALIZER));
        } else if !index.all(&CLAIMS).chain(index.all(&VOLUMES)).any(|item| uses(&item.value(), &key.name)) {
            // The index may not know yet of a claim that names it since just now.
            let guards = [CLAIMS, VOLUMES].map(|kind| Guard::Unnamed(key.clone(), kind)).to_vec();
            plan.one(Effect::If(guards, Box::new(release(class, FINALIZER))));
        }
        plan
    }
}

/// The classes that a claim or a volume names: the one that is asked for, the one that it has, and the one that it is
/// being changed to.
fn names(object: &Value) -> BTreeSet<&str> {
    let named = [
        &object["spec"]["volumeAttributesClassName"],
        &object["status"]["currentVolumeAttributesClassName"],
        &object["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ];
    named.into_iter().filter_map(Value::as_str).filter(|name| !name.is_empty()).collect()
}

/// Whether a claim or a volume names a class.
pub(super) fn uses(object: &Value, class: &str) -> bool {
    names(object).contains(class)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::controllers::item::Item;
    use crate::controllers::plan::Step;

    fn class(going: bool, finalizers: &[&str]) -> Value {
        let deleted = if going { json!("2026-01-01T00:00:00Z") } else { Value::Null };
        json!({"metadata": {"name": "fast", "uid": "c", "deletionTimestamp": deleted, "finalizers": finalizers}})
    }

    fn claim(spec: &str, current: &str, target: &str) -> Value {
        json!({"metadata": {"name": "p", "namespace": "n", "uid": "p"}, "spec": {"volumeAttributesClassName": spec},
            "status": {"currentVolumeAttributesClassName": current,
                "modifyVolumeStatus": {"targetVolumeAttributesClassName": target}}})
    }

    fn finalizers(class: &Value, others: &[(&Gvr, Value)]) -> Option<Value> {
        let mut index = Index::default();
        for (kind, object) in others {
            index.put(Arc::new(Item::of(kind, object).unwrap()));
        }
        let change = index.put(Arc::new(Item::of(&CLASSES, class).unwrap()));
        let mut woken = Vec::new();
        AttributesClasses.wake(&index, &change, &mut |id| woken.push(id));
        let plan = AttributesClasses.reconcile(&index, &Id::new(&CLASSES, "", "fast"), Timestamp::UNIX_EPOCH);
        assert!(plan.steps.is_empty() || !woken.is_empty(), "nobody would look");
        match plan.steps.into_iter().next()? {
            Step::One(Effect::Replace { object, .. }) => Some(object["metadata"]["finalizers"].clone()),
            Step::One(Effect::If(guards, effect)) => {
                assert_eq!(guards.len(), 2);
                let Effect::Replace { object, .. } = *effect else { panic!("{effect:?}") };
                Some(object["metadata"]["finalizers"].clone())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_class_goes_when_nobody_names_it() {
        let going = class(true, &["other", FINALIZER]);
        assert_eq!(finalizers(&class(false, &[]), &[]), Some(json!([FINALIZER])));
        assert_eq!(finalizers(&class(false, &[FINALIZER]), &[]), None);
        assert_eq!(finalizers(&going, &[]), Some(json!(["other"])));
        for named in [claim("fast", "", ""), claim("", "fast", ""), claim("slow", "slow", "fast")] {
            assert_eq!(finalizers(&going, &[(&CLAIMS, named)]), None);
        }
        let volume =
            json!({"metadata": {"name": "v", "uid": "v"}, "spec": {"volumeAttributesClassName": "fast"}});
        assert_eq!(finalizers(&going, &[(&VOLUMES, volume)]), None);
        assert_eq!(finalizers(&going, &[(&CLAIMS, claim("slow", "", ""))]), Some(json!(["other"])));
    }

    #[test]
    fn a_class_is_looked_at_when_it_is_named_no_longer() {
        let woken = |old: Option<&Value>, new: Option<&Value>| {
            let item = |claim: &Value| Arc::new(Item::of(&CLAIMS, claim).unwrap());
            let (mut woken, change) = (Vec::new(), Change { old: old.map(item), new: new.map(item) });
            AttributesClasses.wake(&Index::default(), &change, &mut |id| woken.push(id.name));
            woken
        };
        let (before, after) = (claim("fast", "fast", ""), claim("slow", "fast", "slow"));
        assert!(woken(None, Some(&before)).is_empty() && woken(Some(&before), Some(&after)).is_empty());
        assert_eq!(woken(Some(&after), Some(&claim("slow", "slow", ""))), ["fast"]);
        assert_eq!(woken(Some(&after), None), ["fast", "slow"]);
    }
}
