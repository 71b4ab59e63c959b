//! What a node may write about pods: the mirrors of its own files, and how the pods are that run on it.

use serde_json::Value;

use super::super::super::target::Write;
use super::super::Operation;
use super::same;
use crate::apiserver::auth::node::{Kind, kinds_named};
use crate::apiserver::status::Status;

const MIRROR: &str = "kubernetes.io/config.mirror";

/// May a node do this to a pod?
pub(super) async fn check(
    write: &Write<'_>,
    node: &str,
    name: &str,
    operation: Operation<'_>,
) -> Result<(), Status> {
    let refuse = |why: String| write.refuse(name, &why);
    let is_own = |pod: &Value| pod["spec"]["nodeName"] == node;
    let subresource = write.context.target.subresource.as_str();
    match (subresource, operation) {
        ("", Operation::Create { new }) => {
            mirror(node, new).map_err(refuse)?;
            let found = write.find("", "nodes", "", node).await?;
            let found = found.ok_or_else(|| Status::missing("", "nodes", node))?;
            let [told, uid] = [&new["metadata"]["ownerReferences"][0]["uid"], &found["metadata"]["uid"]]
                .map(|uid| uid.as_str().unwrap_or_default());
            if told != uid {
                return Err(refuse(format!("node {node} UID mismatch: expected {told} got {uid}")));
            }
            match named(new) {
                Some(what) => Err(refuse(format!("node {node:?} can not create pods that reference {what}"))),
                None => Ok(()),
            }
        }
        ("", Operation::Delete { old }) if !is_own(old) => {
            Err(refuse(format!("node {node:?} can only delete pods with spec.nodeName set to itself")))
        }
        ("eviction", Operation::Delete { old }) if !is_own(old) => {
            Err(refuse(format!("node {node} can only evict pods with spec.nodeName set to itself")))
        }
        ("" | "eviction", Operation::Delete { .. }) => Ok(()),
        ("", Operation::Update { .. }) => Err(refuse(format!(
            "unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"
        ))),
        ("status", Operation::Update { old, new }) => pod_status(node, old, new).map_err(refuse),
        (other, _) => Err(refuse(format!(
            "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
        ))),
    }
}

