//! Services. Addresses and node ports are given by the server before a Service comes here.

mod addresses;
mod traffic;

use serde_json::{Value, json};

use super::endpoints::PROTOCOLS;
use crate::address::{ip, special_ip};
use crate::check::{entries, has, invalid_names, labels, list, one_of, required_one_of, text, texts, within};
use crate::{FieldError, Path, fill, names};

pub use addresses::check as check_addresses;

/// The most seconds that a client stays with its backend, and how many it does when nothing is said.
const MOST_AFFINITY: i64 = 86_400;
const AFFINITY: i64 = 10_800;

pub(crate) fn defaults(service: &mut Value) {
    for spec in fill::part(service, "spec") {
        fill::text(spec, "sessionAffinity", "None");
        match text(spec, "sessionAffinity") {
            "None" => fill::remove(spec, &["sessionAffinityConfig"]),
            "ClientIP" if spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].is_null() => {
                spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": AFFINITY}});
            }
            _ => {}
        }
        fill::text(spec, "type", "ClusterIP");
        for port in fill::each(spec, "ports") {
            fill::text(port, "protocol", "TCP");
            if matches!(&port["targetPort"], Value::Null)
                || port["targetPort"] == 0
                || port["targetPort"] == ""
            {
                let number = port["port"].as_i64().unwrap_or(0);
                if let Some(port) = port.as_object_mut() {
                    port.insert("targetPort".to_owned(), number.into());
                }
            }
        }
        if traffic::is_external(spec) {
            fill::text(spec, "externalTrafficPolicy", "Cluster");
        }
        let of = text(spec, "type").to_owned();
        if of != "ExternalName" && ["ClusterIP", "NodePort", "LoadBalancer"].contains(&of.as_str()) {
            fill::missing(spec, "internalTrafficPolicy", "Cluster");
        }
        if of == "LoadBalancer" {
            fill::missing(spec, "allocateLoadBalancerNodePorts", true);
        }
    }
    if service["spec"]["type"] != "LoadBalancer" {
        return;
    }
    for balancer in fill::part(service, "status").flat_map(|status| fill::part(status, "loadBalancer")) {
        for ingress in fill::each(balancer, "ingress").filter(|ingress| !text(ingress, "ip").is_empty()) {
            fill::missing(ingress, "ipMode", "VIP");
        }
    }
}

/// A Service that becomes one of another type loses what that type does not have, unless its writer changed it as well.
pub(crate) fn prepare(service: &mut Value, old: Option<&Value>) {
    let Some(old) = old else { return };
    let is = |service: &Value, of: &str| service["spec"]["type"] == of;
    let same = |new: &Value, field: &str| new["spec"][field] == old["spec"][field];
    let new_type = text(&service["spec"], "type").to_owned();
    if !is(old, "ExternalName") && is(service, "ExternalName") {
        if same(service, "clusterIP") && same(service, "clusterIPs") {
            fill::remove(&mut service["spec"], &["clusterIP", "clusterIPs"]);
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if same(service, field) {
                fill::remove(&mut service["spec"], &[field]);
            }
        }
    }
    let has_node_ports = |of: &str| ["NodePort", "LoadBalancer"].contains(&of);
    if has_node_ports(text(&old["spec"], "type")) && !has_node_ports(&new_type) {
        let before = node_ports(old);
        if node_ports(service).iter().all(|port| before.contains(port)) {
            fill::each(&mut service["spec"], "ports").for_each(|port| fill::remove(port, &["nodePort"]));
        }
    }
    let drop = |service: &mut Value, applies: fn(&Value) -> bool, field: &str| {
        if applies(&old["spec"]) && !applies(&service["spec"]) && same(service, field) {
            fill::remove(&mut service["spec"], &[field]);
        }
    };
    drop(service, traffic::is_checked, "healthCheckNodePort");
    drop(service, traffic::is_balanced, "allocateLoadBalancerNodePorts");
    drop(service, traffic::is_balanced, "loadBalancerClass");
    drop(service, traffic::is_external, "externalTrafficPolicy");
    if new_type != "LoadBalancer" {
        for status in fill::part(service, "status") {
            status["loadBalancer"] = json!({});
        }
    }
}

fn node_ports(service: &Value) -> Vec<i64> {
    let ports = list(&service["spec"], "ports").iter().filter_map(|port| port["nodePort"].as_i64());
    ports.filter(|port| *port != 0).collect()
}

