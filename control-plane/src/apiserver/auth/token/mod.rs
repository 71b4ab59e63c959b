//! Service-account tokens: JSON Web Tokens that are bound to objects and end with them.
//!
//! A token is good when its issuer is ours, one of our keys signed it, it is meant for the audience that is asked
//! for, its time has come and is not over, and its account, and the pod, secret or node that it is bound to, are
//! still the ones that it was made for.

mod issue;
mod keys;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
pub use issue::{Issuer, bound_object};
use jiff::Timestamp;
pub use keys::{KeyError, PublicKey, SigningKey, discovery, jwks};
use serde::{Deserialize, Serialize};

use super::quote::quoted_list;
use super::{CREDENTIAL_ID, User};

/// No token of ours comes near this many bytes; what is longer is not looked at.
const LONGEST: usize = 64 * 1024;
/// What the clocks of servers may differ by, in seconds.
const LEEWAY: i64 = 60;
/// The keys of `extra` that tell the pod and node of an account.
pub(super) const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_UID: &str = "authentication.kubernetes.io/node-uid";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// The kinds of objects that tokens are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Whose token it is.
    ServiceAccount,
    /// The pod that uses it.
    Pod,
    /// A Secret that stands for it.
    Secret,
    /// The node that uses it; in no namespace.
    Node,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its uid.
    pub uid: String,
    /// When it was asked to go, if it was.
    pub deletion: Option<Timestamp>,
}

/// Who a token is, and for which of the wanted audiences it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Who.
    pub user: User,
    /// For whom.
    pub audiences: Vec<String>,
}

/// What tokens are verified with.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Our issuers: what tokens are signed by, the present one and earlier ones.
    pub issuers: Vec<String>,
    /// Keys of all of them.
    pub keys: Vec<PublicKey>,
    /// The audiences that mean this server.
    pub audiences: Vec<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// Extensions that must be understood; none is.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    aud: Option<OneOrMore>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iat: Option<f64>,
    #[serde(default)]
    jti: String,
    #[serde(default, rename = "kubernetes.io")]
    private: Private,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Default, Deserialize, Serialize)]
