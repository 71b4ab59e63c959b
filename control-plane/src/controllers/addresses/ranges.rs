//! ServiceCIDRs: they are kept until nobody's address would be in none.
//!
//! ```text
//!   made ─▶ finalizer, Ready ─▶ deleted ─▶ an address is in no other one: not Ready, waits
//!                                  └─────▶ none is: 10 s later, when no server gives out of it any more, it goes
//! ```

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{ADDRESSES, RANGES, blocks};
use crate::apiserver::services::{Block, MANAGED_BY, MANAGER};
use crate::client::{Gvr, Id, PatchType};
use crate::controllers::Controller;
use crate::controllers::conditions;
use crate::controllers::index::{Change, Index};
use crate::controllers::item::Item;
use crate::controllers::plan::{Effect, Plan, Step};

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// So long servers may take to notice that a ServiceCIDR goes.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// The controller of ServiceCIDRs.
pub struct ServiceRanges;

impl Controller for ServiceRanges {
    fn name(&self) -> &'static str {
        "service-cidrs-controller"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![RANGES, ADDRESSES])
    }

    fn wake(&self, index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == RANGES {
            wake(item.id.clone());
        }
        // One that goes may have waited for this.
        index.all(&RANGES).filter(|range| range.deleting).for_each(|range| wake(range.id.clone()));
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(range) = index.at(key) else { return plan };
        let patch = |subresource: &'static str, mut patch: Value| {
            if subresource.is_empty() {
                patch["metadata"]["uid"] = range.uid.as_str().into();
            }
            Effect::Patch { id: key.clone(), subresource, how: PatchType::Strategic, patch }
        };
        let object = range.value();
        if !range.deleting {
            if !range.has_finalizer(FINALIZER) {
                plan.one(patch("", json!({ "metadata": { "finalizers": [FINALIZER] } })));
            }
            let ready = condition("True", "", "Kubernetes Service CIDR is ready", now);
            plan.steps.extend(differs(&object, &ready).then(|| Step::One(patch("status", ready))));
            return plan;
        }
        if is_needed(index, range) {
            let why = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
            let waits = condition("False", "Terminating", why, now);
            plan.steps.extend(differs(&object, &waits).then(|| Step::One(patch("status", waits))));
            return plan;
        }
        let deleted = object["metadata"]["deletionTimestamp"].as_str().and_then(api_objects::time::parse);
        let left = deleted.map_or(SignedDuration::ZERO, |deleted| GRACE - now.duration_since(deleted));
        if left > SignedDuration::ZERO {
            plan.again = left.try_into().ok();
        } else if range.has_finalizer(FINALIZER) {
            plan.one(patch(
                "",
                json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": [FINALIZER] } }),
            ));
        }
        plan
    }
}

/// The patch of a status that says whether addresses are given out of the blocks.
fn condition(status: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    json!({ "status": { "conditions": [{
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": api_objects::time::format(now),
    }] } })
}

fn differs(object: &Value, patch: &Value) -> bool {
    let wanted = &patch["status"]["conditions"][0];
    let found = conditions::get(&object["status"], "Ready");
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    found.is_none_or(|found| {
        ["status", "reason", "message"].iter().any(|field| text(found, field) != text(wanted, field))
    })
}

