use std::sync::Arc;
use std::time::Duration;

use api_objects::time;
use base64::Engine as _;
use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, KeyPair};

use super::approve::Approver;
use super::clean::Cleaner;
use super::sign::Signing;
use super::*;
use crate::apiserver::auth::ca;
use crate::client::Id;
use crate::controllers::Controller;
use crate::controllers::index::Index;
use crate::controllers::item::Item;
use crate::controllers::plan::{Effect, Guard, Plan, Step};

const KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A request of a node `a`, made by a user.
fn csr(user: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, "system:node:a");
    let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let request = base64::engine::general_purpose::STANDARD.encode(request);
    let mut object = json!({"metadata": {"name": "r", "uid": "r", "creationTimestamp": time::format(at(0))},
        "spec": {"signerName": KUBELET, "request": request, "username": user, "groups": ["g"],
            "usages": ["digital signature", "client auth"], "expirationSeconds": 3600}});
    change(&mut object);
    object
}

fn looked(controller: &dyn Controller, object: &Value, seconds: i64) -> Plan {
    let mut index = Index::default();
    let change = index.put(Arc::new(Item::of(&REQUESTS, object).unwrap()));
    let mut woken = Vec::new();
    controller.wake(&index, &change, &mut |id| woken.push(id));
    assert_eq!(woken, [Id::new(&REQUESTS, "", "r")]);
    controller.reconcile(&index, &woken[0], at(seconds))
}

fn condition(object: &mut Value, name: &str, seconds: i64) {
    let stamp = time::format(at(seconds));
    object["status"] = json!({"conditions": [{"type": name, "status": "True", "lastUpdateTime": stamp}]});
}

#[test]
fn a_kubelets_request_is_approved_where_the_api_server_allows_it() {
    let ways = |user: &str| {
        let plan = looked(&Approver, &csr(user, |_| {}), 0);
        let [Step::One(Effect::If(guards, effect))] = &plan.steps[..] else { panic!("{:?}", plan.steps) };
        let Effect::Replace { subresource: "approval", object, .. } = &**effect else { panic!("{effect:?}") };
        assert_eq!(object["status"]["conditions"][0]["reason"], "AutoApproved");
        let [Guard::Allowed(reviews)] = &guards[..] else { panic!("{guards:?}") };
        assert_eq!(
            (&reviews[0]["spec"]["user"], &reviews[0]["spec"]["groups"]),
            (&json!(user), &json!(["g"]))
        );
        let way =
            |review: &Value| review["spec"]["resourceAttributes"]["subresource"].as_str().unwrap().to_owned();
        reviews.iter().map(way).collect::<Vec<_>>()
    };
    assert_eq!(ways("system:bootstrap:abcdef"), ["nodeclient"]);
    assert_eq!(ways("system:node:a"), ["selfnodeclient", "nodeclient"]);
}

#[test]
fn other_requests_and_decided_ones_are_left_to_people() {
    let mut denied = csr("u", |_| {});
    condition(&mut denied, "Denied", 0);
    for object in [
        csr("u", |object| object["spec"]["signerName"] = "example.com/other".into()),
        csr("u", |object| object["spec"]["usages"] = json!(["digital signature", "server auth"])),
        csr("u", |object| object["spec"]["request"] = "bm9uZQ==".into()),
        denied,
    ] {
        assert!(looked(&Approver, &object, 0).steps.is_empty(), "{object}");
    }
}

fn signing() -> Signing {
    let key = ca::new_key().unwrap();
    let certificate = ca::issue(&ca::Profile::Authority { name: "test" }, &key, None, at(0)).unwrap();
    Signing(ca::Pair { certificate, key })
}

fn written(plan: Plan) -> Option<Value> {
    match plan.steps.into_iter().next()? {
        Step::One(Effect::Replace { subresource: "status", object, .. }) => Some(object["status"].clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_approved_is_signed_for_as_long_as_it_asks() {
    let mut object = csr("u", |_| {});
    assert!(written(looked(&signing(), &object, 0)).is_none());
    condition(&mut object, "Approved", 0);
    let status = written(looked(&signing(), &object, 0)).unwrap();
    let pem = status["certificate"].as_str().unwrap();
    let pem = base64::engine::general_purpose::STANDARD.decode(pem).unwrap();
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let certificate = block.parse_x509().unwrap();
    assert_eq!(certificate.subject().iter_common_name().next().unwrap().as_str(), Ok("system:node:a"));
    assert_eq!(certificate.validity().not_after.timestamp(), at(3600).as_second());
    object["status"] = status;
    assert!(written(looked(&signing(), &object, 0)).is_none());
}

#[test]
fn what_is_not_to_be_signed_fails() {
    let mut object = csr("u", |object| object["spec"]["usages"] = json!(["client auth", "server auth"]));
    condition(&mut object, "Approved", 0);
    let status = written(looked(&signing(), &object, 0)).unwrap();
    assert_eq!(status["conditions"][1]["type"], "Failed");
    assert_eq!(status["conditions"][1]["reason"], "SignerValidationFailure");
}

#[test]
fn requests_that_are_over_go() {
    let again = |object: &Value, seconds| looked(&Cleaner, object, seconds).again;
    let deleted = |object: &Value, seconds| matches!(&looked(&Cleaner, object, seconds).steps[..], [Step::One(Effect::Delete { uid, .. })] if uid == "r");
    const HOUR: i64 = 3600;
    let pending = csr("u", |_| {});
    assert_eq!(again(&pending, HOUR), Some(Duration::from_secs(23 * 3600)));
    assert!(deleted(&pending, 24 * HOUR));
    for name in ["Denied", "Failed"] {
        let mut object = csr("u", |_| {});
        condition(&mut object, name, 10);
        assert!(!deleted(&object, HOUR) && deleted(&object, HOUR + 10), "{name}");
    }
    let mut approved = csr("u", |_| {});
    condition(&mut approved, "Approved", 0);
    assert!(!deleted(&approved, HOUR) && deleted(&approved, 24 * HOUR));
    approved["status"]["certificate"] = "x".into();
    assert!(deleted(&approved, HOUR));
}
