//! Certificates: who approves and who signs must be allowed to, signer by signer, and nobody becomes a superuser so.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::part::Part;
use super::super::target::Write;
use crate::apiserver::auth::signer::Request;
use crate::apiserver::auth::{Action, Authorizer as _, MASTERS, Resource};
use crate::apiserver::status::Status;

const GROUP: &str = "certificates.k8s.io";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// May a request for a certificate be made or changed so?
pub(super) async fn check(write: &Write<'_>, old: Option<&Value>, new: &Value) -> Result<(), Status> {
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    let verb = match (write.part, old) {
        (Part::Whole, None) => return subject(new).map_err(|why| write.refuse(name, &why)),
        (Part::Approval, Some(_)) => "approve",
        (Part::Status, Some(old)) if old["status"] != new["status"] => "sign",
        _ => return Ok(()),
    };
    let signer = old.and_then(|old| old["spec"]["signerName"].as_str()).unwrap_or_default();
    if may(write, verb, signer).await? {
        return Ok(());
    }
    Err(write.refuse(name, &format!("user not permitted to {verb} requests with signerName {signer:?}")))
}

/// Whether the user may do this with a signer, or with all of its domain.
async fn may(write: &Write<'_>, verb: &str, signer: &str) -> Result<bool, Status> {
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    let (policy, user) = (write.server.access.policy(), &write.context.user);
    let asks = || {
        policy.ask(|chain| {
            [signer, &domain].iter().any(|name| {
                let on = Resource { group: GROUP, resource: "signers", name, ..Resource::default() };
                chain.authorize(user, &Action::on(verb, on)).allowed
            })
        })
    };
    if asks() {
        return Ok(true);
    }
    // It may have been granted a moment ago.
    policy.catch_up(&write.server.caches).await?;
    Ok(asks())
}

/// What a request asks for.
pub(super) fn requested(request: &Value) -> Result<Request, String> {
    let text = request["spec"]["request"].as_str().unwrap_or_default();
    let pem = STANDARD.decode(text).map_err(|error| error.to_string())?;
    Request::from_pem(&pem)
}

fn subject(request: &Value) -> Result<(), String> {
    if request["spec"]["signerName"] != CLIENT {
        return Ok(());
    }
    let asked = requested(request).map_err(|why| format!("failed to parse CSR: {why}"))?;
    match asked.organizations.iter().any(|group| group == MASTERS) {
        true => Err(format!("use of {CLIENT} signer with {MASTERS} group is not allowed")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use serde_json::json;

    use super::*;

    fn request(group: &str, signer: &str) -> Value {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, group);
        let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        json!({"spec": {"signerName": signer, "request": STANDARD.encode(pem)}})
    }

    #[test]
    fn nobody_becomes_a_superuser() {
        assert_eq!(subject(&request("developers", CLIENT)), Ok(()));
        assert!(subject(&request(MASTERS, CLIENT)).unwrap_err().contains("is not allowed"));
        assert_eq!(subject(&request(MASTERS, "example.com/other")), Ok(()));
        assert!(
            subject(&json!({"spec": {"signerName": CLIENT}})).unwrap_err().starts_with("failed to parse CSR")
        );
    }
}