/// Whether an address would be in no ServiceCIDR if this one went.
fn is_needed(index: &Index, range: &Item) -> bool {
    let own = blocks(range);
    let others = index.all(&RANGES).filter(|other| other.id != range.id && !other.deleting);
    let others: Vec<Block> = others.flat_map(|other| blocks(other)).collect();
    if own.iter().all(|block| others.iter().any(|other| other.covers(*block))) {
        return false;
    }
    let given = index.all(&ADDRESSES).filter(|address| address.label(MANAGED_BY) == Some(MANAGER));
    let mut given = given.filter_map(|address| address.id.name.parse().ok());
    given.any(|address| {
        own.iter().any(|block| block.has(address)) && !others.iter().any(|block| block.has(address))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn range(
        name: &str,
        blocks: &[&str],
        finalizer: bool,
        deleted: Option<&str>,
        conditions: Value,
    ) -> Value {
        let mut range = json!({"metadata": {"name": name, "uid": name}, "spec": {"cidrs": blocks},
            "status": {"conditions": conditions}});
        if finalizer {
            range["metadata"]["finalizers"] = json!([FINALIZER]);
        }
        if let Some(deleted) = deleted {
            range["metadata"]["deletionTimestamp"] = deleted.into();
        }
        range
    }

    fn index(ranges: &[Value], addresses: &[&str]) -> Index {
        let mut index = Index::default();
        for range in ranges {
            index.put(Arc::new(Item::of(&RANGES, range).unwrap()));
        }
        for address in addresses {
            let labels = json!({ MANAGED_BY: MANAGER });
            let address = json!({"metadata": {"name": address, "uid": address, "labels": labels}});
            index.put(Arc::new(Item::of(&ADDRESSES, &address).unwrap()));
        }
        index
    }

    /// What is done, in short, and whether it is looked at again.
    fn done(index: &Index, now: &str) -> (Vec<String>, bool) {
        let plan = ServiceRanges.reconcile(index, &Id::new(&RANGES, "", "r"), at(now));
        let steps = plan.steps.iter().map(|step| match step {
            Step::One(Effect::Patch { subresource: "status", patch, .. }) => {
                patch["status"]["conditions"][0]["status"].as_str().unwrap().to_owned()
            }
            Step::One(Effect::Patch { patch, .. }) if patch["metadata"]["finalizers"].is_array() => {
                "keep".to_owned()
            }
            Step::One(Effect::Patch { patch, .. }) if patch["metadata"]["uid"] == "r" => "let go".to_owned(),
            other => panic!("{other:?}"),
        });
        (steps.collect(), plan.again.is_some())
    }

    #[test]
    fn a_range_becomes_ready_and_goes_when_nobody_needs_it() {
        const DELETED: &str = "2026-01-01T00:00:00Z";
        const LATER: &str = "2026-01-01T00:00:11Z";
        let ready = json!([{"type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready"}]);
        let of =
            |steps: &[&str], again| (steps.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>(), again);
        let block = ["10.0.0.0/24"];
        let fresh = range("r", &block, false, None, json!([]));
        assert_eq!(done(&index(&[fresh], &[]), DELETED), of(&["keep", "True"], false));
        let kept = range("r", &block, true, None, ready.clone());
        assert_eq!(done(&index(&[kept], &[]), DELETED), of(&[], false));
        let going = range("r", &block, true, Some(DELETED), ready.clone());
        assert_eq!(done(&index(std::slice::from_ref(&going), &["10.0.0.5"]), LATER), of(&["False"], false));
        assert_eq!(
            done(&index(std::slice::from_ref(&going), &["10.0.1.5"]), "2026-01-01T00:00:09Z"),
            of(&[], true)
        );
        assert_eq!(done(&index(std::slice::from_ref(&going), &[]), LATER), of(&["let go"], false));
        // Whose addresses are in another one as well is not needed, unless that goes too.
        let wider = |deleted| range("w", &["10.0.0.0/16"], true, deleted, ready.clone());
        let both = index(&[going.clone(), wider(None)], &["10.0.0.5"]);
        assert_eq!(done(&both, LATER), of(&["let go"], false));
        let both = index(&[going, wider(Some(DELETED))], &["10.0.0.5"]);
        assert_eq!(done(&both, LATER), of(&["False"], false));
    }

    #[test]
    fn one_that_goes_is_looked_at_when_an_address_does() {
        let going = range("r", &["10.0.0.0/24"], true, Some("2026-01-01T00:00:00Z"), json!([]));
        let stays = range("s", &["10.1.0.0/24"], true, None, json!([]));
        let index = index(&[going, stays], &[]);
        let address = Item::of(&ADDRESSES, &json!({"metadata": {"name": "10.0.0.5"}})).unwrap();
        let change = Change { old: Some(Arc::new(address)), new: None };
        let mut woken = Vec::new();
        ServiceRanges.wake(&index, &change, &mut |id| woken.push(id.name));
        assert_eq!(woken, ["r"]);
    }
}
