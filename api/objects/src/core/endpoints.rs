//! Endpoints.

use serde_json::Value;

use crate::address::special_ip;
use crate::check::{has, invalid_names, ip, list, required_one_of, text, within};
use crate::{FieldError, Path, fill, names};

pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

pub(crate) fn defaults(endpoints: &mut Value) {
    for subset in fill::each(endpoints, "subsets") {
        fill::each(subset, "ports").for_each(|port| fill::text(port, "protocol", "TCP"));
    }
}

pub(crate) fn create(endpoints: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("subsets");
    for (index, subset) in list(endpoints, "subsets").iter().enumerate() {
        let at = path.index(index);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|field| list(subset, field).is_empty()) {
            let why = "must specify `addresses` or `notReadyAddresses`";
            errors.push(FieldError::required(&at, why));
        }
        for field in lists {
            let at = at.field(field);
            for (index, found) in list(subset, field).iter().enumerate() {
                address(&mut errors, found, &at.index(index));
            }
        }
        let (at, ports) = (at.field("ports"), list(subset, "ports"));
        for (index, found) in ports.iter().enumerate() {
            port(&mut errors, found, &at.index(index), ports.len() > 1);
        }
    }
    errors
}

/// What was stored before a rule was made may stay.
pub(crate) fn update(endpoints: &Value, old: &Value) -> Vec<FieldError> {
    if endpoints["subsets"] == old["subsets"] { Vec::new() } else { create(endpoints) }
}

fn address(errors: &mut Vec<FieldError>, address: &Value, path: &Path) {
    let text_of = text(address, "ip");
    ip(errors, &path.field("ip"), text_of);
    let hostname = text(address, "hostname");
    if !hostname.is_empty() {
        invalid_names(errors, &path.field("hostname"), hostname, names::dns_label);
    }
    if has(address, "nodeName") {
        invalid_names(errors, &path.field("nodeName"), text(address, "nodeName"), names::dns_subdomain);
    }
    special_ip(errors, &path.field("ip"), text_of);
}

fn port(errors: &mut Vec<FieldError>, port: &Value, path: &Path, named: bool) {
    match text(port, "name") {
        "" if named => errors.push(FieldError::required(&path.field("name"), "")),
        "" => {}
        name => invalid_names(errors, &path.field("name"), name, names::dns_label),
    }
    within(errors, &path.field("port"), port["port"].as_i64().unwrap_or(0), 1, 65535);
    required_one_of(errors, port, path, "protocol", &PROTOCOLS);
    if has(port, "appProtocol") {
        invalid_names(errors, &path.field("appProtocol"), text(port, "appProtocol"), names::qualified_name);
    }
}
