//! The names of resources, and how much there can be of them.

use serde_json::Value;

use crate::check::invalid_names;
use crate::{FieldError, Path, Quantity, names};

/// What quotas can limit.
const QUOTA: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// What is counted.
const WHOLE: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whether a quota can limit a resource of Kubernetes of this name.
pub(super) fn is_quota(name: &str) -> bool {
    QUOTA.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// Whether a resource is in Kubernetes' own domain, which names without a domain are in as well.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource is one that somebody else than Kubernetes offers.
pub(crate) fn is_extended(name: &str) -> bool {
    let asked = format!("requests.{name}");
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&asked).is_empty()
}

/// Whether more may be promised of a resource than there is.
pub(crate) fn can_be_overcommitted(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}

/// Whether there are no parts of a resource.
pub(crate) fn is_counted(name: &str) -> bool {
    WHOLE.contains(&name) || is_extended(name)
}

/// Refuses the name of a resource that is none.
pub(crate) fn name(errors: &mut Vec<FieldError>, path: &Path, name: &str) {
    let before = errors.len();
    invalid_names(errors, path, name, names::qualified_name);
    if errors.len() == before && !name.contains('/') && !is_quota(name) && name != "storage" {
        let why = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path, name, why));
    }
}

/// Refuses the name of a resource that a container cannot ask for.
pub(crate) fn container_name(errors: &mut Vec<FieldError>, path: &Path, name: &str) {
    self::name(errors, path, name);
    let standard = ["cpu", "memory", "ephemeral-storage"].contains(&name) || name.starts_with("hugepages-");
    if !name.contains('/') && !standard {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
    } else if !is_native(name) && !is_extended(name) {
        errors.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
    }
}

/// Refuses the name of a resource that a quota cannot limit.
pub(super) fn quota_name(errors: &mut Vec<FieldError>, path: &Path, name: &str) {
    self::name(errors, path, name);
    if !name.contains('/') && !is_quota(name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for quota"));
    }
}

/// Refuses less than nothing of a resource, and parts of what is counted.
pub(super) fn amount(errors: &mut Vec<FieldError>, path: &Path, name: &str, value: &Value) {
    let amount = quantity(value);
    if amount.is_negative() {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path, amount.to_string(), why));
    }
    if is_counted(name) && amount.millis() % 1000 != 0 {
        errors.push(FieldError::invalid(path, amount.to_string(), "must be an integer"));
    }
}

/// The quantity in a field, which is well-formed once it was decoded.
pub(crate) fn quantity(value: &Value) -> Quantity {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}
