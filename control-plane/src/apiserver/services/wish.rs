//! What of the cluster a Service is to have that it has not yet, and what it has no longer: addresses and ports.

use std::net::IpAddr;

use api_objects::address::Family;
use api_objects::check::{list, text, texts};
use api_objects::{FieldError, Path};
use serde_json::{Value, json};

use super::families::{is_headless, is_left_alone};
use super::ports::{PortFault, Ports};

/// An address that a Service is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// Its place in `clusterIPs`.
    pub index: usize,
    /// Of this family.
    pub family: Family,
    /// This one, where one is asked for.
    pub address: Option<String>,
}

/// Puts back what a writer left out that the server had given, so that the same manifest can be sent again, and brings
/// `clusterIP` and `clusterIPs` together.
pub(super) fn keep(service: &mut Value, old: Option<&Value>) {
    let spec = &mut service["spec"];
    let Some(old) = old.map(|old| &old["spec"]) else {
        if !text(spec, "clusterIP").is_empty() && list(spec, "clusterIPs").is_empty() {
            spec["clusterIPs"] = json!([spec["clusterIP"]]);
        }
        return;
    };
    if needs_address(old) && needs_address(spec) {
        if text(spec, "clusterIP").is_empty() && !text(old, "clusterIP").is_empty() {
            spec["clusterIP"] = old["clusterIP"].clone();
        }
        if list(spec, "clusterIPs").is_empty() && !list(old, "clusterIPs").is_empty() {
            spec["clusterIPs"] = old["clusterIPs"].clone();
        }
    }
    if needs_node_ports(old) && needs_node_ports(spec) {
        keep_node_ports(spec, old);
    }
    if needs_health_port(spec)
        && port(spec, "healthCheckNodePort").is_none()
        && let Some(before) = health_port(old)
    {
        spec["healthCheckNodePort"] = before.into();
    }
    follow_first(spec, old);
}

/// Who knows only `clusterIP` changes `clusterIPs` by it.
fn follow_first(spec: &mut Value, old: &Value) {
    let (now, before) = (text(spec, "clusterIP"), text(old, "clusterIP"));
    let untouched = list(spec, "clusterIPs") == list(old, "clusterIPs");
    if now == before {
        if list(spec, "clusterIPs").is_empty() && !list(old, "clusterIPs").is_empty() {
            spec["clusterIPs"] = old["clusterIPs"].clone();
        }
    } else if untouched {
        match now {
            "" => drop(spec.as_object_mut().and_then(|spec| spec.remove("clusterIPs"))),
            now => spec["clusterIPs"] = json!([now]),
        }
    }
}

/// A port keeps its node port by its name, unless another one took it.
fn keep_node_ports(spec: &mut Value, old: &Value) {
    let now = node_ports(spec);
    let taken: Vec<i64> = node_ports(old).into_iter().filter(|port| now.contains(port)).collect();
    let Some(ports) = spec["ports"].as_array_mut() else { return };
    for one in ports.iter_mut().filter(|one| port(one, "nodePort").is_none()) {
        let before = list(old, "ports").iter().rev().find(|before| text(before, "name") == text(one, "name"));
        if let Some(before) = before.and_then(|before| port(before, "nodePort"))
            && !taken.contains(&before)
        {
            one["nodePort"] = before.into();
        }
    }
}

fn needs_address(spec: &Value) -> bool {
    spec["type"] != "ExternalName"
}

fn has_node_ports(spec: &Value) -> bool {
    ["NodePort", "LoadBalancer"].contains(&text(spec, "type"))
}

/// Whether each port is to have one on the nodes.
fn needs_node_ports(spec: &Value) -> bool {
    has_node_ports(spec) && (spec["type"] == "NodePort" || spec["allocateLoadBalancerNodePorts"] != false)
}

fn needs_health_port(spec: &Value) -> bool {
    spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

/// A port that is set.
fn port(of: &Value, field: &str) -> Option<i64> {
    of[field].as_i64().filter(|port| *port != 0)
}

/// The node ports of a Service's ports.
pub(super) fn node_ports(spec: &Value) -> Vec<i64> {
    list(spec, "ports").iter().filter_map(|one| port(one, "nodePort")).collect()
}

/// The port at which a balancer asks nodes whether they have backends.
pub(super) fn health_port(spec: &Value) -> Option<i64> {
    port(spec, "healthCheckNodePort").filter(|_| needs_health_port(spec))
}

/// The addresses that a Service has.
pub(super) fn addresses(spec: &Value) -> Vec<IpAddr> {
    let has = needs_address(spec) && !is_headless(spec);
    let addresses = texts(spec, "clusterIPs").filter_map(|(_, address)| address.parse().ok());
    addresses.filter(|_| has).collect()
}

/// The addresses that a Service is to have of the cluster, and those that it gives back. Its families are settled.
pub(super) fn plan_addresses(service: &Value, old: Option<&Value>) -> (Vec<Wish>, Vec<IpAddr>) {
    let spec = &service["spec"];
    let wish = |index: usize, family: &str| {
        let family = if family == "IPv6" { Family::V6 } else { Family::V4 };
        let address = list(spec, "clusterIPs").get(index).and_then(Value::as_str);
        Wish { index, family, address: address.filter(|text| !text.is_empty()).map(str::to_owned) }
    };
    let families = || texts(spec, "ipFamilies").map(|(index, family)| wish(index, family));
    let was_named = old.is_some_and(|old| !needs_address(&old["spec"]));
    let Some(old) = old.filter(|_| !(was_named && needs_address(spec))) else {
        let has = needs_address(spec) && !is_headless(spec);
        return (families().filter(|_| has).collect(), Vec::new());
    };
    if is_left_alone(service, Some(old)) || is_headless(&old["spec"]) || was_named {
        return (Vec::new(), Vec::new());
    }
    let before = addresses(&old["spec"]);
    if !needs_address(spec) {
        return (Vec::new(), before);
    }
    match (list(&old["spec"], "ipFamilies").len(), list(spec, "ipFamilies").len()) {
        (1, 2) => (families().skip(1).collect(), Vec::new()),
        (2, 1) => (Vec::new(), before.into_iter().skip(1).collect()),
        _ => (Vec::new(), Vec::new()),
    }
}

/// What became of ports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// These were taken,
    pub taken: Vec<i64>,
    /// and these are to be given back when the Service is written.
    pub obsolete: Vec<i64>,
}

