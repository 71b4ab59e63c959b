//! The ConfigMap `kube-public/cluster-info`, by which machines that join know the cluster, is signed with every token
//! that may: who has such a token can tell whether the cluster is the one that made it.
//!
//! Somebody else makes the ConfigMap, and lets it be read without credentials; where there is none, nothing is signed.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};

use super::Controller;
use super::index::{Change, Index};
use super::plan::{Effect, Plan};
use super::tokens::{self, SECRETS};
use crate::client::{Gvr, Id};

static CONFIG_MAPS: Gvr = Gvr::of("", "v1", "configmaps");
const PLACE: (&str, &str) = ("kube-public", "cluster-info");
/// What is signed.
const CONTENT: &str = "kubeconfig";
/// Before the token's name, where its signature stands.
const SIGNATURE: &str = "jws-kubeconfig-";

/// Signs it.
pub struct Signer;

impl Controller for Signer {
    fn name(&self) -> &'static str {
        "bootstrap-signer"
    }

    fn queue(&self) -> &'static str {
        "bootstrap_signer_queue"
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![CONFIG_MAPS, SECRETS])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        let Some(item) = change.item() else { return };
        let map = Id::new(&CONFIG_MAPS, PLACE.0, PLACE.1);
        if item.id == map || tokens::is_one(&item.id) {
            wake(map);
        }
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(map) = index.at(key) else { return plan };
        let mut object = map.value();
        let Some(content) = object["data"][CONTENT].as_str() else { return plan };
        let secrets = index.in_namespace(&SECRETS, tokens::NAMESPACE).filter(|item| tokens::is_one(&item.id));
        let mut signed = BTreeMap::new();
        for secret in secrets {
            let secret = secret.value();
            let Some((id, key)) = signs(&secret) else { continue };
            let left = tokens::expiry(&secret).map(|end| Duration::try_from(end.duration_since(now)));
            match left {
                Some(Ok(left)) if !left.is_zero() => {
                    plan.again = Some(plan.again.map_or(left, |again| again.min(left)));
                }
                Some(_) => continue,
                None => {}
            }
            signed.insert(format!("{SIGNATURE}{id}"), signature(content, &id, &key));
        }
        let data = object["data"].as_object().into_iter().flatten();
        let found = data.filter(|(name, _)| name.starts_with(SIGNATURE));
        if found
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .ne(signed.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))))
        {
            if let Some(data) = object["data"].as_object_mut() {
                data.retain(|name, _| !name.starts_with(SIGNATURE));
                data.extend(signed.into_iter().map(|(name, value)| (name, value.into())));
            }
            plan.one(Effect::Replace { id: key.clone(), subresource: "", object });
        }
        plan
    }
}

/// The name and the secret of a token that may sign.
fn signs(secret: &Value) -> Option<(String, String)> {
    let data = |key: &str| {
        let bytes = STANDARD.decode(secret["data"][key].as_str()?).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    };
    let (id, key) = (data("token-id")?, data("token-secret")?);
    let named = secret["metadata"]["name"].as_str()?.strip_prefix(tokens::PREFIX)? == id;
    let signs = secret["type"] == tokens::TYPE && data("usage-bootstrap-signing")? == "true";
    (named && signs).then_some((id, key))
}

/// A JSON Web Signature by HS256 without what it signs (RFC 7515, Appendix F).
fn signature(content: &str, id: &str, key: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": id}).to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), signed.as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::controllers::item::Item;
    use crate::controllers::plan::Step;

    fn token(id: &str, signing: &str, expiration: &str) -> Value {
        let data = [
            ("token-id", id),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-signing", signing),
            ("expiration", expiration),
        ];
        let data: serde_json::Map<_, _> =
            data.into_iter().map(|(name, value)| (name.to_owned(), STANDARD.encode(value).into())).collect();
        json!({"metadata": {"name": format!("{}{id}", tokens::PREFIX), "namespace": "kube-system", "uid": id},
            "type": tokens::TYPE, "data": data})
    }

    /// The signatures that are written, unless all is well, and how soon it is looked at again.
    fn look(data: Value, secrets: &[Value]) -> (Option<Value>, Option<Duration>) {
        let map = json!({"metadata": {"name": PLACE.1, "namespace": PLACE.0, "uid": "m"}, "data": data});
        let (mut index, mut woken) = (Index::default(), Vec::new());
        let objects = secrets.iter().map(|secret| (&SECRETS, secret)).chain([(&CONFIG_MAPS, &map)]);
        for (kind, object) in objects {
            let change = index.put(Arc::new(Item::of(kind, object).unwrap()));
            Signer.wake(&index, &change, &mut |id| woken.push(id));
        }
        assert!(woken.len() == secrets.len() + 1 && woken.iter().all(|id| id.name == PLACE.1));
        let mut plan = Signer.reconcile(&index, &woken[0], "2026-01-01T00:00:00Z".parse().unwrap());
        let written = plan.steps.pop().map(|step| match step {
            Step::One(Effect::Replace { object, .. }) => object["data"].clone(),
            other => panic!("{other:?}"),
        });
        (written, plan.again)
    }

    #[test]
    fn a_signature_is_the_one_of_the_standard() {
        // As Python's hmac and base64 have it.
        let expected =
            "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..K1chermAQEq0rdqy-ehj0VDfmA_ytv8Wzh9g26FldrE";
        assert_eq!(signature("apiVersion: v1\n", "abcdef", "0123456789abcdef"), expected);
    }

    #[test]
    fn each_token_that_may_sign_does_and_others_signatures_go() {
        let good = token("abcdef", "true", "");
        let own = signature("c", "abcdef", "0123456789abcdef");
        let signed = json!({"kubeconfig": "c", "jws-kubeconfig-abcdef": own});
        let before = json!({"kubeconfig": "c", "jws-kubeconfig-ghijkl": "of one that is gone"});
        let others =
            [good.clone(), token("mnopqr", "false", ""), token("stuvwx", "true", "2025-01-01T00:00:00Z")];
        assert_eq!(look(before, &others), (Some(signed.clone()), None));
        assert_eq!(look(signed.clone(), std::slice::from_ref(&good)), (None, None));
        let changed = json!({"kubeconfig": "d", "jws-kubeconfig-abcdef": own});
        assert!(look(changed, &[good]).0.is_some_and(|data| data["jws-kubeconfig-abcdef"] != own.as_str()));
        assert_eq!(look(signed, &[]).0, Some(json!({"kubeconfig": "c"})));
        assert_eq!(look(json!({"other": "c"}), &[token("abcdef", "true", "")]).0, None);
    }

    #[test]
    fn a_signature_goes_with_the_time_of_its_token() {
        let soon = token("abcdef", "true", "2026-01-01T00:00:10Z");
        let (data, again) =
            look(json!({"kubeconfig": "c"}), &[soon, token("ghijkl", "true", "2027-01-01T00:00:00Z")]);
        assert_eq!(data.unwrap().as_object().unwrap().len(), 3);
        assert_eq!(again, Some(Duration::from_secs(10)));
        let wrong = json!({"metadata": {"name": "bootstrap-token-zzzzzz"}, "type": tokens::TYPE,
            "data": token("abcdef", "true", "")["data"]});
        assert_eq!(signs(&wrong), None);
    }
}
