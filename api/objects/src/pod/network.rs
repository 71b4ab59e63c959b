//! Names, resolvers and host ports of a pod.

use serde_json::Value;

use crate::check::{has, invalid_names, ip, list, text, texts};
use crate::{FieldError, Path, names};

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;
const MAX_HOSTNAME: usize = 64;

/// On the host's network a port of the container is that of the host. A template may leave the latter to the pod.
pub(super) fn host_ports(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, is_pod: bool) {
    if spec["hostNetwork"] != true {
        return;
    }
    let containers = path.field("containers");
    for (index, container) in list(spec, "containers").iter().enumerate() {
        let at = containers.index(index);
        let ports = at.field("ports");
        for (index, port) in list(container, "ports").iter().enumerate() {
            let number = |field: &str| port[field].as_i64().unwrap_or(0);
            let host = number("hostPort");
            if (is_pod || host != 0) && host != number("containerPort") {
                let why = "must match `containerPort` when `hostNetwork` is true";
                let at = ports.index(index);
                errors.push(FieldError::invalid(&at.field("hostPort"), host, why));
            }
        }
    }
}

/// Checks the name that a pod has instead of its own.
pub(super) fn hostname_override(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let Some(name) = spec["hostnameOverride"].as_str() else { return };
    let at = path.field("hostnameOverride");
    if spec["setHostnameAsFQDN"] == true {
        let why = "may not be specified when setHostnameAsFQDN is true";
        errors.push(FieldError::forbidden(&at, why));
    }
    if spec["hostNetwork"] == true {
        errors.push(FieldError::forbidden(&at, "may not be specified when hostNetwork is true"));
    }
    if name.len() > MAX_HOSTNAME {
        errors.push(FieldError::too_long(&at, MAX_HOSTNAME));
    }
    invalid_names(errors, &at, name, names::dns_subdomain);
}

pub(super) fn aliases(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let aliases = path.field("hostAliases");
    for (index, alias) in list(spec, "hostAliases").iter().enumerate() {
        let at = aliases.index(index);
        ip(errors, &at.field("ip"), text(alias, "ip"));
        let names_at = at.field("hostnames");
        for (index, name) in texts(alias, "hostnames") {
            invalid_names(errors, &names_at.index(index), name, names::dns_subdomain);
        }
    }
}

pub(super) fn dns(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let own = text(spec, "dnsPolicy") == "None";
    let at = path.field("dnsConfig");
    if !has(spec, "dnsConfig") {
        if own {
            errors.push(FieldError::required(&at, "must provide `dnsConfig` when `dnsPolicy` is None"));
        }
        return;
    }
    let config = &spec["dnsConfig"];
    let servers_at = at.field("nameservers");
    if own && list(config, "nameservers").is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(&servers_at, why));
        return;
    }
    if list(config, "nameservers").len() > MAX_NAMESERVERS {
        let why = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        errors.push(FieldError::invalid(&servers_at, config["nameservers"].clone(), &why));
    }
    for (index, server) in texts(config, "nameservers") {
        ip(errors, &servers_at.index(index), server);
    }
    let searches_at = at.field("searches");
    let searches: Vec<&str> = texts(config, "searches").map(|(_, search)| search).collect();
    if searches.len() > MAX_SEARCHES {
        let why = format!("must not have more than {MAX_SEARCHES} search paths");
        errors.push(FieldError::invalid(&searches_at, config["searches"].clone(), &why));
    }
    if searches.join(" ").len() > MAX_SEARCH_CHARACTERS {
        let why = format!(
            "must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        );
        errors.push(FieldError::invalid(&searches_at, config["searches"].clone(), &why));
    }
    for (index, domain) in searches.iter().enumerate().filter(|(_, domain)| **domain != ".") {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        invalid_names(errors, &searches_at.index(index), domain, names::search_domain);
    }
    let options_at = at.field("options");
    for (index, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.push(FieldError::required(&options_at.index(index), "must not be empty"));
        }
    }
}
