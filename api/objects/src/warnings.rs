//! What writers are warned of: what they wrote is taken, and means something else than it says, or nothing soon.

use serde_json::Value;

use crate::check::{entries, has, list, text, texts};
use crate::pod::warnings as pods;
use crate::{Path, address, names};

/// What of an object was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but its status.
    Whole,
    /// Its status.
    Status,
}

/// The warnings for a new object of a kind, or for one that replaces another. The group is empty for the core one.
pub fn of(group: &str, kind: &str, part: Part, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut told = Vec::new();
    if part == Part::Status {
        status(&mut told, group, kind, new);
        return told;
    }
    match (group, kind) {
        ("", "Pod") if old.is_none() => {
            host_name(&mut told, new, "this is used in the Pod's hostname");
            told.extend(pods::warnings(new, None));
        }
        ("", "ReplicationController") | ("apps", "Deployment" | "ReplicaSet") => {
            if old.is_none() {
                host_name(&mut told, new, "this is used in Pod names and hostnames");
            }
            template(&mut told, new, old, &["spec", "template"]);
        }
        ("apps", "DaemonSet") => template(&mut told, new, old, &["spec", "template"]),
        ("apps", "StatefulSet") => stateful_set(&mut told, new, old),
        ("batch", "Job") => job(&mut told, new, old, &["spec"]),
        ("batch", "CronJob") => {
            job(&mut told, new, old, &["spec", "jobTemplate", "spec"]);
            if old.is_some() && text(&new["spec"], "schedule").contains("TZ") {
                told.push(
                    "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
                     https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                        .to_owned(),
                );
            }
        }
        ("", "Node") => node(&mut told, new),
        ("", "PersistentVolume") => volume(&mut told, new),
        ("", "PersistentVolumeClaim") => claim(&mut told, new),
        ("", "Service") => service(&mut told, new),
        ("networking.k8s.io", "Ingress") if old.is_none() => {
            let class = "kubernetes.io/ingress.class";
            if new["metadata"]["annotations"].get(class).is_some() && !has(&new["spec"], "ingressClassName") {
                told.push(format!(
                    "annotation {class:?} is deprecated, please use 'spec.ingressClassName' instead"
                ));
            }
        }
        ("", "Endpoints") => endpoints(&mut told, new),
        ("discovery.k8s.io", "EndpointSlice") => slice(&mut told, new, old),
        ("storage.k8s.io", "CSIDriver") => driver(&mut told, new, old),
        ("networking.k8s.io", "NetworkPolicy") => policy(&mut told, new),
        ("node.k8s.io", "RuntimeClass") => {
            for (key, _) in entries(&new["scheduling"], "nodeSelector") {
                told.extend(pods::old_label(key).map(|why| format!("scheduling.nodeSelector: {why}")));
            }
        }
        ("storage.k8s.io", "StorageClass") => storage_class(&mut told, new),
        _ => {}
    }
    told
}

fn host_name(told: &mut Vec<String>, object: &Value, what: &str) {
    let faults = names::dns_label(text(&object["metadata"], "name"));
    if !faults.is_empty() {
        let faults = faults.join(" ");
        told.push(format!(
            "metadata.name: {what}, which can result in surprising behavior; a DNS label is recommended: [{faults}]"
        ));
    }
}

/// Whether something else is asked for than before.
fn is_new(new: &Value, old: Option<&Value>) -> bool {
    old.is_none_or(|old| old["metadata"]["generation"] != new["metadata"]["generation"])
}

fn at<'v>(object: &'v Value, path: &[&str]) -> &'v Value {
    path.iter().fold(object, |object, field| &object[*field])
}

/// Runs with the path of these fields.
fn with_path(path: Option<&Path<'_>>, fields: &[&str], run: &mut dyn FnMut(&Path<'_>)) {
    match fields {
        [] => run(path.unwrap_or(&Path::ROOT)),
        [first, rest @ ..] => with_path(Some(&path.unwrap_or(&Path::ROOT).field(first)), rest, run),
    }
}

fn template(told: &mut Vec<String>, new: &Value, old: Option<&Value>, path: &[&str]) {
    if is_new(new, old) {
        let template = at(new, path);
        with_path(None, path, &mut |path| told.extend(pods::warnings(template, Some(path))));
    }
}

