//! Signs what was approved, for the three signers that stand for this cluster's authority.

use api_objects::time;
use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};

use super::{ACCOUNT, REQUESTS, add, holds, is_issued, request, usages, wake_for};
use crate::apiserver::auth::ca::Pair;
use crate::apiserver::auth::signer::{self, Signer};
use crate::client::{Gvr, Id};
use crate::controllers::Controller;
use crate::controllers::index::{Change, Index};
use crate::controllers::plan::{Effect, Plan};

/// No certificate lives longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Signs. The number of a certificate is chance; everything else of it is decided by the request.
pub struct Signing(pub Pair);

impl Controller for Signing {
    fn name(&self) -> &'static str {
        "csrsigning"
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
        let approved = holds(&object, "Approved").is_some() && holds(&object, "Denied").is_none();
        if !approved || is_issued(&object) || holds(&object, "Failed").is_some() {
            return plan;
        }
        let Some(by) = object["spec"]["signerName"].as_str().and_then(Signer::named) else { return plan };
        let usages = usages(&object);
        let asked = object["spec"]["expirationSeconds"].as_i64();
        let signed = request(&object).and_then(|request| {
            by.check(&request, &usages)?;
            let life = signer::lifetime(asked, LONGEST);
            signer::sign(&self.0, &request, &usages, life, now).map_err(|error| error.to_string())
        });
        match signed {
            Ok(pem) => {
                object["status"]["certificate"] =
                    base64::engine::general_purpose::STANDARD.encode(pem).into();
            }
            Err(why) => add(&mut object, "Failed", "SignerValidationFailure", &why, &time::format(now)),
        }
        plan.one(Effect::Replace { id: key.clone(), subresource: "status", object });
        plan
    }
}
