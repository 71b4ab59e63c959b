use serde_json::{Value, json};

use super::super::Authorizer as _;
use super::*;

fn pod(node: &str) -> Value {
    json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {
        "nodeName": node, "serviceAccountName": "sa", "imagePullSecrets": [{"name": "pull"}],
        "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "env"}}},
                                {"valueFrom": {"configMapKeyRef": {"name": "map"}}}],
                        "envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "mapfrom"}}]}],
        "initContainers": [{"envFrom": [{"secretRef": {"name": "init"}}]}],
        "ephemeralContainers": [{"envFrom": [{"secretRef": {"name": "debug"}}]}],
        "resourceClaims": [{"name": "r", "resourceClaimName": "claimed"}, {"name": "t"}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "vol"}},
            {"name": "b", "configMap": {"name": "volmap"}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "proj"}}, {"configMap": {"name": "projmap"}}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "pvc"}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "f", "csi": {"nodePublishSecretRef": {"name": "csi"}}},
            {"name": "g", "iscsi": {"secretRef": {"name": "iscsi"}}}]},
        "status": {"resourceClaimStatuses": [{"name": "t", "resourceClaimName": "made"}]}})
}

fn volume() -> Value {
    json!({"metadata": {"name": "pv"}, "spec": {
        "claimRef": {"namespace": "ns", "name": "pvc"},
        "csi": {"nodeStageSecretRef": {"namespace": "sys", "name": "stage"},
                "controllerPublishSecretRef": {"namespace": "sys", "name": "controller"}},
        "rbd": {"secretRef": {"name": "rbd"}}}})
}

#[test]
fn what_a_pod_refers_to_leads_to_its_node() {
    let mut graph = Graph::default();
    graph.insert(Kind::Pod, &pod("n1"));
    let all = [
        (Kind::ServiceAccount, vec!["sa"]),
        (Kind::Secret, vec!["pull", "env", "from", "init", "debug", "vol", "proj", "csi", "iscsi"]),
        (Kind::ConfigMap, vec!["map", "mapfrom", "volmap", "projmap"]),
        (Kind::Claim, vec!["pvc", "p-e"]),
        (Kind::ResourceClaim, vec!["claimed", "made"]),
        (Kind::Pod, vec!["p"]),
    ];
    for (kind, names) in &all {
        for name in names {
            assert!(graph.leads_to("n1", *kind, "ns", name), "{kind:?} {name}");
            assert!(!graph.leads_to("n2", *kind, "ns", name), "{kind:?} {name} to another node");
            assert!(!graph.leads_to("n1", *kind, "other", name), "{kind:?} {name} of another namespace");
        }
    }
    graph.remove(Kind::Pod, "ns", "p");
    assert!(
        all.iter().all(|(kind, names)| names.iter().all(|name| !graph.leads_to("n1", *kind, "ns", name)))
    );
}

#[test]
fn a_pod_on_no_node_leads_nowhere_and_a_mirror_pod_only_itself() {
    let mut graph = Graph::default();
    graph.insert(Kind::Pod, &pod(""));
    assert!(!graph.leads_to("", Kind::Secret, "ns", "env"));
    let mut mirror = pod("n1");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    graph.insert(Kind::Pod, &mirror);
    assert!(graph.leads_to("n1", Kind::Pod, "ns", "p"));
    assert!(!graph.leads_to("n1", Kind::Secret, "ns", "env"));
}

#[test]
fn what_two_pods_share_leads_there_until_both_are_gone() {
    let mut graph = Graph::default();
    let mut other = pod("n1");
    other["metadata"]["name"] = json!("q");
    graph.insert(Kind::Pod, &pod("n1"));
    graph.insert(Kind::Pod, &pod("n1"));
    graph.insert(Kind::Pod, &other);
    graph.remove(Kind::Pod, "ns", "p");
    assert!(graph.leads_to("n1", Kind::Secret, "ns", "env"));
    graph.remove(Kind::Pod, "ns", "q");
    assert!(!graph.leads_to("n1", Kind::Secret, "ns", "env"));
}

#[test]
fn a_volume_and_the_secrets_to_mount_it_lead_where_its_claim_leads() {
    let mut graph = Graph::default();
    graph.insert(Kind::Volume, &volume());
    assert!(!graph.leads_to("n1", Kind::Volume, "", "pv"));
    graph.insert(Kind::Pod, &pod("n1"));
    assert!(graph.leads_to("n1", Kind::Volume, "", "pv"));
    assert!(graph.leads_to("n1", Kind::Secret, "sys", "stage"));
    assert!(graph.leads_to("n1", Kind::Secret, "ns", "rbd"));
    assert!(!graph.leads_to("n1", Kind::Secret, "sys", "controller"), "the controller's is not the node's");
    graph.remove(Kind::Volume, "", "pv");
    assert!(!graph.leads_to("n1", Kind::Volume, "", "pv"));
    assert!(!graph.leads_to("n1", Kind::Secret, "sys", "stage"));
}

#[test]
fn an_attachment_leads_to_its_node() {
    let mut graph = Graph::default();
    graph.insert(Kind::Attachment, &json!({"metadata": {"name": "va"}, "spec": {"nodeName": "n1"}}));
    assert!(graph.leads_to("n1", Kind::Attachment, "", "va"));
    graph.remove(Kind::Attachment, "", "va");
    assert!(!graph.leads_to("n1", Kind::Attachment, "", "va"));
}

