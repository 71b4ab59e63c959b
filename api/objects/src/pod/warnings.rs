//! What the maker of a pod, or of a template of pods, is warned of: it is taken, and means something else than it says.

use serde_json::Value;

use super::overlaps;
use crate::check::{entries, has, list, text, texts};
use crate::core::quantity;
use crate::{Path, address, names};

/// Labels of nodes that have other names since long.
const OLD_LABELS: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];
const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];
const OLD_VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const NULL_SELECTOR: &str = "a null labelSelector results in matching no pod";

/// The warnings for a pod or a template. `at` is where a template stands; none says that it is a pod.
pub(crate) fn warnings(object: &Value, at: Option<&Path<'_>>) -> Vec<String> {
    let mut told = Vec::new();
    let (meta, spec) = (&object["metadata"], &object["spec"]);
    let root = at.unwrap_or(&Path::ROOT);
    let (meta_at, path) = (root.field("metadata"), root.field("spec"));
    let annotations = meta_at.field("annotations");
    nodes(&mut told, spec, &path);
    for (key, why) in OLD_ANNOTATIONS {
        if meta["annotations"].get(key).is_some() {
            told.push(format!("{}: {why}", annotations.key(key)));
        }
    }
    volumes(&mut told, spec, &path);
    told.extend(overlaps::of(spec));
    repeated(&mut told, spec, &path);
    let overhead = path.field("overhead");
    fractions(&mut told, &spec["overhead"], &overhead);
    if !has(&spec["securityContext"], "seccompProfile") && meta["annotations"].get(SECCOMP).is_some() {
        told.push(format!("{}: {}", annotations.key(SECCOMP), unused_seccomp()));
    }
    super::each_container(spec, &path, |container, path| {
        let key = format!("{CONTAINER_SECCOMP}{}", text(container, "name"));
        let profile = has(&container["securityContext"], "seccompProfile");
        if !profile && meta["annotations"].get(&key).is_some() {
            told.push(format!("{}: {}", annotations.key(&key), unused_seccomp()));
        }
        apparmor(&mut told, container, object, &annotations, at.is_some());
        let resources = path.field("resources");
        for field in ["limits", "requests"] {
            fractions(&mut told, &container["resources"][field], &resources.field(field));
        }
        environment(&mut told, container, path);
    });
    ports(&mut told, spec, &path);
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        let at = path.field("terminationGracePeriodSeconds");
        told.push(format!("{at}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    affinity(&mut told, spec, &path);
    let dns = path.field("dnsConfig");
    let servers = dns.field("nameservers");
    for (index, server) in texts(&spec["dnsConfig"], "nameservers") {
        address::warn_ip(&mut told, &servers.index(index), server);
    }
    let aliases = path.field("hostAliases");
    for (index, alias) in list(spec, "hostAliases").iter().enumerate() {
        let alias_at = aliases.index(index);
        address::warn_ip(&mut told, &alias_at.field("ip"), text(alias, "ip"));
    }
    told
}

fn unused_seccomp() -> &'static str {
    "non-functional in v1.27+; use the \"seccompProfile\" field instead"
}

/// What a label of nodes is called by now.
pub(crate) fn old_label(key: &str) -> Option<&'static str> {
    OLD_LABELS.iter().find(|(old, _)| *old == key).map(|(_, why)| *why)
}

/// Warns of what a term that selects nodes names.
pub(crate) fn node_term(told: &mut Vec<String>, term: &Value, path: &Path<'_>, values: bool) {
    let at = path.field("matchExpressions");
    for (index, expression) in list(term, "matchExpressions").iter().enumerate() {
        let (at, key) = (at.index(index), text(expression, "key"));
        if let Some(why) = old_label(key) {
            told.push(format!("{}: {key} is {why}", at.field("key")));
        }
        let values_at = at.field("values");
        for (index, value) in texts(expression, "values").filter(|_| values) {
            for why in names::label_value(value) {
                told.push(format!("{}: {value} is invalid, {why}", values_at.index(index)));
            }
        }
    }
}

fn nodes(told: &mut Vec<String>, spec: &Value, path: &Path<'_>) {
    let selector = path.field("nodeSelector");
    for (key, _) in entries(spec, "nodeSelector") {
        if let Some(why) = old_label(key) {
            told.push(format!("{}: {why}", selector.key(key)));
        }
    }
    let at = path.field("affinity");
    let (at, affinity) = (at.field("nodeAffinity"), &spec["affinity"]["nodeAffinity"]);
    let required = at.field("requiredDuringSchedulingIgnoredDuringExecution");
    let terms = required.field("nodeSelectorTerms");
    let all = &affinity["requiredDuringSchedulingIgnoredDuringExecution"];
    for (index, term) in list(all, "nodeSelectorTerms").iter().enumerate() {
        node_term(told, term, &terms.index(index), false);
    }
    let field = "preferredDuringSchedulingIgnoredDuringExecution";
    let preferred = at.field(field);
    for (index, term) in list(affinity, field).iter().enumerate() {
        let at = preferred.index(index);
        node_term(told, &term["preference"], &at.field("preference"), true);
    }
    let spread = path.field("topologySpreadConstraints");
    for (index, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let (at, key) = (spread.index(index), text(constraint, "topologyKey"));
        if let Some(why) = old_label(key) {
            told.push(format!("{}: {key} is {why}", at.field("topologyKey")));
        }
        if !has(constraint, "labelSelector") {
            told.push(format!("{}: {NULL_SELECTOR}", at.field("labelSelector")));
        }
    }
}

