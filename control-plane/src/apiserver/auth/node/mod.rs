//! What a node may do: read what its own pods need, write what is about itself.
//!
//! A [`Graph`] knows which objects lead to which node: `secret → pod → node`, `secret → volume → claim → pod → node`.
//! A request for such an object is allowed when a path leads to the node that asks; all others follow the rules of
//! the ClusterRole `system:node`. What a node may write into its objects is for admission to say.

mod graph;

pub use graph::{Graph, Kind, kinds_named};

use super::{Action, Resource, Target, User, Verdict, rbac};

const LEASES: &str = "kube-node-lease";

/// Allows what the nodes of a graph may do.
#[derive(Clone, Copy, Debug)]
pub struct Authorizer<'a>(pub &'a Graph);

impl super::Authorizer for Authorizer<'_> {
    fn authorize(&self, user: &User, action: &Action<'_>) -> Verdict {
        match user.node() {
            None => Verdict::refuse(""),
            Some("") => Verdict::refuse(format!("unknown node for user {:?}", user.name)),
            Some(node) => match self.decide(node, action) {
                Ok(()) => Verdict::allow(""),
                Err(why) => Verdict::refuse(why),
            },
        }
    }
}

impl Authorizer<'_> {
    fn decide(&self, node: &str, action: &Action<'_>) -> Result<(), String> {
        if let Target::Resource(on) = action.target {
            let verb = action.verb;
            match (on.group, on.resource) {
                ("", "secrets") => return self.read(node, Kind::Secret, verb, &on),
                ("", "configmaps") => return self.read(node, Kind::ConfigMap, verb, &on),
                ("", "persistentvolumeclaims") if on.subresource == "status" => {
                    return match verb {
                        "update" | "patch" => self.related(node, Kind::Claim, &on),
                        _ => refuse("can only get/update/patch this type"),
                    };
                }
                ("", "persistentvolumeclaims") => return self.get(node, Kind::Claim, verb, &on),
                ("", "persistentvolumes") => return self.get(node, Kind::Volume, verb, &on),
                ("resource.k8s.io", "resourceclaims") => {
                    return self.get(node, Kind::ResourceClaim, verb, &on);
                }
                ("resource.k8s.io", "resourceslices") => return self.slice(node, verb, &on),
                ("storage.k8s.io", "volumeattachments") => {
                    return self.get(node, Kind::Attachment, verb, &on);
                }
                ("storage.k8s.io", "csinodes") => return csi_node(node, verb, &on),
                ("coordination.k8s.io", "leases") => return lease(node, verb, &on),
                ("", "serviceaccounts") => return self.account(node, verb, &on),
                ("", "nodes") => return own_node(node, verb, &on),
                ("", "pods") => return self.pod(node, verb, &on),
                ("certificates.k8s.io", "podcertificaterequests") => return Err(String::new()),
                _ => {}
            }
        }
        if rbac::standard::node_rules().iter().any(|rule| rule.allows(action)) { Ok(()) } else { refuse("") }
    }

    fn read(&self, node: &str, kind: Kind, verb: &str, on: &Resource<'_>) -> Result<(), String> {
        match (verb, on.subresource, on.namespace) {
            ("get" | "list" | "watch", "", namespace) if !namespace.is_empty() => {
                self.related(node, kind, on)
            }
            ("get" | "list" | "watch", "", _) => refuse("can only read namespaced object of this type"),
            ("get" | "list" | "watch", ..) => refuse("cannot read subresource"),
            _ => refuse("can only read resources of this type"),
        }
    }

    fn get(&self, node: &str, kind: Kind, verb: &str, on: &Resource<'_>) -> Result<(), String> {
        match (verb, on.subresource) {
            ("get", "") => self.related(node, kind, on),
            ("get", _) => refuse("cannot get subresource"),
            _ => refuse("can only get individual resources of this type"),
        }
    }

    fn related(&self, node: &str, kind: Kind, on: &Resource<'_>) -> Result<(), String> {
        if on.name.is_empty() {
            refuse("No Object name found")
        } else if self.0.leads_to(node, kind, on.namespace, on.name) {
            Ok(())
        } else {
            Err(format!("no relationship found between node '{node}' and this object"))
        }
    }

    fn account(&self, node: &str, verb: &str, on: &Resource<'_>) -> Result<(), String> {
        match (verb, on.subresource) {
            ("get", "") => self.read(node, Kind::ServiceAccount, verb, on),
            ("create", "token") if !on.name.is_empty() => self.related(node, Kind::ServiceAccount, on),
            ("create", _) if !on.name.is_empty() => {
                refuse("can only create token subresource of serviceaccount")
            }
            _ => refuse("can only create tokens for individual service accounts"),
        }
    }

    fn slice(&self, node: &str, verb: &str, on: &Resource<'_>) -> Result<(), String> {
        match (on.subresource, verb) {
            ("", "create") => Ok(()),
            ("", "get" | "update" | "patch" | "delete") => self.related(node, Kind::ResourceSlice, on),
            ("", "watch" | "list" | "deletecollection") if selects(on, "spec.nodeName", node) => Ok(()),
            ("", "watch" | "list" | "deletecollection") => {
                refuse("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            ("", _) => refuse(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
                 delete, deletecollection",
            ),
            _ => refuse("cannot authorize ResourceSlice subresources"),
        }
    }

    fn pod(&self, node: &str, verb: &str, on: &Resource<'_>) -> Result<(), String> {
        match (on.subresource, verb) {
            ("", "get") => self.get(node, Kind::Pod, verb, on),
            ("", "list" | "watch") if selects(on, "spec.nodeName", node) => Ok(()),
            ("", "list" | "watch") if !on.name.is_empty() => self.related(node, Kind::Pod, on),
            ("", "list" | "watch") => refuse("can only list/watch pods with spec.nodeName field selector"),
            // Mirror pods and evictions; admission sees to it that they are the node's own.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => refuse(""),
        }
    }
}

