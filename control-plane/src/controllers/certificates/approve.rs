//! Approves what a kubelet asks for to be known by, where whoever asks may have that.
//!
//! Who may: they are allowed to create `certificatesigningrequests/nodeclient`, or, for their own name,
//! `certificatesigningrequests/selfnodeclient`. Whether they are is asked of the API server.

use std::time::Duration;

use api_objects::time;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{ACCOUNT, REQUESTS, add, holds, is_issued, request, usages, wake_for};
use crate::apiserver::auth::signer::Signer;
use crate::client::{Gvr, Id};
use crate::controllers::Controller;
use crate::controllers::index::{Change, Index};
use crate::controllers::plan::{Effect, Guard, Plan};

const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Who may not today may be allowed to later.
const AGAIN: Duration = Duration::from_secs(30);

/// Approves.
pub struct Approver;

impl Controller for Approver {
    fn name(&self) -> &'static str {
        "csrapproving"
    }

    fn account(&self) -> &'static str {
        ACCOUNT
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![REQUESTS])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        wake_for(change, wake);
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(mut object) = index.at(key).map(|item| item.value()) else { return plan };
        let decided = holds(&object, "Approved").is_some() || holds(&object, "Denied").is_some();
        if decided || is_issued(&object) || object["spec"]["signerName"] != SIGNER {
            return plan;
        }
        let Ok(request) = request(&object) else { return plan };
        if Signer::KubeletClient.check(&request, &usages(&object)).is_err() {
            return plan;
        }
        let own = object["spec"]["username"] == request.common_name.as_str();
        let ways: &[&str] = if own { &["selfnodeclient", "nodeclient"] } else { &["nodeclient"] };
        let reviews = ways.iter().map(|way| review(&object["spec"], way)).collect();
        let message = match own {
            true => "Auto approving self kubelet client certificate after SubjectAccessReview.",
            false => "Auto approving kubelet client certificate after SubjectAccessReview.",
        };
        add(&mut object, "Approved", "AutoApproved", message, &time::format(now));
        let approve = Effect::Replace { id: key.clone(), subresource: "approval", object };
        plan.one(Effect::If(vec![Guard::Allowed(reviews)], Box::new(approve)));
        plan.again = Some(AGAIN);
        plan
    }
}

/// Asks whether who made a request may have it that way.
fn review(spec: &Value, way: &str) -> Value {
    json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": spec["username"], "uid": spec["uid"], "groups": spec["groups"], "extra": spec["extra"],
        "resourceAttributes": {"group": "certificates.k8s.io", "resource": "certificatesigningrequests",
            "verb": "create", "subresource": way, "version": "*"}}})
}
