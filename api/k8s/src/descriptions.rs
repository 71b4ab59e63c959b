//! What the types of the API and their fields mean, in upstream's words: what `kubectl explain` shows.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration;
use k8s_openapi::schemars::SchemaGenerator;
use k8s_openapi::{api, apimachinery};
use serde_json::Value;

macro_rules! reach {
    ($generator:ident, $($group:path => $($kind:ident)*;)*) => {
        $({ use $group as group; $($generator.subschema_for::<group::$kind>();)* })*
    };
}

/// Schemas with descriptions by the names that OpenAPI documents give them (`io.k8s.api.core.v1.PodSpec`), of all kinds
/// and what they are made of. Made anew by each call, in some milliseconds.
pub fn descriptions() -> Value {
    let mut generator = SchemaGenerator::default();
    reach! { generator,
        api::admissionregistration::v1 => MutatingAdmissionPolicy MutatingAdmissionPolicyBinding
            MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
            ValidatingWebhookConfiguration;
        api::apps::v1 => ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet;
        api::authentication::v1 => SelfSubjectReview TokenRequest TokenReview;
        api::authorization::v1 => LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview
            SubjectAccessReview;
        api::autoscaling::v1 => HorizontalPodAutoscaler Scale;
        api::autoscaling::v2 => HorizontalPodAutoscaler;
        api::batch::v1 => CronJob Job;
        api::certificates::v1 => CertificateSigningRequest;
        api::coordination::v1 => Lease;
        api::core::v1 => Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume
            PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount;
        api::discovery::v1 => EndpointSlice;
        api::events::v1 => Event;
        api::flowcontrol::v1 => FlowSchema PriorityLevelConfiguration;
        api::networking::v1 => IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR;
        api::node::v1 => RuntimeClass;
        api::policy::v1 => Eviction PodDisruptionBudget;
        api::rbac::v1 => ClusterRole ClusterRoleBinding Role RoleBinding;
        api::resource::v1 => DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice;
        api::scheduling::v1 => PriorityClass;
        api::storage::v1 => CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass;
        apiextensions => CustomResourceDefinition;
        apiregistration => APIService;
        apimachinery::pkg::apis::meta::v1 => DeleteOptions Status;
    }
    Value::Object(generator.take_definitions(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_described_by_the_names_of_documents() {
        let all = descriptions();
        let text = |pointer: &str| all.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        assert!(text("/io.k8s.api.core.v1.PodSpec/properties/nodeName/description").contains("node"));
        assert!(text("/io.k8s.api.apps.v1.Deployment/description").contains("Pods"));
        assert!(
            text("/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta/properties/uid/description")
                .contains("UID")
        );
        assert!(all.as_object().unwrap().len() > 400, "{}", all.as_object().unwrap().len());
    }
}