/// Why a Service cannot have its ports.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// One that it asks for.
    Field(FieldError),
    /// One that it needs.
    Other(String),
}

/// Gives a Service the ports on nodes that it is to have.
pub(super) fn assign_ports(
    service: &mut Value,
    old: Option<&Value>,
    ports: &mut Ports,
    random: &mut dyn FnMut() -> u64,
) -> Result<Moved, Unfit> {
    let spec = &mut service["spec"];
    let mut moved = Moved::default();
    let old = old.map(|old| &old["spec"]);
    match old {
        None if has_node_ports(spec) => assign_new(spec, ports, &mut moved, random)?,
        None => {}
        Some(old) if has_node_ports(spec) => {
            assign_changed(spec, old, ports, &mut moved, random)?;
            let now = node_ports(spec);
            moved.obsolete = node_ports(old);
            moved.obsolete.retain(|port| !now.contains(port));
        }
        Some(old) if has_node_ports(old) => moved.obsolete = node_ports(old),
        Some(_) => {}
    }
    let checked = old.is_some_and(needs_health_port);
    match (checked, needs_health_port(spec)) {
        (false, true) => {
            let got = match port(spec, "healthCheckNodePort") {
                Some(wanted) => ports.take(wanted).map(|()| wanted).map_err(|why| {
                    Unfit::Other(format!("failed to allocate requested HealthCheck NodePort {wanted}: {why}"))
                })?,
                None => ports.take_any(random()).map_err(|why| {
                    Unfit::Other(format!("failed to allocate a HealthCheck NodePort 0: {why}"))
                })?,
            };
            moved.taken.push(got);
            spec["healthCheckNodePort"] = got.into();
        }
        (true, false) => moved.obsolete.extend(old.and_then(health_port)),
        _ => {}
    }
    moved.obsolete.sort_unstable();
    moved.obsolete.dedup();
    Ok(moved)
}

/// One number serves a port of the Service in all its protocols.
fn assign_new(
    spec: &mut Value,
    ports: &mut Ports,
    moved: &mut Moved,
    random: &mut dyn FnMut() -> u64,
) -> Result<(), Unfit> {
    let each = needs_node_ports(spec);
    let mut given: Vec<(Value, i64)> = Vec::new();
    for index in 0..list(spec, "ports").len() {
        let all = list(spec, "ports");
        let (number, wanted) = (all[index]["port"].clone(), port(&all[index], "nodePort"));
        if wanted.is_none() && !each {
            continue;
        }
        let before = given.iter().find(|(of, _)| *of == number).map(|(_, got)| *got);
        let got = match (before, wanted) {
            (Some(before), None) => before,
            (Some(before), Some(wanted)) if before == wanted => before,
            (Some(_), Some(wanted)) => take(ports, moved, index, wanted)?,
            (None, _) => {
                let same =
                    all.iter().filter(|one| one["port"] == number).find_map(|one| port(one, "nodePort"));
                let got = match same {
                    Some(wanted) => take(ports, moved, index, wanted)?,
                    None => take_any(ports, moved, random)?,
                };
                given.push((number, got));
                got
            }
        };
        spec["ports"][index]["nodePort"] = got.into();
    }
    Ok(())
}

fn assign_changed(
    spec: &mut Value,
    old: &Value,
    ports: &mut Ports,
    moved: &mut Moved,
    random: &mut dyn FnMut() -> u64,
) -> Result<(), Unfit> {
    let (each, before) = (needs_node_ports(spec), node_ports(old));
    for index in 0..list(spec, "ports").len() {
        match port(&list(spec, "ports")[index], "nodePort") {
            Some(wanted) if before.contains(&wanted) || moved.taken.contains(&wanted) => {}
            Some(wanted) => drop(take(ports, moved, index, wanted)?),
            None if each => spec["ports"][index]["nodePort"] = take_any(ports, moved, random)?.into(),
            None => {}
        }
    }
    Ok(())
}

fn take(ports: &mut Ports, moved: &mut Moved, index: usize, wanted: i64) -> Result<i64, Unfit> {
    ports.take(wanted).map_err(|why: PortFault| {
        let path = Path::ROOT.field("spec");
        let at = path.field("ports");
        let at = at.index(index);
        Unfit::Field(FieldError::invalid(&at.field("nodePort"), wanted, &why.to_string()))
    })?;
    moved.taken.push(wanted);
    Ok(wanted)
}

fn take_any(ports: &mut Ports, moved: &mut Moved, random: &mut dyn FnMut() -> u64) -> Result<i64, Unfit> {
    let any = ports.take_any(random());
    let got = any.map_err(|why| Unfit::Other(format!("failed to allocate a nodePort: {why}")))?;
    moved.taken.push(got);
    Ok(got)
}

#[cfg(test)]
mod tests;