fn stateful_set(told: &mut Vec<String>, new: &Value, old: Option<&Value>) {
    template(told, new, old, &["spec", "template"]);
    let path = Path::ROOT.field("spec");
    let claims = path.field("volumeClaimTemplates");
    for (index, claim) in list(&new["spec"], "volumeClaimTemplates").iter().enumerate() {
        let at = claims.index(index);
        match old {
            None => pods::claim(told, &claim["spec"], &at),
            Some(_) => pods::claim(told, &claim["spec"], &at.field("Spec")),
        }
    }
    if new["spec"]["revisionHistoryLimit"].as_i64().is_some_and(|limit| limit < 0) {
        let why = "a negative value retains all historical revisions; a value >= 0 is recommended";
        told.push(format!("spec.revisionHistoryLimit: {why}"));
    }
}

fn job(told: &mut Vec<String>, new: &Value, old: Option<&Value>, path: &[&str]) {
    if old.is_none() {
        host_name(told, new, "this is used in Pod names and hostnames");
    }
    let spec = at(new, path);
    let number = |field: &str| spec[field].as_i64().unwrap_or(0);
    let large = number("completions") > 100_000 && number("parallelism") > 10_000;
    if is_new(new, old) && spec["completionMode"] == "Indexed" && large {
        told.push(format!(
            "{}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes \
             might not be able to track completedIndexes when a big number of indexes fail",
            path.join(".")
        ));
    }
    template(told, new, old, &[path, &["template"]].concat());
}

