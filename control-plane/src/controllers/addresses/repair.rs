//! Holds Services and IPAddresses against each other.
//!
//! ```text
//!   Service has an address, no IPAddress says so ─▶ made
//!   IPAddress says that it is somebody else's, who does not have it ─▶ made anew
//!   IPAddress says that it is a Service's, which does not have it, for a minute ─▶ deleted
//! ```
//!
//! A minute is what a request may take: an IPAddress is made before the Service that is to have it is written.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{ADDRESSES, RANGES, SERVICES, addresses, in_some_range};
use crate::apiserver::services::{FAMILY, MANAGED_BY, MANAGER};
use crate::client::{Gvr, Id};
use crate::controllers::Controller;
use crate::controllers::index::{Change, Index};
use crate::controllers::item::Item;
use crate::controllers::plan::{Effect, Guard, Identity, Outcome, Plan, Telling, reference};

/// An IPAddress may be about to be used for so long.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// The controller of IPAddresses.
pub struct AddressRepair;

impl Controller for AddressRepair {
    fn name(&self) -> &'static str {
        "ipallocator-repair-controller"
    }

    /// It is the API server's own work, which no account of the cluster may do.
    fn identity(&self) -> Option<Identity> {
        Some(Identity { name: "system:apiserver".to_owned(), group: "system:masters" })
    }

    fn agent(&self) -> &'static str {
        "kube-apiserver"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![SERVICES, ADDRESSES, RANGES])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        if item.id.kind == ADDRESSES {
            wake(item.id.clone());
            if change.new.is_none()
                && let Some(service) = parent(&item.value())
            {
                wake(service);
            }
        } else if item.id.kind == SERVICES {
            if change.new.is_some() {
                wake(item.id.clone());
            }
            for address in change.old.iter().flat_map(|old| addresses(old)) {
                wake(Id::new(&ADDRESSES, "", &address.to_string()));
            }
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        match index.at(key) {
            Some(service) if key.kind == SERVICES => of_service(index, service),
            Some(address) if key.kind == ADDRESSES => of_address(index, address, now),
            _ => Plan::default(),
        }
    }
}

/// The Service that an IPAddress says it is of.
fn parent(address: &Value) -> Option<Id> {
    let parent = &address["spec"]["parentRef"];
    let text = |field: &str| parent[field].as_str().unwrap_or_default();
    let is_service = text("group").is_empty() && text("resource") == "services";
    is_service.then(|| Id::new(&SERVICES, text("namespace"), text("name")))
}

fn tell(about: &Item, kind: &str, reason: &'static str, message: String) -> Effect {
    Effect::Tell(Telling { about: reference(about, kind), warning: true, reason, message })
}

fn of_service(index: &Index, service: &Item) -> Plan {
    let mut plan = Plan::default();
    let mut told = Vec::new();
    for address in addresses(service) {
        let name = address.to_string();
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let said = |reason, what: &str| {
            tell(service, "Service", reason, format!("Cluster IP [{family}]: {name} {what}"))
        };
        if !in_some_range(index, address) {
            let what = "is not within any configured Service CIDR; please recreate service";
            plan.one(said("ClusterIPOutOfRange", what));
            continue;
        }
        let object = json!({
            "metadata": { "name": name, "labels": { FAMILY: family, MANAGED_BY: MANAGER } },
            "spec": { "parentRef":
                { "resource": "services", "namespace": service.id.namespace, "name": service.id.name } },
        });
        let create = Effect::Create { kind: ADDRESSES, namespace: String::new(), object };
        let alive = vec![Guard::Alive(service.id.clone(), service.uid.clone())];
        let create = Effect::If(alive, Box::new(create));
        let Some(found) = index.get(&ADDRESSES, "", &name) else {
            plan.one(create);
            // The index may be behind: then it is there, and this is refused.
            told.push((name.clone(), said("ClusterIPNotAllocated", "is not allocated; repairing")));
            continue;
        };
        let other = parent(&found.value()).filter(|other| *other != service.id);
        let has = |other: &Id| index.at(other).is_some_and(|other| addresses(other).contains(&address));
        if other.as_ref().is_some_and(has) {
            let what = "was assigned to multiple services; please recreate service";
            plan.one(said("ClusterIPAlreadyAllocated", what));
            continue;
        }
        let labels = found.label(MANAGED_BY) == Some(MANAGER) && found.label(FAMILY) == Some(family);
        if parent(&found.value()).as_ref() != Some(&service.id) || !labels {
            plan.one(delete(found));
            plan.one(create);
            told.push((name.clone(), said("ClusterIPNotAllocated", "has a wrong reference; repairing")));
        }
    }
    plan.then = Some(Box::new(move |outcome: &Outcome| {
        let made = |name: &String| outcome.created.contains(name);
        told.into_iter().filter(|(name, _)| made(name)).map(|(_, tell)| tell).collect()
    }));
    plan
}

