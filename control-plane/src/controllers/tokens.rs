//! Bootstrap tokens whose time is over go.

use std::time::Duration;

use api_objects::time;
use base64::Engine as _;
use jiff::Timestamp;
use serde_json::Value;

use super::Controller;
use super::index::{Change, Index};
use super::plan::{Effect, Plan};
use crate::client::{Gvr, Id};

pub(super) static SECRETS: Gvr = Gvr::of("", "v1", "secrets");
pub(super) const NAMESPACE: &str = "kube-system";
pub(super) const TYPE: &str = "bootstrap.kubernetes.io/token";
pub(super) const PREFIX: &str = "bootstrap-token-";

/// Deletes them.
pub struct Cleaner;

impl Controller for Cleaner {
    fn name(&self) -> &'static str {
        "token-cleaner"
    }

    fn queue(&self) -> &'static str {
        "token_cleaner"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![SECRETS])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.new.as_ref().filter(|item| item.id.kind == SECRETS) else { return };
        if is_one(&item.id) {
            wake(item.id.clone());
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(secret) = index.at(key) else { return plan };
        let object = secret.value();
        let Some(expiry) = expiry(&object) else { return plan };
        match Duration::try_from(expiry.duration_since(now)) {
            Ok(left) if !left.is_zero() => plan.again = Some(left),
            _ => {
                let (id, uid) = (key.clone(), secret.uid.clone());
                plan.one(Effect::Delete { id, uid, revision: None, propagation: None, grace: None });
            }
        }
        plan
    }
}

/// Whether a Secret is called as those of tokens are.
pub(super) fn is_one(id: &Id) -> bool {
    id.kind == SECRETS && id.namespace == NAMESPACE && id.name.starts_with(PREFIX)
}

/// When a token's time is over; none where it is no token or lives for ever. A time that cannot be read is over.
pub(super) fn expiry(secret: &Value) -> Option<Timestamp> {
    let text = secret["data"]["expiration"].as_str().filter(|_| secret["type"] == TYPE)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap_or_default();
    Some(time::parse(&text).unwrap_or(Timestamp::MIN)).filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::controllers::item::Item;
    use crate::controllers::plan::Step;

    #[test]
    fn a_token_goes_when_its_time_is_over() {
        let look = |kind: &str, expiration: &str| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(expiration);
            let secret = json!({"metadata": {"name": "bootstrap-token-abcdef", "namespace": NAMESPACE, "uid": "s"},
                "type": kind, "data": {"expiration": encoded}});
            let mut index = Index::default();
            let change = index.put(Arc::new(Item::of(&SECRETS, &secret).unwrap()));
            let mut woken = Vec::new();
            Cleaner.wake(&index, &change, &mut |id| woken.push(id));
            let plan = Cleaner.reconcile(&index, &woken[0], "2026-01-01T00:00:00Z".parse().unwrap());
            let deletes = matches!(&plan.steps[..], [Step::One(Effect::Delete { uid, .. })] if uid == "s");
            (deletes, plan.again)
        };
        assert_eq!(look(TYPE, "2026-01-01T00:00:10Z"), (false, Some(Duration::from_secs(10))));
        assert_eq!(look(TYPE, "2025-12-31T00:00:10Z"), (true, None));
        assert_eq!(look(TYPE, "soon"), (true, None));
        assert_eq!(look(TYPE, ""), (false, None));
        assert_eq!(look("Opaque", "2025-12-31T00:00:10Z"), (false, None));
    }
}
