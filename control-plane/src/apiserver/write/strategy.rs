//! What kinds do each in their own way when they are written. The lists are facts of the API that no schema tells.

use api_objects::schema::Type;
use api_objects::{certificates, decode, pod};
use serde_json::{Value, json};

use crate::apiserver::auth::User;
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

/// Whether a difference in labels counts as one of what is asked for.
pub(super) fn counts_labels(kind: &str) -> bool {
    kind == "EndpointSlice"
}

/// What of the metadata a write of the status leaves as it is.
pub(super) fn status_keeps(kind: &str) -> &'static [&'static str] {
    match kind {
        "Deployment" => &["labels"],
        "FlowSchema"
        | "PriorityLevelConfiguration"
        | "ResourceClaim"
        | "ServiceCIDR"
        | "ValidatingAdmissionPolicy"
        | "VolumeAttachment" => &["labels", "annotations", "finalizers", "ownerReferences"],
        _ => &[],
    }
}

/// Writes who asks for a certificate into what they ask for.
pub(super) fn tell_asker(kind: &str, user: &User, object: &mut Value) {
    if kind != "CertificateSigningRequest" {
        return;
    }
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    let mut tell = |field: &str, empty: bool, value: Value| {
        if !empty {
            spec.insert(field.to_owned(), value);
        }
    };
    tell("username", user.name.is_empty(), user.name.as_str().into());
    tell("uid", user.uid.is_empty(), user.uid.as_str().into());
    tell("groups", user.groups.is_empty(), json!(user.groups));
    tell("extra", user.extra.is_empty(), json!(user.extra));
}

/// Writes into a status when it became so.
pub(super) fn stamp_status(kind: &str, live: &Value, object: &mut Value, now: &str) {
    match kind {
        "CertificateSigningRequest" => certificates::stamp(object, live, now),
        "Pod" => pod::keep_status(object, live),
        "PersistentVolume" => {
            let (phase, since) = ("phase", "lastPhaseTransitionTime");
            let same = live["status"][phase] == object["status"][phase];
            let told = object["status"][since].clone();
            let Some(status) = object.get_mut("status").filter(|status| status.is_object()) else { return };
            if same && told.is_null() {
                status[since] = live["status"][since].clone();
            } else if !same && (told.is_null() || told == live["status"][since]) {
                status[since] = now.into();
            }
        }
        _ => {}
    }
}