#[test]
fn a_node_does_what_its_pods_and_itself_need() {
    let mut graph = Graph::default();
    graph.insert(Kind::Pod, &pod("n1"));
    graph.insert(Kind::Volume, &volume());
    let fields = |value: &str| vec![("spec.nodeName".to_owned(), value.to_owned())];
    let (own, other) = (fields("n1"), fields("n2"));
    let of = |group, path: &'static str, namespace, name| {
        let (resource, subresource) = path.split_once('/').unwrap_or((path, ""));
        Resource { group, resource, subresource, namespace, name, fields: &[] }
    };
    let (coordination, storage) = ("coordination.k8s.io", "storage.k8s.io");
    let no_way = "no relationship found between node 'n1' and this object";
    for (verb, on, refusal) in [
        ("get", of("", "secrets", "ns", "env"), None),
        ("watch", of("", "secrets", "ns", "env"), None),
        ("get", of("", "secrets", "ns", "x"), Some(no_way)),
        ("list", of("", "secrets", "ns", ""), Some("No Object name found")),
        ("list", of("", "secrets", "", ""), Some("can only read namespaced object of this type")),
        ("delete", of("", "secrets", "ns", "env"), Some("can only read resources of this type")),
        ("get", of("", "configmaps/x", "ns", "map"), Some("cannot read subresource")),
        ("get", of("", "persistentvolumeclaims", "ns", "pvc"), None),
        ("patch", of("", "persistentvolumeclaims/status", "ns", "pvc"), None),
        ("patch", of("", "persistentvolumeclaims/status", "ns", "x"), Some(no_way)),
        (
            "get",
            of("", "persistentvolumeclaims/status", "ns", "pvc"),
            Some("can only get/update/patch this type"),
        ),
        ("get", of("", "persistentvolumes", "", "pv"), None),
        ("list", of("", "persistentvolumes", "", ""), Some("can only get individual resources of this type")),
        ("create", of("", "serviceaccounts/token", "ns", "sa"), None),
        ("get", of("", "serviceaccounts", "ns", "sa"), None),
        ("create", of("", "serviceaccounts/token", "ns", "x"), Some(no_way)),
        (
            "create",
            of("", "serviceaccounts", "ns", "sa"),
            Some("can only create token subresource of serviceaccount"),
        ),
        (
            "delete",
            of("", "serviceaccounts", "ns", "sa"),
            Some("can only create tokens for individual service accounts"),
        ),
        ("update", of(coordination, "leases", "kube-node-lease", "n1"), None),
        ("create", of(coordination, "leases", "kube-node-lease", ""), None),
        (
            "get",
            of(coordination, "leases", "ns", "n1"),
            Some("can only access leases in the \"kube-node-lease\" system namespace"),
        ),
        (
            "get",
            of(coordination, "leases", "kube-node-lease", "n2"),
            Some("can only access node lease with the same name as the requesting node"),
        ),
        (
            "list",
            of(coordination, "leases", "kube-node-lease", ""),
            Some("can only get, create, update, patch, or delete a node lease"),
        ),
        ("get", of(storage, "csinodes", "", "n1"), None),
        (
            "get",
            of(storage, "csinodes", "", "n2"),
            Some("can only access CSINode with the same name as the requesting node"),
        ),
        (
            "list",
            of(storage, "csinodes", "", ""),
            Some("can only get, create, update, patch, or delete a CSINode"),
        ),
        ("create", of("resource.k8s.io", "resourceslices", "", ""), None),
        ("list", Resource { fields: &own, ..of("resource.k8s.io", "resourceslices", "", "") }, None),
        (
            "list",
            of("resource.k8s.io", "resourceslices", "", ""),
            Some("can only list/watch/deletecollection resourceslices with nodeName field selector"),
        ),
        ("get", of("", "nodes", "", "n1"), None),
        ("get", of("", "nodes", "", "n2"), Some("node 'n1' cannot read 'n2', only its own Node object")),
        ("list", of("", "nodes", "", ""), Some("node 'n1' cannot read all nodes, only its own Node object")),
        ("patch", of("", "nodes/status", "", "n1"), None),
        ("delete", of("", "nodes", "", "n1"), Some("")),
        ("get", of("", "pods", "ns", "p"), None),
        ("get", of("", "pods", "ns", "x"), Some(no_way)),
        ("list", Resource { fields: &own, ..of("", "pods", "", "") }, None),
        (
            "watch",
            Resource { fields: &other, ..of("", "pods", "", "") },
            Some("can only list/watch pods with spec.nodeName field selector"),
        ),
        ("create", of("", "pods", "ns", ""), None),
        ("patch", of("", "pods/status", "ns", "p"), None),
        ("create", of("", "pods/eviction", "ns", "p"), None),
        ("update", of("", "pods", "ns", "p"), Some("")),
        ("list", of("", "services", "", ""), None),
        ("create", of("", "events", "ns", ""), None),
        ("create", of("certificates.k8s.io", "certificatesigningrequests", "", ""), None),
        ("list", of("apps", "deployments", "", ""), Some("")),
    ] {
        let node = User::new("system:node:n1", &["system:nodes"]);
        let verdict = Authorizer(&graph).authorize(&node, &Action::on(verb, on));
        let expected = refusal.map_or_else(|| Verdict::allow(""), Verdict::refuse);
        assert_eq!(verdict, expected, "{verb} {on:?}");
    }
}

#[test]
fn who_is_no_node_gets_nothing_from_the_graph() {
    let mut graph = Graph::default();
    graph.insert(Kind::Pod, &pod("n1"));
    let secret = Resource { resource: "secrets", namespace: "ns", name: "env", ..Resource::default() };
    for (name, groups, reason) in [
        ("system:node:n1", vec![], ""),
        ("n1", vec!["system:nodes"], ""),
        ("system:node:", vec!["system:nodes"], "unknown node for user \"system:node:\""),
    ] {
        let verdict = Authorizer(&graph).authorize(&User::new(name, &groups), &Action::on("get", secret));
        assert_eq!(verdict, Verdict::refuse(reason));
    }
}
