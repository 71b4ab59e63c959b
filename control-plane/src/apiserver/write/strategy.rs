//! What kinds do each in their own way when they are written. The lists are facts of the API that no schema tells.

use api_objects::decode;
use api_objects::schema::Type;
use serde_json::{Value, json};

use crate::apiserver::kinds::Resource;

/// An update of what is not there creates it.
pub(super) fn creates_on_update(kind: &str) -> bool {
    matches!(
        kind,
        "Lease"
            | "LeaseCandidate"
            | "Endpoints"
            | "Event"
            | "LimitRange"
            | "Service"
            | "RuntimeClass"
            | "ClusterRole"
            | "ClusterRoleBinding"
            | "Role"
            | "RoleBinding"
    )
}

/// A new object without a name gets some.
pub(super) fn names_itself(kind: &str) -> bool {
    kind == "LimitRange"
}

/// An update may leave out which version of the object it is about.
pub(super) fn updates_unconditionally(kind: &str) -> bool {
    !matches!(
        kind,
        "APIService"
            | "CSIDriver"
            | "CSINode"
            | "CSIStorageCapacity"
            | "ClusterTrustBundle"
            | "CustomResourceDefinition"
            | "Lease"
            | "LeaseCandidate"
            | "MutatingAdmissionPolicy"
            | "MutatingAdmissionPolicyBinding"
            | "MutatingWebhookConfiguration"
            | "PodCertificateRequest"
            | "PodDisruptionBudget"
            | "RuntimeClass"
            | "StorageVersionMigration"
            | "ValidatingAdmissionPolicy"
            | "ValidatingAdmissionPolicyBinding"
            | "ValidatingWebhookConfiguration"
            | "VolumeAttachment"
    )
}

/// A deletion answers with the object that was deleted, and not only that it was.
pub(super) fn shows_deleted(kind: &str) -> bool {
    matches!(
        kind,
        "CSIDriver"
            | "CSINode"
            | "DeviceClass"
            | "DeviceTaintRule"
            | "Namespace"
            | "PersistentVolume"
            | "PersistentVolumeClaim"
            | "Pod"
            | "PodTemplate"
            | "ResourceClaim"
            | "ResourceClaimTemplate"
            | "ResourceQuota"
            | "ResourceSlice"
            | "Service"
            | "ServiceAccount"
            | "StorageClass"
            | "VolumeAttachment"
            | "VolumeAttributesClass"
    )
}

/// Whose dependents stay where a deletion says nothing of them.
pub(super) fn orphans_by_default(resource: &Resource) -> bool {
    matches!(resource.qualified().as_str(), "jobs.batch" | "replicationcontrollers")
}

/// The status of a new object is the server's; only a node tells its own when it comes.
pub(super) fn first_status(kind: &str, of: Type<'_>, object: &mut Value) {
    if kind == "Node" || of.field("status").is_none() {
        return;
    }
    let Some(object) = object.as_object_mut() else { return };
    object.remove("status");
    if let Some(empty) = decode::empty(of).get("status") {
        object.insert("status".to_owned(), empty.clone());
    }
    if matches!(kind, "Pod" | "PersistentVolume" | "PersistentVolumeClaim") {
        object.insert("status".to_owned(), json!({ "phase": "Pending" }));
    }
}

/// Whether a difference in annotations counts as one of what is asked for.
pub(super) fn counts_annotations(kind: &str) -> bool {
    kind == "Deployment"
}

/// Whether a write of the status leaves labels as they are.
pub(super) fn status_keeps_labels(kind: &str) -> bool {
    kind == "Deployment"
}
