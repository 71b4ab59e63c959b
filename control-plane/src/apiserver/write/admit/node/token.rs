//! A node has tokens only for pods that run on it, and only for those who the pods speak to.

use serde_json::Value;

use super::super::super::target::Write;
use crate::apiserver::auth::{Action, Authorizer as _, Resource};
use crate::apiserver::status::Status;

/// May the user, if it is a node, have such a token of the account that the path names?
pub(in super::super) async fn check(write: &Write<'_>, request: &Value) -> Result<(), Status> {
    let Some(node) = write.context.user.node() else { return Ok(()) };
    let target = &write.context.target;
    let refuse = |why: &str| write.refuse(&target.name, why);
    let bound = &request["spec"]["boundObjectRef"];
    let [name, uid] = ["name", "uid"].map(|field| bound[field].as_str().unwrap_or_default());
    if bound["apiVersion"] != "v1" || bound["kind"] != "Pod" || name.is_empty() {
        return Err(refuse("node requested token not bound to a pod"));
    }
    if uid.is_empty() {
        return Err(refuse("node requested token with a pod binding without a uid"));
    }
    let pod = write.find("", "pods", &target.namespace, name).await?;
    let pod = pod.ok_or_else(|| Status::missing("", "pods", name))?;
    if pod["metadata"]["uid"] != uid {
        return Err(refuse(&format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        )));
    }
    if pod["spec"]["nodeName"] != node {
        return Err(refuse("node requested token bound to a pod scheduled on a different node"));
    }
    let audiences: Vec<&str> =
        request["spec"]["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let audience = match audiences[..] {
        [] => "",
        [one] => one,
        _ => return Err(refuse("node may only request 0 or 1 audiences")),
    };
    if names_audience(write, &pod, audience).await? {
        return Ok(());
    }
    let asked = Resource {
        resource: audience,
        namespace: &target.namespace,
        name: &target.name,
        ..Resource::default()
    };
    let (policy, user) = (write.server.access.policy(), &write.context.user);
    policy.catch_up(&write.server.caches).await?;
    let action = Action::on("request-serviceaccounts-token-audience", asked);
    if policy.ask(|chain| chain.authorize(user, &action)).allowed {
        return Ok(());
    }
    let user = &user.name;
    Err(refuse(&format!(
        "audience {audience:?} not found in pod spec volume, {user} is not authorized to request tokens for this audience"
    )))
}

/// Whether a volume of the pod has tokens for an audience: by itself, or because its driver asks for them.
async fn names_audience(write: &Write<'_>, pod: &Value, audience: &str) -> Result<bool, Status> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = &write.context.target.namespace;
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let mut sources = volume["projected"]["sources"].as_array().into_iter().flatten();
        let token = |source: &Value| {
            let token = &source["serviceAccountToken"];
            token.is_object() && text(&token["audience"]) == audience
        };
        if sources.any(token) {
            return Ok(true);
        }
        let claim = match volume["ephemeral"]["volumeClaimTemplate"].is_object() {
            true => format!("{}-{}", text(&pod["metadata"]["name"]), text(&volume["name"])),
            false => text(&volume["persistentVolumeClaim"]["claimName"]),
        };
        let mut driver = text(&volume["csi"]["driver"]);
        if !claim.is_empty() {
            let claim =
                write.find("", "persistentvolumeclaims", namespace, &claim).await?.unwrap_or_default();
            let bound = text(&claim["spec"]["volumeName"]);
            let bound = write.find("", "persistentvolumes", "", &bound).await?.unwrap_or_default();
            driver = text(&bound["spec"]["csi"]["driver"]);
        }
        if driver.is_empty() {
            continue;
        }
        let driver = write.find("storage.k8s.io", "csidrivers", "", &driver).await?.unwrap_or_default();
        let mut asked = driver["spec"]["tokenRequests"].as_array().into_iter().flatten();
        if asked.any(|asked| text(&asked["audience"]) == audience) {
            return Ok(true);
        }
    }
    Ok(false)
}