fn node(told: &mut Vec<String>, node: &Value) {
    let spec = &node["spec"];
    if has(spec, "configSource") {
        told.push("spec.configSource: the feature is removed".to_owned());
    }
    if !text(spec, "externalID").is_empty() {
        told.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    let path = Path::ROOT.field("spec");
    let at = path.field("podCIDRs");
    for (index, block) in texts(spec, "podCIDRs") {
        address::warn_cidr(told, &at.index(index), block);
    }
}

fn volume(told: &mut Vec<String>, volume: &Value) {
    for (key, why) in [
        (
            "volume.beta.kubernetes.io/storage-class",
            "deprecated since v1.8; use \"storageClassName\" attribute instead",
        ),
        (
            "volume.beta.kubernetes.io/mount-options",
            "deprecated since v1.31; use \"mountOptions\" attribute instead",
        ),
    ] {
        if volume["metadata"]["annotations"].get(key).is_some() {
            told.push(format!("metadata.annotations[{key}]: {why}"));
        }
    }
    let spec = &volume["spec"];
    if spec["persistentVolumeReclaimPolicy"] == "Recycle" {
        told.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended \
             approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    let terms = list(&spec["nodeAffinity"]["required"], "nodeSelectorTerms");
    with_path(None, &["spec", "nodeAffinity", "required", "nodeSelectorTerms"], &mut |path| {
        for (index, term) in terms.iter().enumerate() {
            pods::node_term(told, term, &path.index(index), false);
        }
    });
    for (field, shown, why) in [
        ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ] {
        if has(spec, field) {
            told.push(format!("spec.{shown}: {why}"));
        }
    }
}

fn claim(told: &mut Vec<String>, claim: &Value) {
    let key = "volume.beta.kubernetes.io/storage-class";
    if claim["metadata"]["annotations"].get(key).is_some() {
        let why = "deprecated since v1.8; use \"storageClassName\" attribute instead";
        told.push(format!("metadata.annotations[{key}]: {why}"));
    }
    pods::claim(told, &claim["spec"], &Path::ROOT.field("spec"));
}

fn service(told: &mut Vec<String>, service: &Value) {
    let spec = &service["spec"];
    let hints = "service.kubernetes.io/topology-aware-hints";
    if service["metadata"]["annotations"].get(hints).is_some() {
        let mode = "service.kubernetes.io/topology-mode";
        told.push(format!("annotation {hints} is deprecated, please use {mode} instead"));
    }
    let path = Path::ROOT.field("spec");
    let kind = text(spec, "type");
    let headless = kind == "ClusterIP" && spec["clusterIP"] == "None";
    if !headless && !text(spec, "clusterIP").is_empty() {
        let at = path.field("clusterIPs");
        texts(spec, "clusterIPs").for_each(|(index, one)| address::warn_ip(told, &at.index(index), one));
    }
    let external = !list(spec, "externalIPs").is_empty();
    if headless {
        let ignored = [
            (!text(spec, "loadBalancerIP").is_empty(), "spec.loadBalancerIP"),
            (external, "spec.externalIPs"),
            (text(spec, "sessionAffinity") != "None", "spec.SessionAffinity"),
        ];
        let ignored = ignored.into_iter().filter(|(there, _)| *there);
        told.extend(ignored.map(|(_, field)| format!("{field} is ignored for headless services")));
    }
    let at = path.field("externalIPs");
    texts(spec, "externalIPs").for_each(|(index, one)| address::warn_ip(told, &at.index(index), one));
    if external && !headless && kind != "ExternalName" {
        told.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
        );
    }
    address::warn_ip(told, &path.field("loadBalancerIP"), text(spec, "loadBalancerIP"));
    let at = path.field("loadBalancerSourceRanges");
    texts(spec, "loadBalancerSourceRanges")
        .for_each(|(index, one)| address::warn_cidr(told, &at.index(index), one));
    if kind == "ExternalName" && external {
        told.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !text(spec, "externalName").is_empty() {
        told.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec["trafficDistribution"] == "PreferClose" {
        told.push(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned(),
        );
    }
}

/// What makes them of its own accord makes them well.
fn is_made_by(object: &Value, label: &str, makers: &[&str]) -> bool {
    makers.iter().any(|maker| object["metadata"]["labels"][label] == **maker)
}

fn endpoints(told: &mut Vec<String>, endpoints: &Value) {
    if is_made_by(endpoints, "endpoints.kubernetes.io/managed-by", &["endpoint-controller"]) {
        return;
    }
    let path = Path::ROOT.field("subsets");
    for (index, subset) in list(endpoints, "subsets").iter().enumerate() {
        for field in ["addresses", "notReadyAddresses"] {
            let at = path.index(index);
            let at = at.field(field);
            for (index, one) in list(subset, field).iter().enumerate() {
                let at = at.index(index);
                address::warn_ip(told, &at.field("ip"), text(one, "ip"));
            }
        }
    }
}

fn slice(told: &mut Vec<String>, slice: &Value, old: Option<&Value>) {
    if old.is_none() && slice["addressType"] == "FQDN" {
        told.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let makers = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    if is_made_by(slice, "endpointslice.kubernetes.io/managed-by", &makers) {
        return;
    }
    let path = Path::ROOT.field("endpoints");
    for (index, endpoint) in list(slice, "endpoints").iter().enumerate() {
        let at = path.index(index);
        let at = at.field("addresses");
        texts(endpoint, "addresses").for_each(|(index, one)| address::warn_ip(told, &at.index(index), one));
    }
}

fn driver(told: &mut Vec<String>, driver: &Value, old: Option<&Value>) {
    let requests = |driver: &Value| list(&driver["spec"], "tokenRequests").to_vec();
    let asks = !requests(driver).is_empty() && old.is_none_or(|old| requests(old) != requests(driver));
    if asks && !has(&driver["spec"], "serviceAccountTokenInSecrets") {
        told.push(
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible \
             logging of tokens in volume attributes"
                .to_owned(),
        );
    }
}

fn policy(told: &mut Vec<String>, policy: &Value) {
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        let path = Path::ROOT.field("spec");
        let rules_at = path.field(rules);
        for (index, rule) in list(&policy["spec"], rules).iter().enumerate() {
            let at = rules_at.index(index);
            let at = at.field(peers);
            for (index, peer) in list(rule, peers).iter().enumerate().filter(|(_, peer)| has(peer, "ipBlock"))
            {
                let (at, block) = (at.index(index), &peer["ipBlock"]);
                let at = at.field("ipBlock");
                address::warn_cidr(told, &at.field("cidr"), text(block, "cidr"));
                let at = at.field("except");
                texts(block, "except")
                    .for_each(|(index, one)| address::warn_cidr(told, &at.index(index), one));
            }
        }
    }
}

fn storage_class(told: &mut Vec<String>, class: &Value) {
    let path = Path::ROOT.field("allowedTopologies");
    for (index, topology) in list(class, "allowedTopologies").iter().enumerate() {
        let at = path.index(index);
        let at = at.field("matchLabelExpressions");
        for (index, expression) in list(topology, "matchLabelExpressions").iter().enumerate() {
            if let Some(why) = pods::old_label(text(expression, "key")) {
                let at = at.index(index);
                told.push(format!("{}: {why}", at.field("key")));
            }
        }
    }
}

/// Addresses that a status tells.
fn status(told: &mut Vec<String>, group: &str, kind: &str, object: &Value) {
    let path = Path::ROOT.field("status");
    match (group, kind) {
        ("", "Pod") => {
            for field in ["podIPs", "hostIPs"] {
                let at = path.field(field);
                for (index, one) in list(&object["status"], field).iter().enumerate() {
                    let at = at.index(index);
                    address::warn_ip(told, &at.field("ip"), text(one, "ip"));
                }
            }
        }
        ("", "Service") | ("networking.k8s.io", "Ingress") => {
            let at = path.field("loadBalancer");
            let at = at.field("ingress");
            for (index, one) in list(&object["status"]["loadBalancer"], "ingress").iter().enumerate() {
                address::warn_ip(told, &at.index(index), text(one, "ip"));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(group: &str, kind: &str, new: Value) -> Vec<String> {
        of(group, kind, Part::Whole, &new, None)
    }

    #[test]
    fn a_name_that_is_no_label_makes_bad_host_names() {
        let object = json!({"metadata": {"name": "a.b"}, "spec": {}});
        let why =
            "which can result in surprising behavior; a DNS label is recommended: [must not contain dots]";
        assert_eq!(
            told("", "Pod", object.clone()),
            [format!("metadata.name: this is used in the Pod's hostname, {why}")]
        );
        assert_eq!(
            told("batch", "Job", object),
            [format!("metadata.name: this is used in Pod names and hostnames, {why}")]
        );
    }

    #[test]
    fn a_template_is_looked_at_where_it_is_new() {
        let set = |generation: i64| {
            json!({"metadata": {"name": "a", "generation": generation},
                "spec": {"template": {"spec": {"terminationGracePeriodSeconds": -1}}}})
        };
        let warnings = |new: i64, old: i64| of("apps", "Deployment", Part::Whole, &set(new), Some(&set(old)));
        assert!(warnings(2, 1)[0].starts_with("spec.template.spec.terminationGracePeriodSeconds:"));
        assert_eq!(warnings(1, 1), Vec::<String>::new());
        assert_eq!(of("", "Pod", Part::Whole, &json!({}), Some(&json!({}))), Vec::<String>::new());
        let cron = json!({"metadata": {"name": "a"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {"volumes": [{"name": "v", "rbd": {}}]}}}}}});
        assert!(
            told("batch", "CronJob", cron)[0]
                .starts_with("spec.jobTemplate.spec.template.spec.volumes[0].rbd:")
        );
    }

    #[test]
    fn what_is_ignored_is_told() {
        let service = |spec: Value| told("", "Service", json!({ "spec": spec }));
        assert_eq!(
            service(
                json!({"type": "ClusterIP", "clusterIP": "None", "sessionAffinity": "None", "loadBalancerIP": "1.2.3.4"})
            ),
            ["spec.loadBalancerIP is ignored for headless services"]
        );
        assert_eq!(
            service(
                json!({"type": "ClusterIP", "externalIPs": ["1.2.3.4"], "trafficDistribution": "PreferClose"})
            ),
            [
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
                "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
            ]
        );
        let policy = json!({"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "2001:DB8::/32"}}]}]}});
        let why =
            "IPv6 CIDR value \"2001:DB8::/32\" should be in RFC 5952 canonical format (\"2001:db8::/32\")";
        assert_eq!(
            told("networking.k8s.io", "NetworkPolicy", policy),
            [format!("spec.egress[0].to[0].ipBlock.cidr: {why}")]
        );
    }

    #[test]
    fn old_names_are_told() {
        let volume = json!({"spec": {"persistentVolumeReclaimPolicy": "Recycle", "glusterfs": {}}});
        assert_eq!(told("", "PersistentVolume", volume).len(), 2);
        let class = json!({"allowedTopologies": [{"matchLabelExpressions": [{"key": "failure-domain.beta.kubernetes.io/zone"}]}]});
        assert!(
            told("storage.k8s.io", "StorageClass", class)[0]
                .starts_with("allowedTopologies[0].matchLabelExpressions[0].key:")
        );
        let ingress = json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}});
        assert_eq!(told("networking.k8s.io", "Ingress", ingress).len(), 1);
    }
}
