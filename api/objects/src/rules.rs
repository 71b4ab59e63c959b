//! The rules of each kind: what is filled in, and what is refused.
//!
//! A kind has a row in [`of`]; its functions stand in a file of the kind, in the folder of its group. They look at one
//! object in the form that it is stored in, and at the one that it replaces. What concerns other objects (a name that
//! is taken, a namespace that is not there) is not theirs.

use serde_json::Value;

use crate::admissionregistration::{policy, webhook};
use crate::core::{
    claim, config_map, endpoints, event, limit_range, namespace, node, resource_quota, secret, service,
    service_account, volume,
};
use crate::flowcontrol::{level, schema};
use crate::networking::{endpoint_slice, ingress, ingress_class, network_policy};
use crate::storage::{attachment, class, csi};
use crate::{
    FieldError, apiextensions, apiregistration, apps, autoscaling, batch, certificates, coordination,
    devices, flowcontrol, networking, node as runtime_class, pod, rbac, scheduling,
};

/// What the API does with the objects of one kind. The metadata is looked at for all kinds alike.
pub struct Rules {
    /// Fills in what was left out.
    pub defaults: fn(&mut Value),
    /// What the server makes of a new object, or of one that replaces another, before it is looked at.
    pub prepare: fn(&mut Value, Option<&Value>),
    /// What a new object breaks.
    pub create: fn(&Value) -> Vec<FieldError>,
    /// What an object breaks that replaces another one: the new one, the old one.
    pub update: fn(&Value, &Value) -> Vec<FieldError>,
    /// What a new status breaks: the new object, the old one.
    pub status: fn(&Value, &Value) -> Vec<FieldError>,
}

impl Rules {
    /// Nothing is filled in, nothing is refused.
    pub(crate) const NONE: Self = Self {
        defaults: |_| {},
        prepare: |_, _| {},
        create: |_| Vec::new(),
        update: |_, _| Vec::new(),
        status: |_, _| Vec::new(),
    };

    /// What a new object breaks, and what one that replaces another.
    const fn new(create: Create, update: Update) -> Self {
        Self { create, update, ..Self::NONE }
    }

    const fn filled(self, defaults: fn(&mut Value)) -> Self {
        Self { defaults, ..self }
    }

    const fn prepared(self, prepare: fn(&mut Value, Option<&Value>)) -> Self {
        Self { prepare, ..self }
    }

    const fn told(self, status: Update) -> Self {
        Self { status, ..self }
    }
}

type Create = fn(&Value) -> Vec<FieldError>;
type Update = fn(&Value, &Value) -> Vec<FieldError>;

/// The rules of a kind, named by its group (empty for the core one) and its name; none for a kind that has only its
/// schema.
pub fn of(group: &str, kind: &str) -> Option<&'static Rules> {
    match group {
        "" => core_group(kind),
        "admissionregistration.k8s.io" => admission_group(kind),
        "apps" => apps::rules(kind),
        "batch" => batch::rules(kind),
        "networking.k8s.io" => networking_group(kind),
        "rbac.authorization.k8s.io" => rbac_group(kind),
        "resource.k8s.io" => resource_group(kind),
        "storage.k8s.io" => storage_group(kind),
        _ => other(group, kind),
    }
}

fn core_group(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "ConfigMap" => const { &Rules::new(config_map::create, config_map::update) },
        "Endpoints" => {
            const { &Rules::new(endpoints::create, endpoints::update).filled(endpoints::defaults) }
        }
        "Event" => const { &Rules::new(event::create, event::update) },
        "LimitRange" => {
            const {
                &Rules::new(limit_range::create, |new, _| limit_range::create(new))
                    .filled(limit_range::defaults)
            }
        }
        "Namespace" => {
            const {
                &Rules::new(namespace::create, |new, _| namespace::create(new))
                    .filled(namespace::defaults)
                    .prepared(namespace::prepare)
                    .told(namespace::status)
            }
        }
        "Node" => const { &Rules::new(node::create, node::update).filled(node::defaults).told(node::status) },
        "PersistentVolume" => {
            const { &Rules::new(volume::create, volume::update).filled(volume::defaults).prepared(volume::prepare) }
        }
        "PersistentVolumeClaim" => {
            const {
                &Rules::new(claim::create, claim::update)
                    .filled(claim::defaults)
                    .prepared(claim::prepare)
                    .told(claim::status)
            }
        }
        "Pod" => const { &pod::RULES },
        "PodTemplate" => const { &pod::POD_TEMPLATE },
        "ReplicationController" => const { &pod::REPLICATION_CONTROLLER },
        "ResourceQuota" => {
            const { &Rules::new(resource_quota::create, resource_quota::update).told(resource_quota::status) }
        }
        "Secret" => const { &Rules::new(secret::create, secret::update).filled(secret::defaults) },
        "Service" => {
            const {
                &Rules::new(service::create, service::update)
                    .filled(service::defaults)
                    .prepared(service::prepare)
                    .told(service::status)
            }
        }
        "ServiceAccount" => const { &Rules::NONE.prepared(service_account::prepare) },
        _ => return None,
    })
}

