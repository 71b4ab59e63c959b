//! Answers to a TokenRequest.

use api_objects::{FieldError, Path, time};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Private, Reference, SigningKey};
use crate::apiserver::auth::quote::quoted;
use crate::apiserver::auth::{Status, service_account_user};

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";
const SHORTEST: i64 = 10 * 60;
const LONGEST: i64 = 1 << 32;
const DEFAULT: i64 = 60 * 60;
/// What a kubelet asks for on behalf of a pod that did not ask by itself. Old clients in such pods read their token
/// once; it lives on for a year, and its use after the hour is told.
const ASKED_FOR_OLD_CLIENTS: i64 = 60 * 60 + 7;
const YEAR: i64 = 365 * 24 * 60 * 60;

/// Makes tokens.
#[derive(Debug)]
pub struct Issuer {
    /// What goes into `iss`: an `https` URL.
    pub url: String,
    /// The audiences of tokens that ask for none: this server.
    pub audiences: Vec<String>,
    /// No token lives longer, in seconds.
    pub longest: Option<i64>,
    /// Does the token of a pod that did not ask for one live a year?
    pub extend: bool,
    /// What signs.
    pub key: SigningKey,
}

/// The kind and name of the object that a TokenRequest wants its token bound to, for the caller to look up: a Pod or
/// Secret in the namespace of the account, or a Node.
///
/// # Errors
/// When tokens are not bound to objects of its kind.
pub fn bound_object(request: &Value) -> Result<Option<(&str, &str)>, Status> {
    let reference = &request["spec"]["boundObjectRef"];
    let [version, kind, name] =
        ["apiVersion", "kind", "name"].map(|key| reference[key].as_str().unwrap_or_default());
    if reference.is_null() {
        return Ok(None);
    }
    match (version.split_once('/').is_none(), kind) {
        (true, "Pod" | "Secret" | "Node") => Ok(Some((kind, name))),
        _ => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let what = format!("{group}/{version}, Kind={kind}");
            Err(Status::bad_request(format!("cannot bind token to object of type {what}")))
        }
    }
}

impl Issuer {
    /// The answer to a TokenRequest for that account, and the warnings that go with it.
    ///
    /// `bound` is the object of [`bound_object`], if there is one; `node` the Node of a bound pod, if it is there;
    /// `id` tells this token from all others.
    ///
    /// # Errors
    /// Why there is no token.
    pub fn issue(
        &self,
        request: &Value,
        account: &Value,
        bound: Option<&Value>,
        node: Option<&Value>,
        id: &str,
        now: Timestamp,
    ) -> Result<(Value, Vec<String>), Status> {
        let [namespace, name, uid] = ["namespace", "name", "uid"].map(|key| word(&account["metadata"][key]));
        check_metadata(&request["metadata"], [namespace, name, uid])?;
        let spec = &request["spec"];
        let mut seconds = spec["expirationSeconds"].as_i64().unwrap_or(DEFAULT);
        let path = Path::ROOT.field("spec");
        let path = path.field("expirationSeconds");
        let wrong = match seconds {
            ..SHORTEST => Some("may not specify a duration less than 10 minutes"),
            SHORTEST..=LONGEST => None,
            _ => Some("may not specify a duration larger than 2^32 seconds"),
        };
        if let Some(why) = wrong {
            return Err(Status::invalid(GROUP, KIND, "", vec![FieldError::invalid(&path, seconds, why)]));
        }
        let mut audiences: Vec<String> =
            spec["audiences"].as_array().into_iter().flatten().map(|one| word(one).to_owned()).collect();
        if audiences.is_empty() {
            audiences.clone_from(&self.audiences);
        }
        let mut private = Private {
            namespace: namespace.to_owned(),
            account: Reference { name: name.to_owned(), uid: uid.to_owned() },
            ..Private::default()
        };
        bind(&mut private, request, bound, node)?;

        let mut warnings = Vec::new();
        if let Some(longest) = self.longest.filter(|longest| seconds > *longest) {
            warnings
                .push(format!("requested expiration of {seconds} seconds shortened to {longest} seconds"));
            seconds = longest;
        }
        let mut lives = seconds;
        let ours = audiences.iter().all(|one| self.audiences.contains(one));
        if self.extend && ours && private.pod.is_some() && seconds == ASKED_FOR_OLD_CLIENTS {
            private.warnafter = Some(now.as_second() + seconds);
            lives = YEAR;
        }
        let claims = json!({
            "iss": self.url, "sub": service_account_user(namespace, name), "aud": audiences, "jti": id,
            "iat": now.as_second(), "nbf": now.as_second(), "exp": now.as_second() + lives,
            "kubernetes.io": private,
        });
        let token = self.key.sign(&claims).map_err(|_| {
            let message = "Internal error occurred: failed to generate token";
            Status::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
        })?;
        let expires = now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        let answer = json!({
            "kind": KIND, "apiVersion": format!("{GROUP}/v1"),
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": time::format(now)},
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": spec["boundObjectRef"]},
            "status": {"token": token, "expirationTimestamp": time::format(expires)},
        });
        Ok((answer, warnings))
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What the request says of its account must be so.
fn check_metadata(meta: &Value, [namespace, name, uid]: [&str; 3]) -> Result<(), Status> {
    for (field, is) in [("name", name), ("namespace", namespace)] {
        let said = word(&meta[field]);
        if !said.is_empty() && said != is {
            let path = Path::ROOT.field("metadata");
            let why = format!("must match the service account {field} if specified");
            return Err(Status::invalid(
                GROUP,
                KIND,
                name,
                vec![FieldError::invalid(&path.field(field), said, &why)],
            ));
        }
    }
    let said = word(&meta["uid"]);
    if said.is_empty() || said == uid {
        return Ok(());
    }
    let why = format!(
        "the UID in the token request ({said}) does not match the UID of the service account ({uid})"
    );
    Err(Status::conflicting(GROUP, KIND, name, &why))
}

/// Binds a token to the object that it asks for.
fn bind(
    private: &mut Private,
    request: &Value,
    bound: Option<&Value>,
    node: Option<&Value>,
) -> Result<(), Status> {
    let Some((kind, name)) = bound_object(request)? else { return Ok(()) };
    let resource = format!("{}s", kind.to_lowercase());
    let object = bound.ok_or_else(|| Status::missing("", &resource, name))?;
    let uid = word(&object["metadata"]["uid"]);
    let reference = Reference { name: name.to_owned(), uid: uid.to_owned() };
    match kind {
        "Pod" => {
            let account = &private.account.name;
            if object["spec"]["serviceAccountName"] != **account {
                let account = quoted(account);
                let why = "to pod running with different serviceaccount name.";
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {account} {why}"
                )));
            }
            let node_name = word(&object["spec"]["nodeName"]);
            let node_uid = node.map(|node| word(&node["metadata"]["uid"]).to_owned()).unwrap_or_default();
            private.node =
                (!node_name.is_empty()).then(|| Reference { name: node_name.to_owned(), uid: node_uid });
            private.pod = Some(reference);
        }
        "Secret" => private.secret = Some(reference),
        _ => private.node = Some(reference),
    }
    let said = word(&request["spec"]["boundObjectRef"]["uid"]);
    if said.is_empty() || said == uid {
        return Ok(());
    }
    let why = format!(
        "the UID in the bound object reference ({said}) does not match the UID in record. The object might have \
         been deleted and then recreated"
    );
    Err(Status::conflicting("", kind, name, &why))
}