pub(crate) fn create(service: &Value) -> Vec<FieldError> {
    check(service, None)
}

pub(crate) fn update(service: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = addresses::changed(service, old);
    traffic::changed(&mut errors, &service["spec"], &old["spec"]);
    errors.extend(check(service, Some(old)));
    errors
}

fn check(service: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &service["spec"]);
    let headless = addresses::is_headless(spec);
    let of = text(spec, "type");
    topology(&mut errors, service);
    if list(spec, "ports").is_empty() && !headless && of != "ExternalName" {
        errors.push(FieldError::required(&path.field("ports"), ""));
    }
    match of {
        "LoadBalancer" | "NodePort" if headless => {
            let why = format!("may not be set to 'None' for {of} services");
            errors.push(FieldError::invalid(&path.field("clusterIPs").index(0), "None", &why));
        }
        "ExternalName" => external_name(&mut errors, spec, &path),
        _ => {}
    }
    ports(&mut errors, spec, &path);
    labels(&mut errors, &spec["selector"], &path.field("selector"));
    required_one_of(&mut errors, spec, &path, "sessionAffinity", &["ClientIP", "None"]);
    affinity(&mut errors, spec, &path);
    errors.extend(addresses::check(service, old));
    let before: Vec<&str> =
        old.into_iter().flat_map(|old| texts(&old["spec"], "externalIPs")).map(|(_, text)| text).collect();
    for (index, address) in texts(spec, "externalIPs") {
        let at = path.field("externalIPs");
        let count = errors.len();
        if !before.contains(&address) {
            ip(&mut errors, &at.index(index), address);
        }
        if errors.len() == count {
            special_ip(&mut errors, &at.index(index), address);
        }
    }
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    required_one_of(&mut errors, spec, &path, "type", &types);
    taken_ports(&mut errors, spec, &path);
    traffic::check(&mut errors, service, old);
    errors
}

fn topology(errors: &mut Vec<FieldError>, service: &Value) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    const MODE: &str = "service.kubernetes.io/topology-mode";
    let annotations = &service["metadata"]["annotations"];
    if let (Some(mode), Some(hints)) = (annotations.get(MODE), annotations.get(HINTS))
        && mode != hints
    {
        let meta = Path::ROOT.field("metadata");
        let why = format!("must match annotations[{HINTS}] when both are specified");
        errors.push(FieldError::invalid(&meta.field("annotations").key(MODE), mode.clone(), &why));
    }
}

/// A Service that is another name for something has no addresses.
fn external_name(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let why = "may not be set for ExternalName services";
    for field in ["clusterIPs", "ipFamilies"] {
        if !list(spec, field).is_empty() {
            errors.push(FieldError::forbidden(&path.field(field), why));
        }
    }
    if has(spec, "ipFamilyPolicy") {
        errors.push(FieldError::forbidden(&path.field("ipFamilyPolicy"), why));
    }
    let name = text(spec, "externalName");
    match name.strip_suffix('.').unwrap_or(name) {
        "" => errors.push(FieldError::required(&path.field("externalName"), "")),
        name => invalid_names(errors, &path.field("externalName"), name, names::dns_subdomain),
    }
}

fn ports(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let at = path.field("ports");
    let ports = list(spec, "ports");
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let at = at.index(index);
        match text(port, "name") {
            "" if ports.len() > 1 => errors.push(FieldError::required(&at.field("name"), "")),
            "" => {}
            name => {
                invalid_names(errors, &at.field("name"), name, names::dns_label);
                if seen.contains(&name) {
                    errors.push(FieldError::duplicate(&at.field("name"), name));
                }
                seen.push(name);
            }
        }
        within(errors, &at.field("port"), port["port"].as_i64().unwrap_or(0), 1, 65535);
        required_one_of(errors, port, &at, "protocol", &PROTOCOLS);
        match &port["targetPort"] {
            Value::String(name) => invalid_names(errors, &at.field("targetPort"), name, names::port_name),
            number => within(errors, &at.field("targetPort"), number.as_i64().unwrap_or(0), 1, 65535),
        }
        if has(port, "appProtocol") {
            let protocol = text(port, "appProtocol");
            invalid_names(errors, &at.field("appProtocol"), protocol, names::qualified_name);
        }
    }
}