fn volumes(told: &mut Vec<String>, spec: &Value, path: &Path<'_>) {
    let at = path.field("volumes");
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let at = at.index(index);
        for (field, why) in OLD_VOLUMES {
            if has(volume, field) {
                // One of them is told by another name than it has.
                let shown = if field == "storageos" { "storageOS" } else { field };
                told.push(format!("{}: {why}", at.field(shown)));
            }
        }
        if has(&volume["ephemeral"], "volumeClaimTemplate") {
            let at = at.field("ephemeral");
            let at = at.field("volumeClaimTemplate");
            claim(told, &volume["ephemeral"]["volumeClaimTemplate"]["spec"], &at.field("spec"));
        }
    }
}

/// Warns of what a claim's specification asks for.
pub(crate) fn claim(told: &mut Vec<String>, spec: &Value, path: &Path<'_>) {
    let at = path.field("resources");
    for field in ["requests", "limits"] {
        fraction(told, &spec["resources"][field], &at.field(field), "storage");
    }
}

fn fraction(told: &mut Vec<String>, amounts: &Value, path: &Path<'_>, name: &str) {
    let Some(value) = amounts.get(name) else { return };
    let amount = quantity(value);
    if amount.millis() % 1000 != 0 {
        told.push(format!(
            "{}: fractional byte value {:?} is invalid, must be an integer",
            path.key(name),
            amount.to_string()
        ));
    }
}

fn fractions(told: &mut Vec<String>, amounts: &Value, path: &Path<'_>) {
    for name in ["memory", "ephemeral-storage"] {
        fraction(told, amounts, path, name);
    }
}

/// Names that are there twice where only one counts.
fn repeated(told: &mut Vec<String>, spec: &Value, path: &Path<'_>) {
    for (field, key) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let at = path.field(field);
        let mut seen = Vec::new();
        for (index, item) in list(spec, field).iter().enumerate() {
            let value = text(item, key);
            if seen.contains(&value) {
                let at = at.index(index);
                told.push(format!("{}: duplicate {key} {value:?}", at.field(key)));
            }
            seen.push(value);
        }
    }
    let at = path.field("imagePullSecrets");
    for (index, secret) in list(spec, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").is_empty() {
            let at = at.index(index);
            told.push(format!("{}: invalid empty name \"\"", at.field("name")));
        }
    }
}

/// In a template, which nobody completes as a pod is, the annotation alone means nothing soon.
fn apparmor(told: &mut Vec<String>, container: &Value, object: &Value, at: &Path<'_>, template: bool) {
    let key = format!("{}{}", super::annotations::APPARMOR, text(container, "name"));
    if !template || has(&container["securityContext"], "appArmorProfile") {
        return;
    }
    let Some(annotation) = object["metadata"]["annotations"][&key].as_str() else { return };
    let of_pod = &object["spec"]["securityContext"]["appArmorProfile"];
    if of_pod.is_null() || super::prepare::apparmor_profile(annotation).as_ref() != Some(of_pod) {
        told.push(format!(
            "{}: deprecated since v1.30; use the \"appArmorProfile\" field instead",
            at.key(&key)
        ));
    }
}

