//! What every namespace has: the ServiceAccount `default`, and the certificate by which its pods know the API server.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Controller;
use super::index::{Change, Index};
use super::namespace::NAMESPACES;
use super::plan::{Effect, Plan};
use crate::client::{Gvr, Id};

static SERVICE_ACCOUNTS: Gvr = Gvr::of("", "v1", "serviceaccounts");
static CONFIG_MAPS: Gvr = Gvr::of("", "v1", "configmaps");

const DEFAULT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
const DESCRIPTION: &str =
    "Certificates by which the API server is known where it is reached as kubernetes.default.svc.";

/// Wakes for a namespace that came to be, and for the one of an object that changed.
fn wake_for(kind: &Gvr, name: &str, change: &Change, wake: &mut dyn FnMut(Id)) {
    let Some(item) = change.item() else { return };
    if item.id.kind == NAMESPACES && change.new.is_some() {
        wake(item.id.clone());
    } else if item.id.kind == *kind && item.id.name == name {
        wake(Id::new(&NAMESPACES, "", &item.id.namespace));
    }
}

/// Nothing is made in a namespace that is going.
fn stays(index: &Index, key: &Id) -> bool {
    index.at(key).is_some_and(|namespace| !namespace.deleting)
}

/// Makes the accounts.
pub struct ServiceAccounts;

impl Controller for ServiceAccounts {
    fn name(&self) -> &'static str {
        "service-account-controller"
    }

    fn queue(&self) -> &'static str {
        "serviceaccount"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![NAMESPACES, SERVICE_ACCOUNTS])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        wake_for(&SERVICE_ACCOUNTS, DEFAULT, change, wake);
    }

    fn reconcile(&self, index: &Index, key: &Id, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if stays(index, key) && index.get(&SERVICE_ACCOUNTS, &key.name, DEFAULT).is_none() {
            let object = json!({"metadata": {"name": DEFAULT, "namespace": key.name}});
            plan.one(Effect::Create { kind: SERVICE_ACCOUNTS, namespace: key.name.clone(), object });
        }
        plan
    }
}

/// Publishes the certificate, in PEM.
pub struct RootCa(pub String);

impl RootCa {
    fn data(&self) -> Value {
        json!({"ca.crt": self.0})
    }
}

impl Controller for RootCa {
    fn name(&self) -> &'static str {
        "root-ca-cert-publisher"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![NAMESPACES, CONFIG_MAPS])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        wake_for(&CONFIG_MAPS, ROOT_CA, change, wake);
    }

    fn reconcile(&self, index: &Index, key: &Id, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if !stays(index, key) {
            return plan;
        }
        let id = Id::new(&CONFIG_MAPS, &key.name, ROOT_CA);
        match index.at(&id) {
            None => {
                let object = json!({"data": self.data(), "metadata": {"name": ROOT_CA, "namespace": key.name,
                    "annotations": {"kubernetes.io/description": DESCRIPTION}}});
                plan.one(Effect::Create { kind: id.kind, namespace: id.namespace, object });
            }
            Some(found) => {
                let mut object = found.value();
                if object["data"] != self.data() {
                    object["data"] = self.data();
                    plan.one(Effect::Replace { id, subresource: "", object });
                }
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::controllers::item::Item;
    use crate::controllers::plan::Step;

    fn index(going: bool, objects: &[(&Gvr, Value)]) -> Index {
        let mut index = Index::default();
        let deleted = if going { json!("2026-01-01T00:00:00Z") } else { Value::Null };
        let namespace = json!({"metadata": {"name": "n", "deletionTimestamp": deleted}});
        index.put(Arc::new(Item::of(&NAMESPACES, &namespace).unwrap()));
        for (kind, object) in objects {
            index.put(Arc::new(Item::of(kind, object).unwrap()));
        }
        index
    }

    fn steps(controller: &dyn Controller, index: &Index) -> Vec<Step> {
        controller.reconcile(index, &Id::new(&NAMESPACES, "", "n"), Timestamp::UNIX_EPOCH).steps
    }

    #[test]
    fn each_namespace_that_stays_has_its_account() {
        let found = steps(&ServiceAccounts, &index(false, &[]));
        assert!(matches!(&found[..], [Step::One(Effect::Create { namespace, .. })] if namespace == "n"));
        let account = json!({"metadata": {"name": DEFAULT, "namespace": "n"}});
        assert!(steps(&ServiceAccounts, &index(false, &[(&SERVICE_ACCOUNTS, account)])).is_empty());
        assert!(steps(&ServiceAccounts, &index(true, &[])).is_empty());
    }

    #[test]
    fn the_certificate_is_put_right_where_it_was_changed() {
        let ca = RootCa("pem".to_owned());
        assert!(matches!(&steps(&ca, &index(false, &[]))[..], [Step::One(Effect::Create { .. })]));
        let map =
            |data: &str| json!({"metadata": {"name": ROOT_CA, "namespace": "n"}, "data": {"ca.crt": data}});
        assert!(steps(&ca, &index(false, &[(&CONFIG_MAPS, map("pem"))])).is_empty());
        let found = steps(&ca, &index(false, &[(&CONFIG_MAPS, map("other"))]));
        assert!(
            matches!(&found[..], [Step::One(Effect::Replace { object, .. })] if object["data"]["ca.crt"] == "pem")
        );
    }

    #[test]
    fn who_loses_its_account_gets_another_one() {
        let account = Item::of(&SERVICE_ACCOUNTS, &json!({"metadata": {"name": DEFAULT, "namespace": "n"}}));
        let change = Change { old: Some(Arc::new(account.unwrap())), new: None };
        let mut woken = Vec::new();
        ServiceAccounts.wake(&Index::default(), &change, &mut |id| woken.push(id));
        assert_eq!(woken, [Id::new(&NAMESPACES, "", "n")]);
    }
}
