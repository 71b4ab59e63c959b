//! Services and what stands around them: endpoints, ingresses, network policies, addresses.

use serde_json::Value;

use super::text::{Printed, first_three, int, labels, list, scalar_or, selector, text, text_or};

pub(super) fn cells(kind: &str, o: &Printed<'_>) -> Option<Vec<Value>> {
    let spec = &o.object["spec"];
    Some(match kind {
        "Service" => vec![
            o.name(),
            text(&spec["type"]).into(),
            text_or(&spec["clusterIPs"][0], "<none>").into(),
            external(o.object).into(),
            ports(spec).into(),
            o.age(),
            labels(&spec["selector"]).into(),
        ],
        "Endpoints" => vec![o.name(), endpoints(o.object).into(), o.age()],
        "EndpointSlice" => {
            let ports = list(&o.object["ports"]).iter().map(|port| match &port["port"] {
                Value::Null => text_or(&port["name"], "*"),
                number => number.to_string(),
            });
            let addresses = list(&o.object["endpoints"]).iter().flat_map(|e| list(&e["addresses"])).map(text);
            let cut = |items: Vec<String>| match first_three(&items) {
                none if none.is_empty() => "<unset>".to_owned(),
                some => some,
            };
            let (ports, addresses) = (cut(ports.collect()), cut(addresses.collect()));
            vec![o.name(), text(&o.object["addressType"]).into(), ports.into(), addresses.into(), o.age()]
        }
        "Ingress" => {
            let tls = if list(&spec["tls"]).is_empty() { "80" } else { "80, 443" };
            let class = text_or(&spec["ingressClassName"], "<none>");
            let address = balancers(&o.object["status"]["loadBalancer"]);
            vec![o.name(), class.into(), hosts(spec).into(), address.into(), tls.into(), o.age()]
        }
        "IngressClass" => {
            let default = o.default_by(&["ingressclass.kubernetes.io/is-default-class"]);
            let name = text(&o.name()) + if default { " (default)" } else { "" };
            let parameters = &spec["parameters"];
            let parameters = match (parameters.is_null(), parameters["apiGroup"].as_str()) {
                (true, _) => "<none>".to_owned(),
                (false, None) => format!("{}/{}", text(&parameters["kind"]), text(&parameters["name"])),
                (false, Some(group)) => {
                    format!("{}.{group}/{}", text(&parameters["kind"]), text(&parameters["name"]))
                }
            };
            vec![name.into(), text(&spec["controller"]).into(), parameters.into(), o.age()]
        }
        "NetworkPolicy" => vec![o.name(), selector(&spec["podSelector"]).into(), o.age()],
        "ServiceCIDR" => {
            let ranges: Vec<String> = list(&spec["cidrs"]).iter().map(text).collect();
            vec![o.name(), ranges.join(",").into(), o.age()]
        }
        // One cell more than there are columns, as other servers have it.
        "IPAddress" => vec![o.name(), parent(&spec["parentRef"]).into(), o.age()],
        _ => return None,
    })
}

fn external(service: &Value) -> String {
    let spec = &service["spec"];
    let given: Vec<String> = list(&spec["externalIPs"]).iter().map(text).collect();
    match spec["type"].as_str().unwrap_or_default() {
        "ClusterIP" | "NodePort" if given.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => given.join(","),
        "LoadBalancer" => {
            let balancers = balancers(&service["status"]["loadBalancer"]);
            let all: Vec<String> =
                Some(balancers).filter(|b| !b.is_empty()).into_iter().chain(given).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => text(&spec["externalName"]),
        _ => "<unknown>".to_owned(),
    }
}

/// The addresses of load balancers. They are not cut: the columns of wide output are always sent.
fn balancers(status: &Value) -> String {
    let mut found: Vec<String> = list(&status["ingress"])
        .iter()
        .map(|ingress| text_or(&ingress["ip"], ingress["hostname"].as_str().unwrap_or_default()))
        .filter(|address| !address.is_empty())
        .collect();
    found.sort();
    found.dedup();
    found.join(",")
}

fn ports(spec: &Value) -> String {
    let ports = list(&spec["ports"]).iter().map(|port| {
        let (number, node, protocol) = (int(&port["port"]), int(&port["nodePort"]), text(&port["protocol"]));
        if node > 0 { format!("{number}:{node}/{protocol}") } else { format!("{number}/{protocol}") }
    });
    let ports: Vec<String> = ports.collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}

fn endpoints(object: &Value) -> String {
    let mut found = Vec::new();
    for subset in list(&object["subsets"]) {
        let addresses = || list(&subset["addresses"]).iter().map(|address| text(&address["ip"]));
        let ports = list(&subset["ports"]);
        if ports.is_empty() {
            found.extend(addresses());
        }
        for port in ports {
            let port = int(&port["port"]);
            let join =
                |ip: String| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
            found.extend(addresses().map(join));
        }
    }
    if list(&object["subsets"]).is_empty() { "<none>".to_owned() } else { first_three(&found) }
}

fn hosts(spec: &Value) -> String {
    let rules = list(&spec["rules"]);
    let mut hosts: Vec<String> = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= hosts.len() == 3;
        let host = text(&rule["host"]);
        if !more && !host.is_empty() {
            hosts.push(host);
        }
    }
    match (hosts.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, false) => hosts.join(","),
        (false, true) => format!("{} + {} more...", hosts.join(","), rules.len() - 3),
    }
}

fn parent(parent: &Value) -> String {
    if parent.is_null() {
        return "<none>".to_owned();
    }
    let mut found = text(&parent["resource"]);
    for (before, part) in [(".", "group"), ("/", "namespace"), ("/", "name")] {
        let part = scalar_or(&parent[part], "");
        if !part.is_empty() {
            found = format!("{found}{before}{part}");
        }
    }
    found
}