struct Private {
    #[serde(default)]
    namespace: String,
    #[serde(default, rename = "serviceaccount")]
    account: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnafter: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Reference {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    uid: String,
}

impl Verifier {
    /// Who does this token stand for? `None` when it is no token of ours at all. `find` finds objects by kind,
    /// namespace and name; `wanted` are the audiences that are asked for, this server when there are none.
    ///
    /// # Errors
    /// Why it is not good, for a person to read.
    pub fn verify(
        &self,
        token: &str,
        wanted: &[String],
        find: impl Fn(Bound, &str, &str) -> Option<Live>,
        now: Timestamp,
    ) -> Result<Option<Verified>, String> {
        let Some((message, claims, header, signature)) = parsed(token) else { return Ok(None) };
        if !self.issuers.contains(&claims.iss) {
            return Ok(None);
        }
        if header.crit.is_some() {
            return Err("the token has extensions that are not understood".to_owned());
        }
        let mut keys =
            self.keys.iter().filter(|key| header.kid.is_empty() || key.id() == header.kid).peekable();
        if keys.peek().is_none() {
            return Err("invalid signature, no keys found".to_owned());
        }
        if !keys.any(|key| key.verifies(&header.alg, message.as_bytes(), &signature)) {
            return Err("invalid signature".to_owned());
        }
        let meant = match claims.aud {
            Some(OneOrMore::One(one)) => vec![one],
            Some(OneOrMore::More(more)) if !more.is_empty() => more,
            // Tokens in Secrets of old are meant for the API server alone.
            _ => self.audiences.clone(),
        };
        let wanted = if wanted.is_empty() { &self.audiences } else { wanted };
        let audiences: Vec<_> = meant.iter().filter(|one| wanted.contains(one)).cloned().collect();
        if audiences.is_empty() {
            let (meant, wanted) = (quoted_list(&meant), quoted_list(wanted));
            return Err(format!("token audiences {meant} is invalid for the target audiences {wanted}"));
        }
        in_time(&[claims.exp, claims.nbf, claims.iat], now)?;
        let user = claims.private.user(&claims.jti, find, now)?;
        Ok(Some(Verified { user, audiences }))
    }
}

/// The signed part, the claims, the header and the signature of a token.
fn parsed(token: &str) -> Option<(&str, Claims, Header, Vec<u8>)> {
    if token.len() > LONGEST {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let claims = serde_json::from_slice(&part(claims)?).ok()?;
    let header = serde_json::from_slice(&part(header)?).ok()?;
    Some((message, claims, header, part(signature)?))
}

fn in_time([expiry, not_before, issued]: &[Option<f64>; 3], now: Timestamp) -> Result<(), String> {
    // Seconds of any year that matters are exact in a double.
    let now = now.as_second() as f64;
    let leeway = LEEWAY as f64;
    if expiry.is_some_and(|expiry| now - leeway > expiry) {
        Err("service account token has expired".to_owned())
    } else if not_before.is_some_and(|not_before| now + leeway < not_before) {
        Err("service account token is not valid yet".to_owned())
    } else if issued.is_some_and(|issued| now + leeway < issued) {
        Err("service account token is issued in the future".to_owned())
    } else {
        Ok(())
    }
}

impl Private {
    /// Who this is, when everything that the token is bound to is still there.
    fn user(
        &self,
        id: &str,
        find: impl Fn(Bound, &str, &str) -> Option<Live>,
        now: Timestamp,
    ) -> Result<User, String> {
        let (namespace, account) = (&self.namespace, &self.account);
        // What is to be deleted may need its token to say good-bye, for as long as clocks differ.
        let gone = |live: &Live| live.deletion.is_some_and(|at| at.as_second() < now.as_second() - LEEWAY);
        let live = find(Bound::ServiceAccount, namespace, &account.name)
            .ok_or_else(|| format!("serviceaccounts {:?} not found", account.name))?;
        if live.uid != account.uid {
            return Err(format!("service account UID ({}) does not match claim ({})", live.uid, account.uid));
        }
        if gone(&live) {
            return Err(format!("service account {namespace}/{} has been deleted", account.name));
        }
        // A pod's node is told for information; the token is bound to the pod.
        let node = self.node.as_ref().filter(|_| self.pod.is_none());
        let bound = [
            (
                Bound::Secret,
                &self.namespace[..],
                self.secret.as_ref(),
                "secret",
                "service account secret ref",
            ),
            (Bound::Pod, namespace, self.pod.as_ref(), "pod", "service account pod ref"),
            (Bound::Node, "", node, "node", "service account node ref"),
        ];
        for (kind, namespace, reference, noun, claim) in bound {
            let Some(reference) = reference else { continue };
            let invalidated = || "service account token has been invalidated".to_owned();
            let live = find(kind, namespace, &reference.name).ok_or_else(invalidated)?;
            if live.uid != reference.uid {
                let uid = &reference.uid;
                return Err(format!("{noun} UID ({}) does not match {claim} claim ({uid})", live.uid));
            }
            if gone(&live) {
                return Err(invalidated());
            }
        }
        let mut extra = BTreeMap::new();
        let mut tell = |key: &str, value: &str| {
            if !value.is_empty() {
                extra.insert(key.to_owned(), vec![value.to_owned()]);
            }
        };
        if let Some(pod) = &self.pod {
            tell(POD_NAME, &pod.name);
            tell(POD_UID, &pod.uid);
        }
        if let Some(node) = self.node.as_ref().filter(|node| !node.name.is_empty()) {
            tell(NODE_NAME, &node.name);
            tell(NODE_UID, &node.uid);
        }
        if !id.is_empty() {
            tell(CREDENTIAL_ID, &format!("JTI={id}"));
        }
        Ok(User { extra, ..User::service_account(namespace, &account.name, &account.uid) })
    }
}

#[cfg(test)]
mod tests;