/// What a port takes of the cluster or of its nodes it takes once.
fn taken_ports(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let at = path.field("ports");
    let ports = list(spec, "ports");
    let node_port = |port: &Value| port["nodePort"].as_i64().filter(|number| *number != 0);
    if spec["type"] == "ClusterIP" {
        for (index, _) in ports.iter().enumerate().filter(|(_, port)| node_port(port).is_some()) {
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&at.index(index).field("nodePort"), why));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let same =
            |other: &&Value| other["protocol"] == port["protocol"] && other["nodePort"] == port["nodePort"];
        if let Some(number) = node_port(port)
            && ports[..index].iter().any(|other| same(&other))
        {
            errors.push(FieldError::duplicate(&at.index(index).field("nodePort"), number));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let same = |other: &Value| other["protocol"] == port["protocol"] && other["port"] == port["port"];
        if ports[..index].iter().any(same) {
            errors.push(same_port(&at.index(index), port));
        }
    }
}

/// The port is shown as upstream's program has it: what is compared, and nothing else of it.
fn same_port(path: &Path, port: &Value) -> FieldError {
    let mut error = FieldError::duplicate(path, Value::Null);
    error.message = format!(
        "Duplicate value: {{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
        port["protocol"], port["port"]
    );
    error
}

fn affinity(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let at = path.field("sessionAffinityConfig");
    let config = &spec["sessionAffinityConfig"];
    match text(spec, "sessionAffinity") {
        "ClientIP" => {
            let client = at.field("clientIP");
            let seconds = client.field("timeoutSeconds");
            let why = "when session affinity type is ClientIP";
            if config.is_null() {
                errors.push(FieldError::required(&at, why));
            } else if config["clientIP"].is_null() {
                errors.push(FieldError::required(&client, why));
            } else {
                match config["clientIP"]["timeoutSeconds"].as_i64() {
                    None => errors.push(FieldError::required(&seconds, why)),
                    Some(number) if !(1..=MOST_AFFINITY).contains(&number) => {
                        let why = format!("must be greater than 0 and less than {MOST_AFFINITY}");
                        errors.push(FieldError::invalid(&seconds, number, &why));
                    }
                    Some(_) => {}
                }
            }
        }
        "None" if !config.is_null() => {
            errors.push(FieldError::forbidden(&at, "must not be set when session affinity is None"));
        }
        _ => {}
    }
}

pub(crate) fn status(service: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("status");
    let balancer = path.field("loadBalancer");
    let at = balancer.field("ingress");
    let ingresses = list(&service["status"]["loadBalancer"], "ingress");
    if service["spec"]["type"] != "LoadBalancer" && !ingresses.is_empty() {
        let why = "may only be used when `spec.type` is 'LoadBalancer'";
        return vec![FieldError::forbidden(&at, why)];
    }
    let before = list(&old["status"]["loadBalancer"], "ingress");
    for (index, ingress) in ingresses.iter().enumerate() {
        let at = at.index(index);
        let address = text(ingress, "ip");
        if !address.is_empty() && !before.iter().any(|old| text(old, "ip") == address) {
            ip(&mut errors, &at.field("ip"), address);
        }
        let mode = at.field("ipMode");
        match (has(ingress, "ipMode"), address.is_empty()) {
            (false, false) => {
                errors.push(FieldError::required(&mode, "must be specified when `ip` is set"));
            }
            (true, true) => {
                errors.push(FieldError::forbidden(&mode, "may not be specified when `ip` is not set"));
            }
            _ => one_of(&mut errors, ingress, &at, "ipMode", &["Proxy", "VIP"]),
        }
        let name = text(ingress, "hostname");
        if !name.is_empty() {
            invalid_names(&mut errors, &at.field("hostname"), name, names::dns_subdomain);
            if crate::address::Family::of(name).is_some() {
                let why = "must be a DNS name, not an IP address";
                errors.push(FieldError::invalid(&at.field("hostname"), name, why));
            }
        }
    }
    errors
}

/// Whether an annotation has a value.
fn annotation<'v>(service: &'v Value, name: &str) -> Option<&'v str> {
    entries(&service["metadata"], "annotations").find(|(key, _)| *key == name)?.1.as_str()
}

#[cfg(test)]
mod tests;
