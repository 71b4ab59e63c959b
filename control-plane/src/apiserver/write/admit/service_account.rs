//! Every pod runs as a service account, and finds its token where clients look for it.

use serde_json::{Value, json};

use super::super::create::suffix;
use super::super::target::Write;
use crate::apiserver::status::Status;

/// Where clients look for the token.
const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// A little over an hour: old clients, which read it once, get one that lives longer.
const SECONDS: i64 = 3607;

/// Gives a pod its account, or says why it cannot have it.
pub(super) async fn admit(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    let refuse = |pod: &Value, why: String| write.refuse(&super::name(pod), &why);
    if !applies(pod).map_err(|why| refuse(pod, why))? {
        return Ok(());
    }
    let (namespace, account) = (write.context.target.namespace.as_str(), name(pod).to_owned());
    let found = write.find("", "serviceaccounts", namespace, &account).await?;
    let found = found.ok_or_else(|| {
        let why = format!("serviceaccount {account:?} not found");
        refuse(pod, format!("error looking up service account {namespace}/{account}: {why}"))
    })?;
    put(pod, &found, &suffix());
    Ok(())
}

/// Whether the pod is to have an account. A mirror pod, which a kubelet made of a file, has none and may name none.
fn applies(pod: &Value) -> Result<bool, String> {
    if pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_none() {
        return Ok(true);
    }
    let volumes = || pod["spec"]["volumes"].as_array().into_iter().flatten();
    if !text(&pod["spec"]["serviceAccountName"]).is_empty() {
        return Err("a mirror pod may not reference service accounts".to_owned());
    }
    if volumes().any(|volume| volume["secret"].is_object()) {
        return Err("a mirror pod may not reference secrets".to_owned());
    }
    let token = |source: &Value| source["serviceAccountToken"].is_object();
    let projects =
        |volume: &Value| volume["projected"]["sources"].as_array().is_some_and(|all| all.iter().any(token));
    if volumes().any(projects) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections".to_owned());
    }
    Ok(false)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The account that the pod is to run as.
fn name(pod: &Value) -> &str {
    Some(text(&pod["spec"]["serviceAccountName"])).filter(|name| !name.is_empty()).unwrap_or("default")
}

/// Makes the pod one of this account; `suffix` makes the volume's name one of its own.
fn put(pod: &mut Value, account: &Value, suffix: &str) {
    let account_name = text(&account["metadata"]["name"]).to_owned();
    let spec = &mut pod["spec"];
    spec["serviceAccountName"] = json!(account_name);
    spec["serviceAccount"] = json!(account_name);
    let pulls = |of: &Value| of["imagePullSecrets"].as_array().is_some_and(|list| !list.is_empty());
    if !pulls(spec) && pulls(account) {
        spec["imagePullSecrets"] = account["imagePullSecrets"].clone();
    }
    let wants = spec["automountServiceAccountToken"].as_bool();
    if !wants.or(account["automountServiceAccountToken"].as_bool()).unwrap_or(true) {
        return;
    }
    let volume = format!("kube-api-access-{suffix}");
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mounts = container["volumeMounts"].as_array().cloned().unwrap_or_default();
            if mounts.iter().any(|mount| mount["mountPath"] == MOUNT) {
                continue;
            }
            let own = json!({"name": volume, "readOnly": true, "mountPath": MOUNT});
            container["volumeMounts"] = mounts.into_iter().chain([own]).collect();
            mounted = true;
        }
    }
    if mounted {
        let volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
        spec["volumes"] = volumes.into_iter().chain([token_volume(&volume)]).collect();
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ]}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_gets_account_token_and_pull_secrets() {
        let account = json!({"metadata": {"name": "a"}, "imagePullSecrets": [{"name": "s"}]});
        let mut pod = json!({"spec": {"containers": [{"name": "c"}, {"name": "d", "volumeMounts": [{"mountPath": MOUNT}]}]}});
        put(&mut pod, &account, "x");
        let spec = &pod["spec"];
        assert_eq!((&spec["serviceAccountName"], &spec["serviceAccount"]), (&json!("a"), &json!("a")));
        assert_eq!(spec["imagePullSecrets"], account["imagePullSecrets"]);
        assert_eq!(spec["volumes"][0]["name"], "kube-api-access-x");
        let mounts = |index: usize| spec["containers"][index]["volumeMounts"].as_array().map_or(0, Vec::len);
        assert_eq!((mounts(0), mounts(1), name(&pod)), (1, 1, "a"));
    }

    #[test]
    fn who_wants_no_token_gets_none() {
        for (pod, account, mounted) in [
            (None, None, true),
            (None, Some(false), false),
            (Some(true), Some(false), true),
            (Some(false), None, false),
        ] {
            let mut object = json!({"spec": {"containers": [{"name": "c"}]}});
            if let Some(wants) = pod {
                object["spec"]["automountServiceAccountToken"] = wants.into();
            }
            let mut owner = json!({"metadata": {"name": "a"}});
            if let Some(wants) = account {
                owner["automountServiceAccountToken"] = wants.into();
            }
            put(&mut object, &owner, "x");
            assert_eq!(object["spec"]["volumes"].is_array(), mounted, "{pod:?} {account:?}");
        }
    }

    #[test]
    fn a_mirror_pod_has_none() {
        let mirror = |spec: Value| {
            applies(&json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": spec}))
        };
        assert_eq!(mirror(json!({})), Ok(false));
        assert!(mirror(json!({"serviceAccountName": "a"})).is_err());
        assert!(mirror(json!({"volumes": [{"secret": {}}]})).is_err());
        assert!(
            mirror(json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}]})).is_err()
        );
        assert_eq!(applies(&json!({"metadata": {}})), Ok(true));
    }
}
