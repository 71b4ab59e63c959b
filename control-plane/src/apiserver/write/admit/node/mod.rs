//! What a node may write: about itself, and about the pods that are bound to it. Who is a node says the authorizer, and
//! what kinds it may write at all; here is what it may write into their objects.

mod pod;
mod token;

use std::collections::BTreeSet;

use serde_json::Value;

pub(super) use token::check as token;

use super::super::target::Write;
use super::{Operation, certificate};
use crate::apiserver::auth::NODE_USER;
use crate::apiserver::status::Status;

const LEASES: &str = "kube-node-lease";
/// Labels of Kubernetes that a kubelet tells of its node, beside those of `kubelet.kubernetes.io` and
/// `node.kubernetes.io`.
const OWN_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

/// May the user, if it is a node, do this to the object of this name?
pub(super) async fn check(write: &Write<'_>, name: &str, operation: Operation<'_>) -> Result<(), Status> {
    let Some(node) = write.context.user.node() else { return Ok(()) };
    let refuse = |why: String| write.refuse(name, &why);
    if node.is_empty() {
        return Err(refuse(format!("could not determine node from user {:?}", write.context.user.name)));
    }
    let subresource = write.context.target.subresource.as_str();
    match write.resource.qualified().as_str() {
        "pods" => pod::check(write, node, name, operation).await,
        "nodes" => own_node(node, name, operation).map_err(refuse),
        "persistentvolumeclaims" => match (subresource, operation) {
            ("status", Operation::Update { old, new }) => claim_status(node, old, new).map_err(refuse),
            _ => Err(refuse("may only update PVC status".to_owned())),
        },
        "leases.coordination.k8s.io" if write.context.target.namespace != LEASES => {
            Err(refuse(format!("can only access leases in the {LEASES:?} system namespace")))
        }
        "leases.coordination.k8s.io" if name != node => {
            Err(refuse("can only access node lease with the same name as the requesting node".to_owned()))
        }
        "csinodes.storage.k8s.io" if name != node => {
            Err(refuse("can only access CSINode with the same name as the requesting node".to_owned()))
        }
        "resourceslices.resource.k8s.io" => {
            let (slice, verb) = match operation {
                Operation::Create { new } => (new, "create"),
                Operation::Delete { old } => (old, "delete"),
                Operation::Update { .. } => return Ok(()),
            };
            let same = slice["spec"]["nodeName"] == node;
            let why = || {
                refuse(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node"))
            };
            if same { Ok(()) } else { Err(why()) }
        }
        "certificatesigningrequests.certificates.k8s.io" => match operation {
            Operation::Create { new } => own_certificate(node, new).map_err(refuse),
            _ => Ok(()),
        },
        "podcertificaterequests.certificates.k8s.io" => {
            Err(refuse("PodCertificateRequest feature gate is disabled".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Whether two values mean the same: an empty list or map is as good as none.
fn same(one: &Value, other: &Value) -> bool {
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    };
    one == other || (nothing(one) && nothing(other))
}

fn claim_status(node: &str, old: &Value, new: &Value) -> Result<(), String> {
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        let told = ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"];
        for (part, fields) in [("metadata", &["resourceVersion", "managedFields"][..]), ("status", &told[..])]
        {
            if let Some(part) = claim[part].as_object_mut() {
                fields.iter().for_each(|field| drop(part.remove(*field)));
            }
        }
        claim
    };
    let (old, new) = (rest(old), rest(new));
    if old == new {
        return Ok(());
    }
    let fields = |object: &Value| -> BTreeSet<String> {
        object.as_object().into_iter().flatten().map(|(field, _)| field.clone()).collect()
    };
    let all = &fields(&old) | &fields(&new);
    let differ: Vec<String> = all.into_iter().filter(|field| old[field] != new[field]).collect();
    let differ = differ.join(", ");
    Err(format!(
        "node {node:?} is not allowed to update fields other than status.quantity and status.conditions: {differ}"
    ))
}

fn own_node(node: &str, name: &str, operation: Operation<'_>) -> Result<(), String> {
    if name != node {
        return Err(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let source = |node: &Value| node["spec"]["configSource"].clone();
    match operation {
        Operation::Create { new } => {
            if !source(new).is_null() {
                return Err(format!(
                    "node {node:?} is not allowed to create pods with a non-nil configSource"
                ));
            }
            let forbidden = foreign_labels(&Value::Null, &new["metadata"]["labels"]);
            if !forbidden.is_empty() {
                let forbidden = forbidden.join(", ");
                return Err(format!("node {node:?} is not allowed to set the following labels: {forbidden}"));
            }
        }
        Operation::Update { old, new } => {
            if !source(new).is_null() && source(new) != source(old) {
                return Err(format!(
                    "node {node:?} is not allowed to update configSource to a new non-nil configSource"
                ));
            }
            if !same(&old["spec"]["taints"], &new["spec"]["taints"]) {
                return Err(format!("node {node:?} is not allowed to modify taints"));
            }
            if !same(&old["metadata"]["ownerReferences"], &new["metadata"]["ownerReferences"]) {
                return Err(format!("node {node:?} is not allowed to modify ownerReferences"));
            }
            let forbidden = foreign_labels(&old["metadata"]["labels"], &new["metadata"]["labels"]);
            if !forbidden.is_empty() {
                return Err(format!("is not allowed to modify labels: {}", forbidden.join(", ")));
            }
        }
        Operation::Delete { .. } => {}
    }
    Ok(())
}

/// The labels that differ and are not a kubelet's to set.
fn foreign_labels(old: &Value, new: &Value) -> Vec<String> {
    let names = |labels: &Value| -> BTreeSet<String> {
        labels.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    let all = &names(old) | &names(new);
    all.into_iter().filter(|name| old.get(name) != new.get(name) && is_foreign(name)).collect()
}

fn is_foreign(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else { return false };
    let of =
        |parent: &str| domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    // Both are below what comes next: whoever restricts pods to some nodes must know that no node says so by itself.
    if of("node-restriction.kubernetes.io") {
        return true;
    }
    let own = OWN_LABELS.contains(&label) || of("kubelet.kubernetes.io") || of("node.kubernetes.io");
    (of("kubernetes.io") || of("k8s.io")) && !own
}

fn own_certificate(node: &str, request: &Value) -> Result<(), String> {
    let spec = &request["spec"];
    let signers = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
    if !signers.iter().any(|signer| spec["signerName"] == *signer) {
        return Ok(());
    }
    let asked = certificate::requested(request).map_err(|why| format!("unable to parse csr: {why}"))?;
    match asked.common_name.strip_prefix(NODE_USER) == Some(node) {
        true => Ok(()),
        false => Err(format!("can only create a node CSR with CN={NODE_USER}{node}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_changes_itself_but_not_where_it_stands() {
        let node = |labels: Value, taints: Value| json!({"metadata": {"name": "n", "labels": labels}, "spec": {"taints": taints}});
        let old = node(json!({"a": "b"}), json!([]));
        let change = |new: &Value| own_node("n", "n", Operation::Update { old: &old, new });
        assert_eq!(change(&node(json!({"a": "c", "kubernetes.io/os": "linux"}), Value::Null)), Ok(()));
        assert!(change(&node(json!({"a": "b"}), json!([{"key": "k"}]))).is_err());
        let told = change(&node(
            json!({"x.node-restriction.kubernetes.io/y": "1", "node-role.kubernetes.io/a": ""}),
            json!([]),
        ));
        let both = "node-role.kubernetes.io/a, x.node-restriction.kubernetes.io/y";
        assert_eq!(told, Err(format!("is not allowed to modify labels: {both}")));
        assert!(own_node("n", "m", Operation::Create { new: &old }).is_err());
        let new = node(
            json!({"node.kubernetes.io/x": "1", "x.kubelet.kubernetes.io/y": "1"}),
            json!([{"key": "k"}]),
        );
        assert_eq!(own_node("n", "n", Operation::Create { new: &new }), Ok(()));
    }

    #[test]
    fn a_node_tells_how_large_a_claim_is() {
        let claim = json!({"metadata": {"name": "c", "resourceVersion": "1"}, "spec": {}, "status": {"phase": "Bound"}});
        let mut new = claim.clone();
        new["metadata"]["resourceVersion"] = "2".into();
        new["status"]["capacity"] = json!({"storage": "2Gi"});
        assert_eq!(claim_status("n", &claim, &new), Ok(()));
        new["status"]["phase"] = "Lost".into();
        assert!(claim_status("n", &claim, &new).is_err_and(|why| why.ends_with("conditions: status")));
    }
}