/// That IPAddress, as it is known here.
fn delete(address: &Item) -> Effect {
    Effect::Delete {
        id: address.id.clone(),
        uid: address.uid.clone(),
        revision: Some(address.revision),
        propagation: None,
        grace: None,
    }
}

fn of_address(index: &Index, address: &Item, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if address.label(MANAGED_BY) != Some(MANAGER) {
        return plan;
    }
    let object = address.value();
    let name = &address.id.name;
    let Some(service) = parent(&object) else {
        let why =
            format!("IPAddress {name} appears to have been modified, not referencing a Service: cleaning up");
        plan.one(delete(address));
        plan.one(tell(address, "IPAddress", "IPAddressNotAllocated", why));
        return plan;
    };
    let owner = index.at(&service);
    if owner.is_some_and(|owner| addresses(owner).iter().any(|one| one.to_string() == *name)) {
        return plan;
    }
    let age = address.created.map_or(GRACE, |created| now.duration_since(created));
    if age < GRACE {
        plan.again = Duration::try_from(GRACE - age).ok();
        return plan;
    }
    let Id { namespace, name: owned_by, .. } = &service;
    let (reason, what) = match owner {
        None => ("IPAddressNotAllocated", "appears to have leaked"),
        Some(_) => ("IPAddressWrongReference", "has a wrong reference"),
    };
    plan.one(delete(address));
    let why = format!("IPAddress: {name} for Service {namespace}/{owned_by} {what}; cleaning up");
    plan.one(tell(address, "IPAddress", reason, why));
    plan
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::controllers::plan::Step;

    const MADE: &str = "2026-01-01T00:00:00Z";

    fn service(name: &str, address: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "n", "uid": name}, "spec": {"clusterIPs": [address]}})
    }

    fn address(name: &str, of: &str, label: &str) -> Value {
        json!({"metadata": {"name": name, "uid": name, "creationTimestamp": MADE,
                "labels": {MANAGED_BY: label, FAMILY: "IPv4"}},
            "spec": {"parentRef": {"resource": "services", "namespace": "n", "name": of}}})
    }

    fn index(objects: &[(&Gvr, Value)]) -> Index {
        let mut index = Index::default();
        let range = json!({"metadata": {"name": "r"}, "spec": {"cidrs": ["10.0.0.0/24"]}});
        index.put(Arc::new(Item::of(&RANGES, &range).unwrap()));
        for (kind, object) in objects {
            index.put(Arc::new(Item::of(kind, object).unwrap()));
        }
        index
    }

    fn done(index: &Index, key: &Id, seconds: i64) -> (Vec<String>, bool) {
        let now = MADE.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds);
        let mut plan = AddressRepair.reconcile(index, key, now);
        let said = |effect: &Effect| match effect {
            Effect::Tell(telling) => telling.reason.to_owned(),
            Effect::Delete { id, .. } => format!("delete {}", id.name),
            Effect::If(_, effect) if matches!(**effect, Effect::Create { .. }) => "create".to_owned(),
            other => panic!("{other:?}"),
        };
        let mut done: Vec<String> = plan
            .steps
            .iter()
            .map(|step| match step {
                Step::One(effect) => said(effect),
                _ => panic!("steps are one by one"),
            })
            .collect();
        let outcome = Outcome { created: vec!["10.0.0.5".to_owned()], ..Outcome::default() };
        done.extend(plan.then.take().into_iter().flat_map(|then| then(&outcome)).map(|effect| said(&effect)));
        (done, plan.again.is_some())
    }

    #[test]
    fn a_service_s_address_is_said_to_be_its_own() {
        let id = Id::new(&SERVICES, "n", "a");
        let own = (&SERVICES, service("a", "10.0.0.5"));
        for (others, steps) in [
            (vec![(&ADDRESSES, address("10.0.0.5", "a", MANAGER))], vec![]),
            (vec![], vec!["create", "ClusterIPNotAllocated"]),
            (
                vec![(&ADDRESSES, address("10.0.0.5", "gone", MANAGER))],
                vec!["delete 10.0.0.5", "create", "ClusterIPNotAllocated"],
            ),
            (
                vec![(&ADDRESSES, address("10.0.0.5", "a", "somebody"))],
                vec!["delete 10.0.0.5", "create", "ClusterIPNotAllocated"],
            ),
            (
                vec![(&ADDRESSES, address("10.0.0.5", "b", MANAGER)), (&SERVICES, service("b", "10.0.0.5"))],
                vec!["ClusterIPAlreadyAllocated"],
            ),
        ] {
            let objects: Vec<(&Gvr, Value)> = std::iter::once(own.clone()).chain(others).collect();
            let steps: Vec<String> = steps.into_iter().map(str::to_owned).collect();
            assert_eq!(done(&index(&objects), &id, 0), (steps, false));
        }
        let outside = index(&[(&SERVICES, service("a", "10.0.9.5"))]);
        assert_eq!(done(&outside, &id, 0).0, ["ClusterIPOutOfRange"]);
        let headless = index(&[(&SERVICES, service("a", "None"))]);
        assert!(done(&headless, &id, 0).0.is_empty());
    }

    #[test]
    fn an_address_that_nobody_has_is_left_alone_for_a_minute() {
        let id = Id::new(&ADDRESSES, "", "10.0.0.5");
        let leaked = index(&[(&ADDRESSES, address("10.0.0.5", "a", MANAGER))]);
        assert_eq!(done(&leaked, &id, 59), (vec![], true));
        assert_eq!(done(&leaked, &id, 60).0, ["delete 10.0.0.5", "IPAddressNotAllocated"]);
        let other = (&SERVICES, service("a", "10.0.0.6"));
        let wrong = index(&[(&ADDRESSES, address("10.0.0.5", "a", MANAGER)), other]);
        assert_eq!(done(&wrong, &id, 60).0, ["delete 10.0.0.5", "IPAddressWrongReference"]);
        let foreign = index(&[(&ADDRESSES, address("10.0.0.5", "a", "somebody"))]);
        assert_eq!(done(&foreign, &id, 999), (vec![], false));
        let used =
            index(&[(&ADDRESSES, address("10.0.0.5", "a", MANAGER)), (&SERVICES, service("a", "10.0.0.5"))]);
        assert_eq!(done(&used, &id, 999), (vec![], false));
    }

    #[test]
    fn what_a_service_lost_is_looked_at() {
        let item = |object: &Value| Some(Arc::new(Item::of(&SERVICES, object).unwrap()));
        let change = Change { old: item(&service("a", "10.0.0.5")), new: None };
        let mut woken = Vec::new();
        AddressRepair.wake(&Index::default(), &change, &mut |id| woken.push(id.name));
        assert_eq!(woken, ["10.0.0.5"]);
    }
}
