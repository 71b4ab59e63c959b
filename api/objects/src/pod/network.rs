//! Names and resolvers of a Pod.

use serde_json::Value;

use super::validate::{invalid_names, ip, one_of, texts};
use super::{has, list, text};
use crate::{FieldError, Path, names};

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;

pub(super) fn check(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    for field in ["hostname", "subdomain"] {
        let name = text(spec, field);
        if !name.is_empty() {
            invalid_names(errors, &path.field(field), name, names::dns_label);
        }
    }
    aliases(errors, spec, path);
    one_of(errors, spec, path, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    dns(errors, spec, path);
}

fn aliases(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let aliases = path.field("hostAliases");
    for (index, alias) in list(spec, "hostAliases").iter().enumerate() {
        let at = aliases.index(index);
        ip(errors, &at.field("ip"), text(alias, "ip"));
        for (index, name) in texts(alias, "hostnames") {
            invalid_names(errors, &at.field("hostnames").index(index), name, names::dns_subdomain);
        }
    }
}

fn dns(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let own = text(spec, "dnsPolicy") == "None";
    let at = path.field("dnsConfig");
    if !has(spec, "dnsConfig") {
        if own {
            errors.push(FieldError::required(&at, "must provide `dnsConfig` when `dnsPolicy` is None"));
        }
        return;
    }
    let config = &spec["dnsConfig"];
    let servers = list(config, "nameservers");
    let servers_at = at.field("nameservers");
    if own && servers.is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(&servers_at, why));
    }
    if servers.len() > MAX_NAMESERVERS {
        let why = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        errors.push(FieldError::invalid(&servers_at, config["nameservers"].clone(), &why));
    }
    for (index, server) in texts(config, "nameservers") {
        ip(errors, &servers_at.index(index), server);
    }
    let searches_at = at.field("searches");
    if list(config, "searches").len() > MAX_SEARCHES {
        let why = format!("must not have more than {MAX_SEARCHES} search paths");
        errors.push(FieldError::invalid(&searches_at, config["searches"].clone(), &why));
    }
    for (index, domain) in texts(config, "searches") {
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