/// A node makes pods only of its own files.
fn mirror(node: &str, pod: &Value) -> Result<(), String> {
    let metadata = &pod["metadata"];
    if metadata["annotations"].get(MIRROR).is_none() {
        return Err(format!(
            "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    if pod["spec"]["nodeName"] != node {
        return Err(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    let owners = metadata["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
    let owner = match owners {
        [owner] => owner,
        [] => {
            return Err(format!("node {node:?} can only create pods with an owner reference set to itself"));
        }
        _ => {
            return Err(format!(
                "node {node:?} can only create pods with a single owner reference set to itself"
            ));
        }
    };
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
        return Err(format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    if owner["controller"] != true {
        return Err(format!(
            "node {node:?} can only create pods with a controller owner reference set to itself"
        ));
    }
    if owner["blockOwnerDeletion"] == true {
        return Err(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    Ok(())
}

/// What a pod names of other objects. Were a mirror pod to name some, its node could read whatever it likes.
fn named(pod: &Value) -> Option<&'static str> {
    let kinds = kinds_named(pod);
    let has = |kind: Kind| kinds.contains(&kind);
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let volumes = list(&pod["spec"]["volumes"]);
    let some = |source: &str| volumes.iter().any(|volume| volume[source].is_object());
    let projects = |source: &str| {
        volumes
            .iter()
            .any(|volume| list(&volume["projected"]["sources"]).iter().any(|one| one[source].is_object()))
    };
    Some(match () {
        () if has(Kind::ServiceAccount) => "serviceaccounts",
        () if has(Kind::Secret) => "secrets",
        () if has(Kind::ConfigMap) => "configmaps",
        () if !list(&pod["spec"]["resourceClaims"]).is_empty() => "resourceclaims",
        () if some("configMap") => "configmaps (via configmap volumes)",
        () if some("secret") => "secrets (via secret volumes)",
        () if some("csi") => "csidrivers (via CSI volumes)",
        () if some("glusterfs") => "endpoints (via glusterFS volumes)",
        () if some("persistentVolumeClaim") => "persistentvolumeclaims",
        () if some("ephemeral") => "persistentvolumeclaims (via ephemeral volumes)",
        () if some("azureFile") => "secrets (via azureFile volumes)",
        () if projects("configMap") => "configmaps (via projected volumes)",
        () if projects("secret") => "secrets (via projected volumes)",
        () if projects("serviceAccountToken") => "serviceaccounts (via projected volumes)",
        () if projects("clusterTrustBundle") => "clustertrustbundles",
        () if projects("podCertificate") => "podcertificates",
        () => return None,
    })
}

fn pod_status(node: &str, old: &Value, new: &Value) -> Result<(), String> {
    if old["spec"]["nodeName"] != node {
        return Err(format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    if !same(&old["metadata"]["labels"], &new["metadata"]["labels"]) {
        return Err(format!("node {node:?} cannot update labels through pod status"));
    }
    let claims = |pod: &Value| -> Vec<(Value, Value)> {
        let all = pod["status"]["resourceClaimStatuses"].as_array().into_iter().flatten();
        all.map(|claim| (claim["name"].clone(), claim["resourceClaimName"].clone())).collect()
    };
    if claims(old) != claims(new) {
        return Err(format!("node {node:?} cannot update resource claim statues"));
    }
    let extended = "extendedResourceClaimStatus";
    if !same(&old["status"][extended], &new["status"][extended]) {
        return Err(format!("node {node:?} cannot update extended resource claim status"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Change = fn(&mut Value);

    fn owned(change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let mut pod = json!({"metadata": {"annotations": {MIRROR: "x"}, "ownerReferences":
            [{"apiVersion": "v1", "kind": "Node", "name": "n", "controller": true}]}, "spec": {"nodeName": "n"}});
        change(&mut pod);
        mirror("n", &pod)
    }

    #[test]
    fn a_node_makes_only_mirrors_of_its_own() {
        assert_eq!(owned(|_| {}), Ok(()));
        let wrong: [(Change, &str); 6] = [
            (|pod| pod["metadata"]["annotations"] = json!({}), "can only create mirror pods"),
            (|pod| pod["spec"]["nodeName"] = json!("m"), "spec.nodeName set to itself"),
            (|pod| pod["metadata"]["ownerReferences"] = json!([]), "an owner reference"),
            (|pod| pod["metadata"]["ownerReferences"] = json!([{}, {}]), "a single owner reference"),
            (|pod| pod["metadata"]["ownerReferences"][0]["controller"] = json!(false), "a controller owner"),
            (
                |pod| pod["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(true),
                "blockOwnerDeletion",
            ),
        ];
        for (change, why) in wrong {
            assert!(owned(change).is_err_and(|told| told.contains(why)), "{why}");
        }
    }

    #[test]
    fn mirrors_name_nothing() {
        let of = |spec: Value| named(&json!({ "spec": spec }));
        assert_eq!(
            of(json!({"volumes": [{"name": "a", "hostPath": {}}, {"name": "b", "emptyDir": {}}]})),
            None
        );
        for (spec, what) in [
            (json!({"imagePullSecrets": [{"name": "s"}]}), "secrets"),
            (json!({"containers": [{"envFrom": [{"configMapRef": {"name": "c"}}]}]}), "configmaps"),
            (json!({"volumes": [{"csi": {"driver": "d"}}]}), "csidrivers (via CSI volumes)"),
            (
                json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}]}),
                "serviceaccounts (via projected volumes)",
            ),
        ] {
            assert_eq!(of(spec), Some(what));
        }
    }

    #[test]
    fn a_node_tells_how_its_pods_are() {
        let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeName": "n"}, "status": {"phase": "Pending"}});
        let mut new = pod.clone();
        new["status"]["phase"] = "Running".into();
        assert_eq!(pod_status("n", &pod, &new), Ok(()));
        assert!(pod_status("m", &pod, &new).is_err());
        new["metadata"]["labels"]["a"] = "c".into();
        assert!(pod_status("n", &pod, &new).is_err());
    }
}