fn refuse<T>(why: &str) -> Result<T, String> {
    Err(why.to_owned())
}

fn selects(on: &Resource<'_>, field: &str, value: &str) -> bool {
    on.fields.iter().any(|(of, is)| of == field && is == value)
}

fn lease(node: &str, verb: &str, on: &Resource<'_>) -> Result<(), String> {
    match verb {
        "get" | "create" | "update" | "patch" | "delete" if on.namespace != LEASES => {
            Err(format!("can only access leases in the {LEASES:?} system namespace"))
        }
        // The name is not known yet while creating; admission compares it.
        "create" => Ok(()),
        "get" | "update" | "patch" | "delete" if on.name == node => Ok(()),
        "get" | "update" | "patch" | "delete" => {
            refuse("can only access node lease with the same name as the requesting node")
        }
        _ => refuse("can only get, create, update, patch, or delete a node lease"),
    }
}

fn csi_node(node: &str, verb: &str, on: &Resource<'_>) -> Result<(), String> {
    match (verb, on.subresource) {
        ("create", "") => Ok(()),
        ("get" | "update" | "patch" | "delete", "") if on.name == node => Ok(()),
        ("get" | "update" | "patch" | "delete", "") => {
            refuse("can only access CSINode with the same name as the requesting node")
        }
        ("get" | "create" | "update" | "patch" | "delete", _) => {
            refuse("cannot authorize CSINode subresources")
        }
        _ => refuse("can only get, create, update, patch, or delete a CSINode"),
    }
}

fn own_node(node: &str, verb: &str, on: &Resource<'_>) -> Result<(), String> {
    match (on.subresource, verb, on.name) {
        // Admission sees to it that a node writes only itself.
        ("", "create" | "update" | "patch", _) | ("status", "update" | "patch", _) => Ok(()),
        // By name and not by graph: a kubelet reads its Node before there is one.
        ("", "get" | "list" | "watch", name) if name == node => Ok(()),
        ("", "get" | "list" | "watch", "") => {
            Err(format!("node '{node}' cannot read all nodes, only its own Node object"))
        }
        ("", "get" | "list" | "watch", other) => {
            Err(format!("node '{node}' cannot read '{other}', only its own Node object"))
        }
        _ => refuse(""),
    }
}

#[cfg(test)]
mod tests;
