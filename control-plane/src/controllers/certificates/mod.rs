//! Requests for certificates: kubelets' own are approved, what was approved is signed, and what is over goes.
//!
//! ```text
//!   pending ──▶ approved ([`approve`] for kubelets, else a person) ──▶ issued or failed ([`sign`])
//!      └──────▶ denied (a person)
//!   pending for a day, approved and not signed for a day, or anything else for an hour ──▶ deleted ([`clean`])
//! ```

pub mod approve;
pub mod clean;
pub mod sign;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use crate::apiserver::auth::signer::Request;
use crate::client::{Gvr, Id};
use crate::controllers::index::Change;

/// Requests.
static REQUESTS: Gvr = Gvr::of("certificates.k8s.io", "v1", "certificatesigningrequests");
const ACCOUNT: &str = "certificate-controller";

/// Each of them looks at a request whenever it is written.
fn wake_for(change: &Change, wake: &mut dyn FnMut(Id)) {
    if let Some(item) = change.new.as_ref().filter(|item| item.id.kind == REQUESTS) {
        wake(item.id.clone());
    }
}

/// The condition of a type, where it holds.
fn holds<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == name && condition["status"] == "True")
}

fn is_issued(object: &Value) -> bool {
    object["status"]["certificate"].as_str().is_some_and(|certificate| !certificate.is_empty())
}

fn usages(object: &Value) -> Vec<&str> {
    object["spec"]["usages"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What is asked for.
fn request(object: &Value) -> Result<Request, String> {
    use base64::Engine as _;
    let text = object["spec"]["request"].as_str().unwrap_or_default();
    let pem = base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| error.to_string())?;
    Request::from_pem(&pem)
}

/// Adds a condition.
fn add(object: &mut Value, name: &str, reason: &str, message: &str, now: &str) {
    let condition = json!({"type": name, "status": "True", "reason": reason, "message": message,
        "lastUpdateTime": now, "lastTransitionTime": now});
    super::conditions::put(&mut object["status"], condition);
}