fn admission_group(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "MutatingAdmissionPolicy" => {
            const {
                &Rules::new(policy::create_mutating, |new, _| policy::create_mutating(new))
                    .filled(policy::defaults)
            }
        }
        "MutatingAdmissionPolicyBinding" => {
            const {
                &Rules::new(policy::create_mutating_binding, |new, _| policy::create_mutating_binding(new))
                    .filled(policy::binding_defaults)
            }
        }
        "MutatingWebhookConfiguration" => {
            const { &Rules::new(webhook::create, webhook::update).filled(webhook::mutating_defaults) }
        }
        "ValidatingAdmissionPolicy" => {
            const { &Rules::new(policy::create, |new, _| policy::create(new)).filled(policy::defaults) }
        }
        "ValidatingAdmissionPolicyBinding" => {
            const {
                &Rules::new(policy::create_binding, |new, _| policy::create_binding(new))
                    .filled(policy::binding_defaults)
            }
        }
        "ValidatingWebhookConfiguration" => {
            const { &Rules::new(webhook::create, webhook::update).filled(webhook::defaults) }
        }
        _ => return None,
    })
}

fn networking_group(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "IPAddress" => const { &Rules::new(networking::create_address, networking::update_address) },
        "Ingress" => const { &Rules::new(ingress::create, ingress::update).told(ingress::status) },
        "IngressClass" => {
            const { &Rules::new(ingress_class::create, ingress_class::update).filled(ingress_class::defaults) }
        }
        "NetworkPolicy" => {
            const { &Rules::new(network_policy::create, network_policy::update).filled(network_policy::defaults) }
        }
        "ServiceCIDR" => const { &Rules::new(networking::create_range, networking::update_range) },
        _ => return None,
    })
}

fn rbac_group(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "Role" => const { &Rules::new(rbac::create_role, |new, _| rbac::create_role(new)) },
        "ClusterRole" => {
            const { &Rules::new(rbac::create_cluster_role, |new, _| rbac::create_cluster_role(new)) }
        }
        "RoleBinding" => {
            const { &Rules::new(rbac::create_binding, rbac::update_binding).filled(rbac::binding_defaults) }
        }
        "ClusterRoleBinding" => {
            const {
                &Rules::new(rbac::create_cluster_binding, rbac::update_cluster_binding)
                    .filled(rbac::binding_defaults)
            }
        }
        _ => return None,
    })
}

fn resource_group(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "DeviceClass" => const { &Rules::new(devices::create_class, |new, _| devices::create_class(new)) },
        "ResourceClaim" => {
            const { &Rules::new(devices::create_claim, devices::update_claim).filled(devices::claim_defaults) }
        }
        "ResourceClaimTemplate" => {
            const {
                &Rules::new(devices::create_template, devices::update_claim)
                    .filled(devices::template_defaults)
            }
        }
        "ResourceSlice" => const { &Rules::new(devices::create_slice, devices::update_slice) },
        _ => return None,
    })
}

fn storage_group(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "CSIDriver" => {
            const { &Rules::new(csi::create_driver, csi::update_driver).filled(csi::driver_defaults) }
        }
        "CSINode" => const { &Rules::new(csi::create_node, csi::update_node) },
        "CSIStorageCapacity" => const { &Rules::new(csi::create_capacity, csi::update_capacity) },
        "StorageClass" => const { &Rules::new(class::create, class::update).filled(class::defaults) },
        "VolumeAttachment" => {
            const { &Rules::new(attachment::create, attachment::update).told(attachment::update) }
        }
        "VolumeAttributesClass" => const { &Rules::new(class::create_attributes, class::update_attributes) },
        _ => return None,
    })
}

fn other(group: &str, kind: &str) -> Option<&'static Rules> {
    Some(match (group, kind) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            const {
                &Rules::new(apiextensions::create, apiextensions::update)
                    .filled(apiextensions::defaults)
                    .prepared(apiextensions::prepare)
                    .told(apiextensions::status)
            }
        }
        ("apiregistration.k8s.io", "APIService") => {
            const {
                &Rules::new(apiregistration::create, |new, _| apiregistration::create(new))
                    .filled(apiregistration::defaults)
                    .told(apiregistration::status)
            }
        }
        ("autoscaling", "HorizontalPodAutoscaler") => const { &autoscaling::RULES },
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            const {
                &Rules::new(certificates::create, certificates::update)
                    .prepared(certificates::prepare)
                    .told(certificates::status)
            }
        }
        ("coordination.k8s.io", "Lease") => {
            const { &Rules::new(coordination::create, |new, _| coordination::create(new)) }
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            const {
                &Rules::new(endpoint_slice::create, endpoint_slice::update)
                    .filled(endpoint_slice::defaults)
                    .prepared(endpoint_slice::prepare)
            }
        }
        ("events.k8s.io", "Event") => const { &Rules::new(event::create, event::update) },
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => {
            const {
                &Rules::new(schema::create, |new, _| schema::create(new))
                    .filled(schema::defaults)
                    .told(|new, _| flowcontrol::conditions(new))
            }
        }
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => {
            const {
                &Rules::new(level::create, |new, _| level::create(new))
                    .filled(level::defaults)
                    .told(|new, _| flowcontrol::conditions(new))
            }
        }
        ("node.k8s.io", "RuntimeClass") => {
            const { &Rules::new(runtime_class::create, runtime_class::update) }
        }
        ("policy", "PodDisruptionBudget") => const { &crate::policy::RULES },
        ("scheduling.k8s.io", "PriorityClass") => {
            const { &Rules::new(scheduling::create, scheduling::update).filled(scheduling::defaults) }
        }
        _ => return None,
    })
}
