//! EndpointSlices.

use serde_json::Value;

use crate::address::{Family, canonical_ip, ip, special_ip};
use crate::check::{has, immutable, invalid_names, labels, list, required_one_of, text, texts};
use crate::{FieldError, Path, fill, names};

const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20_000;
const MOST_TOPOLOGY: usize = 16;
const MOST_HINTS: usize = 8;

pub(crate) fn defaults(slice: &mut Value) {
    for port in fill::each(slice, "ports") {
        fill::missing(port, "name", "");
        fill::missing(port, "protocol", "TCP");
    }
}

/// The topology of the first versions is not written any more; what is there and not changed may stay.
pub(crate) fn prepare(slice: &mut Value, old: Option<&Value>) {
    if old.is_none_or(|old| old["endpoints"] != slice["endpoints"]) {
        fill::each(slice, "endpoints").for_each(|endpoint| fill::remove(endpoint, &["deprecatedTopology"]));
    }
}

pub(crate) fn create(slice: &Value) -> Vec<FieldError> {
    let mut errors = shape(slice);
    endpoints(&mut errors, slice);
    errors
}

/// Endpoints that were there may stay.
pub(crate) fn update(slice: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = shape(slice);
    if slice["endpoints"] != old["endpoints"] {
        endpoints(&mut errors, slice);
    }
    immutable(&mut errors, slice, old, &Path::ROOT, "addressType");
    errors
}

fn shape(slice: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    required_one_of(&mut errors, slice, &Path::ROOT, "addressType", &["FQDN", "IPv4", "IPv6"]);
    let path = Path::ROOT.field("ports");
    let ports = list(slice, "ports");
    if ports.len() > MOST_PORTS {
        errors.push(FieldError::too_many(&path, ports.len(), MOST_PORTS));
        return errors;
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let at = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            invalid_names(&mut errors, &at.field("name"), name, names::dns_label);
        }
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        }
        seen.push(name);
        let protocols = ["SCTP", "TCP", "UDP"];
        match port["protocol"].as_str() {
            None => errors.push(FieldError::required(&at.field("protocol"), "")),
            Some(protocol) if !protocols.contains(&protocol) => {
                errors.push(FieldError::not_supported(&at.field("protocol"), protocol, &protocols));
            }
            Some(_) => {}
        }
        if has(port, "appProtocol") {
            let protocol = text(port, "appProtocol");
            invalid_names(&mut errors, &at.field("appProtocol"), protocol, names::qualified_name);
        }
    }
    errors
}

fn endpoints(errors: &mut Vec<FieldError>, slice: &Value) {
    let path = Path::ROOT.field("endpoints");
    let found = list(slice, "endpoints");
    if found.len() > MOST_ENDPOINTS {
        errors.push(FieldError::too_many(&path, found.len(), MOST_ENDPOINTS));
        return;
    }
    for (index, endpoint) in found.iter().enumerate() {
        let at = path.index(index);
        addresses(errors, endpoint, text(slice, "addressType"), &at.field("addresses"));
        if has(endpoint, "nodeName") {
            invalid_names(errors, &at.field("nodeName"), text(endpoint, "nodeName"), names::dns_subdomain);
        }
        let topology = &endpoint["deprecatedTopology"];
        let count = topology.as_object().map_or(0, |map| map.len());
        if count > MOST_TOPOLOGY {
            errors.push(FieldError::too_many(&at.field("deprecatedTopology"), count, MOST_TOPOLOGY));
        }
        labels(errors, topology, &at.field("deprecatedTopology"));
        if has(endpoint, "hostname") {
            invalid_names(errors, &at.field("hostname"), text(endpoint, "hostname"), names::dns_label);
        }
        if has(endpoint, "hints") {
            let at = at.field("hints");
            hints(errors, &endpoint["hints"], &at, "forZones", names::label_value);
            hints(errors, &endpoint["hints"], &at, "forNodes", names::dns_subdomain);
        }
    }
}

fn addresses(errors: &mut Vec<FieldError>, endpoint: &Value, of: &str, path: &Path) {
    let count = list(endpoint, "addresses").len();
    if count == 0 {
        errors.push(FieldError::required(path, "must contain at least 1 address"));
    } else if count > MOST_ADDRESSES {
        errors.push(FieldError::too_many(path, count, MOST_ADDRESSES));
    }
    for (index, address) in texts(endpoint, "addresses") {
        let at = path.index(index);
        let before = errors.len();
        let family = match of {
            "IPv4" => {
                ip(errors, &at, address);
                Family::V4
            }
            "IPv6" => {
                canonical_ip(errors, &at, address);
                Family::V6
            }
            "FQDN" if address.is_empty() => {
                errors.push(FieldError::required(&at, ""));
                continue;
            }
            "FQDN" => {
                errors.extend(names::domain(address).map(|(part, why)| FieldError::invalid(&at, part, &why)));
                continue;
            }
            _ => continue,
        };
        if errors.len() == before {
            if Family::of(address) != Some(family) {
                let why = format!("must be an {} address", family.name());
                errors.push(FieldError::invalid(path, address, &why));
            }
            special_ip(errors, &at, address);
        }
    }
}

fn hints(
    errors: &mut Vec<FieldError>,
    hints: &Value,
    path: &Path,
    field: &str,
    form: fn(&str) -> Vec<String>,
) {
    let at = path.field(field);
    let found = list(hints, field);
    if found.len() > MOST_HINTS {
        errors.push(FieldError::too_many(&at, found.len(), MOST_HINTS));
        return;
    }
    for (index, hint) in found.iter().enumerate() {
        let at = at.index(index);
        let name = text(hint, "name");
        if found[..index].iter().any(|other| text(other, "name") == name) {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        }
        invalid_names(errors, &at.field("name"), name, form);
    }
}
