//! In which way each kind looks at metadata: facts of the API that no schema tells.

use serde_json::Value;

use crate::{address, names};

/// The kind of an object whose metadata is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// Its group, empty for the core one.
    pub group: &'a str,
    /// Its name, `ConfigMap`.
    pub kind: &'a str,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

/// The form of a kind's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Subdomain,
    Label,
    /// Anything that a path can name.
    PathSegment,
    Address,
    /// `PLURAL.GROUP` of a CustomResourceDefinition.
    Resource,
    /// `VERSION.GROUP` of an APIService.
    Version,
}

/// Which checks a kind does once more when an object is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Nothing,
    /// Those of a new object.
    Create,
    /// Those of an object that replaces another.
    Update,
    Both,
}

impl Kind<'_> {
    pub(super) fn name(&self) -> Name {
        match (self.group, self.kind) {
            ("", "Namespace" | "Service") | ("apps", "StatefulSet") => Name::Label,
            ("rbac.authorization.k8s.io", _) => Name::PathSegment,
            ("certificates.k8s.io", "CertificateSigningRequest") => Name::PathSegment,
            ("networking.k8s.io", "IPAddress") => Name::Address,
            ("apiextensions.k8s.io", _) => Name::Resource,
            ("apiregistration.k8s.io", _) => Name::Version,
            _ => Name::Subdomain,
        }
    }

    /// Whether the kind's own rules look at metadata at all.
    pub(super) fn checks_itself(&self) -> bool {
        self.kind != "PodDisruptionBudget"
    }

    /// Whether a finalizer without a domain must be a known one.
    pub(super) fn knows_finalizers(&self) -> bool {
        let generic = [
            "rbac.authorization.k8s.io",
            "coordination.k8s.io",
            "admissionregistration.k8s.io",
            "apiextensions.k8s.io",
            "apiregistration.k8s.io",
        ];
        !generic.contains(&self.group)
    }

    pub(super) fn again(&self, status: bool) -> Again {
        match (self.group, self.kind) {
            (_, "PodDisruptionBudget") => Again::Nothing,
            ("certificates.k8s.io", "CertificateSigningRequest") => Again::Both,
            (_, "CronJob" | "ValidatingAdmissionPolicy" | "FlowSchema" | "PriorityLevelConfiguration")
                if status =>
            {
                Again::Nothing
            }
            _ if status => Again::Update,
            ("", "LimitRange" | "Event" | "PersistentVolume")
            | ("admissionregistration.k8s.io" | "flowcontrol.apiserver.k8s.io", _) => Again::Create,
            ("storage.k8s.io", "CSINode" | "VolumeAttachment") | ("discovery.k8s.io", _) => Again::Create,
            (
                "",
                "Namespace"
                | "Node"
                | "PersistentVolumeClaim"
                | "ServiceAccount"
                | "Secret"
                | "ConfigMap"
                | "Endpoints",
            ) => Again::Both,
            ("networking.k8s.io", "Ingress" | "IngressClass" | "IPAddress") => Again::Both,
            ("storage.k8s.io", "StorageClass" | "CSIStorageCapacity") => Again::Both,
            ("batch", "Job") | ("node.k8s.io", _) => Again::Both,
            ("rbac.authorization.k8s.io" | "apiregistration.k8s.io" | "resource.k8s.io", _) => Again::Both,
            _ => Again::Update,
        }
    }
}

impl Name {
    /// What the form has against a name, or against what a name is to begin with.
    pub(super) fn faults(self, name: &str, prefix: bool, object: &Value) -> Vec<String> {
        let masked = if prefix { masked(name) } else { name.to_owned() };
        match self {
            Self::Subdomain => names::dns_subdomain(&masked),
            Self::Label => names::dns_label(&masked),
            Self::PathSegment if prefix => names::path_segment_prefix(name),
            Self::PathSegment => names::path_segment(name),
            Self::Address => address::canonical_ip_faults(name),
            Self::Resource => {
                let spec = &object["spec"];
                let required = joined(&spec["names"]["plural"], &spec["group"]);
                let mut faults = names::dns_subdomain(&masked);
                if name != required {
                    faults.push("must be spec.names.plural+\".\"+spec.group".to_owned());
                }
                faults
            }
            Self::Version => {
                let required = joined(&object["spec"]["version"], &object["spec"]["group"]);
                match names::path_segment(name) {
                    faults if !faults.is_empty() => faults,
                    _ if name == required => Vec::new(),
                    _ => vec![format!("must be `spec.version+\".\"+spec.group`: {required:?}")],
                }
            }
        }
    }
}

fn joined(first: &Value, second: &Value) -> String {
    format!("{}.{}", first.as_str().unwrap_or_default(), second.as_str().unwrap_or_default())
}

/// What a hyphen ends, to which letters are appended, need not be a name by itself. Upstream gives up the letter before
/// the hyphen as well.
fn masked(name: &str) -> String {
    match name.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let kept = rest.char_indices().next_back().map_or(0, |(index, _)| index);
            format!("{}a", &rest[..kept])
        }
        _ => name.to_owned(),
    }
}