fn environment(told: &mut Vec<String>, container: &Value, path: &Path<'_>) {
    let at = path.field("env");
    let mut seen = Vec::new();
    for (index, variable) in list(container, "env").iter().enumerate() {
        let (name, value) = (text(variable, "name"), text(variable, "value"));
        let reference = format!("$({name})");
        // Whoever builds on the former value needs it.
        let builds = !has(variable, "valueFrom") && value != reference && value.contains(&reference);
        if seen.contains(&name) && !builds {
            let at = at.index(index);
            told.push(format!(
                "{at}: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
        seen.push(name);
    }
}

/// A port that somebody offers.
struct Port<'v> {
    at: String,
    /// Port and protocol.
    what: (i64, &'v str),
    host: (&'v str, i64),
    name: &'v str,
}

fn ports(told: &mut Vec<String>, spec: &Value, path: &Path<'_>) {
    let mut all: Vec<Port<'_>> = Vec::new();
    let number = |port: &Value, field: &str| port[field].as_i64().unwrap_or(0);
    super::each_container(spec, path, |container, path| {
        let at = path.field("ports");
        for (index, port) in list(container, "ports").iter().enumerate() {
            all.push(Port {
                at: at.index(index).to_string(),
                what: (number(port, "containerPort"), text(port, "protocol")),
                host: (text(port, "hostIP"), number(port, "hostPort")),
                name: text(port, "name"),
            });
        }
    });
    for (index, port) in all.iter().enumerate() {
        let (address, host) = port.host;
        if !address.is_empty() && host == 0 {
            let Port { at, what: (number, protocol), name, .. } = port;
            told.push(format!(
                "{at}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{number} Protocol:{protocol} \
                 HostIP:{address}}}"
            ));
        }
        for other in all[..index].iter().filter(|other| other.what == port.what) {
            let (other_address, other_host) = other.host;
            let how = if port.host == other.host {
                "duplicate"
            } else if host == 0 || other_host == 0 {
                "overlapping"
            } else if host == other_host && address.is_empty() != other_address.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            told.push(format!("{}: {how} port definition with {}", port.at, other.at));
        }
    }
    for (index, port) in all.iter().enumerate().filter(|(_, port)| !port.name.is_empty()) {
        if let Some(first) = all[..index].iter().find(|other| other.name == port.name) {
            let (at, name, first) = (&port.at, port.name, &first.at);
            told.push(format!(
                "{at}: duplicate port name {name:?} with {first}, services and probes that select ports by name will use \
                 {first}"
            ));
        }
    }
}

fn affinity(told: &mut Vec<String>, spec: &Value, path: &Path<'_>) {
    let at = path.field("affinity");
    for side in ["podAffinity", "podAntiAffinity"] {
        let at = at.field(side);
        let field = "requiredDuringSchedulingIgnoredDuringExecution";
        let required = at.field(field);
        for (index, term) in list(&spec["affinity"][side], field).iter().enumerate() {
            if !has(term, "labelSelector") {
                let at = required.index(index);
                told.push(format!("{}: {NULL_SELECTOR}", at.field("labelSelector")));
            }
        }
        let field = "preferredDuringSchedulingIgnoredDuringExecution";
        let preferred = at.field(field);
        for (index, term) in list(&spec["affinity"][side], field).iter().enumerate() {
            if !has(&term["podAffinityTerm"], "labelSelector") {
                let at = preferred.index(index);
                let at = at.field("podAffinityTerm");
                told.push(format!("{}: {NULL_SELECTOR}", at.field("labelSelector")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(spec: Value) -> Vec<String> {
        warnings(&json!({"metadata": {"name": "p"}, "spec": spec}), None)
    }

    #[test]
    fn a_plain_pod_is_nothing_to_warn_of() {
        assert_eq!(
            told(
                json!({"containers": [{"name": "c", "ports": [{"containerPort": 80}], "env": [{"name": "A"}]}]})
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_thing_has_its_words() {
        for (spec, warning) in [
            (
                json!({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}),
                "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            ),
            (
                json!({"topologySpreadConstraints": [{"topologyKey": "k"}]}),
                "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
            ),
            (
                json!({"containers": [{"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "A", "value": "$(A)3"}]}]}),
                "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
            ),
            (
                json!({"containers": [{"resources": {"limits": {"memory": "1500m"}}}]}),
                "spec.containers[0].resources.limits[memory]: fractional byte value \"1500m\" is invalid, must be an integer",
            ),
            (
                json!({"containers": [{"ports": [{"containerPort": 80, "protocol": "TCP"}]}, {"ports": [{"containerPort": 80, "protocol": "TCP"}]}]}),
                "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
            ),
            (
                json!({"containers": [{"ports": [{"containerPort": 80, "hostPort": 81}]}, {"ports": [{"containerPort": 80}]}]}),
                "spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[0]",
            ),
            (
                json!({"containers": [{"ports": [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]}]}),
                "spec.containers[0].ports[1]: duplicate port name \"a\" with spec.containers[0].ports[0], services and probes \
                 that select ports by name will use spec.containers[0].ports[0]",
            ),
            (
                json!({"imagePullSecrets": [{"name": "a"}, {"name": "a"}]}),
                "spec.imagePullSecrets[1].name: duplicate name \"a\"",
            ),
            (
                json!({"terminationGracePeriodSeconds": -1}),
                "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            ),
            (
                json!({"volumes": [{"name": "v", "gitRepo": {}}]}),
                "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
            ),
            (
                json!({"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {}}]}}}),
                "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a \
                 null labelSelector results in matching no pod",
            ),
            (
                json!({"hostAliases": [{"ip": "2001:DB8::1"}]}),
                "spec.hostAliases[0].ip: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")",
            ),
        ] {
            assert_eq!(told(spec), [warning]);
        }
    }

    #[test]
    fn annotations_mean_nothing_any_more() {
        let mut pod = json!({"metadata": {"annotations": {SECCOMP: "x", "container.apparmor.security.beta.kubernetes.io/c": "unconfined"}},
            "spec": {"containers": [{"name": "c"}]}});
        assert_eq!(warnings(&pod, None).len(), 1);
        let template = Path::ROOT.field("spec");
        let template = template.field("template");
        let both = warnings(&pod, Some(&template));
        assert!(both[0].starts_with(
            "spec.template.metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional"
        ));
        assert!(both[1].contains("deprecated since v1.30"));
        pod["spec"]["securityContext"] =
            json!({"seccompProfile": {}, "appArmorProfile": {"type": "Unconfined"}});
        assert_eq!(warnings(&pod, Some(&template)), Vec::<String>::new());
    }
}
