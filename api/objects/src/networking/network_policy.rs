//! NetworkPolicies.

use serde_json::{Value, json};

use crate::address::{cidr, contains};
use crate::check::{has, invalid_names, label_selector, list, one_of, text, texts, within};
use crate::{FieldError, Path, fill, names};

const TYPES: [&str; 2] = ["Ingress", "Egress"];

pub(crate) fn defaults(policy: &mut Value) {
    for spec in fill::part(policy, "spec") {
        for field in ["ingress", "egress"] {
            for rule in fill::each(spec, field) {
                fill::each(rule, "ports").for_each(|port| fill::missing(port, "protocol", "TCP"));
            }
        }
        if list(spec, "policyTypes").is_empty() {
            let count = if list(spec, "egress").is_empty() { 1 } else { 2 };
            spec["policyTypes"] = json!(TYPES[..count]);
        }
    }
}

pub(crate) fn create(policy: &Value) -> Vec<FieldError> {
    check(policy, &[])
}

/// Blocks of addresses that were there may stay.
pub(crate) fn update(policy: &Value, old: &Value) -> Vec<FieldError> {
    let mut before = Vec::new();
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = list(&old["spec"], rules).iter();
        for peer in rules.flat_map(|rule| list(rule, peers)) {
            before.push(text(&peer["ipBlock"], "cidr"));
            before.extend(texts(&peer["ipBlock"], "except").map(|(_, block)| block));
        }
    }
    check(policy, &before)
}

fn check(policy: &Value, before: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &policy["spec"]);
    label_selector(&mut errors, &spec["podSelector"], &path.field("podSelector"));
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        let at = path.field(rules);
        for (index, rule) in list(spec, rules).iter().enumerate() {
            let at = at.index(index);
            for (index, found) in list(rule, "ports").iter().enumerate() {
                port(&mut errors, found, &at.field("ports").index(index));
            }
            for (index, found) in list(rule, peers).iter().enumerate() {
                peer(&mut errors, found, &at.field(peers).index(index), before);
            }
        }
    }
    let at = path.field("policyTypes");
    if list(spec, "policyTypes").len() > TYPES.len() {
        let why = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(&at, spec["policyTypes"].clone(), why));
        return errors;
    }
    for (index, of) in texts(spec, "policyTypes") {
        if !TYPES.contains(&of) {
            errors.push(FieldError::not_supported(&at.index(index), of, &TYPES));
        }
    }
    errors
}

fn port(errors: &mut Vec<FieldError>, port: &Value, path: &Path) {
    one_of(errors, port, path, "protocol", &["TCP", "UDP", "SCTP"]);
    let (at, end_at) = (path.field("port"), path.field("endPort"));
    let end = port["endPort"].as_i64();
    match &port["port"] {
        Value::Null => {
            if let Some(end) = end {
                let why = "may not be specified when `port` is not specified";
                errors.push(FieldError::invalid(&end_at, end, why));
            }
        }
        Value::String(name) => {
            if let Some(end) = end {
                let why = "may not be specified when `port` is non-numeric";
                errors.push(FieldError::invalid(&end_at, end, why));
            }
            invalid_names(errors, &at, name, names::port_name);
        }
        number => {
            let number = number.as_i64().unwrap_or(0);
            within(errors, &at, number, 1, 65535);
            if let Some(end) = end {
                if end < number {
                    let why = "must be greater than or equal to `port`";
                    errors.push(FieldError::invalid(&end_at, number, why));
                }
                within(errors, &end_at, end, 1, 65535);
            }
        }
    }
}

fn peer(errors: &mut Vec<FieldError>, peer: &Value, path: &Path, before: &[&str]) {
    let selectors = ["podSelector", "namespaceSelector"];
    for field in selectors {
        label_selector(errors, &peer[field], &path.field(field));
    }
    let selected = selectors.iter().any(|field| has(peer, field));
    match (has(peer, "ipBlock"), selected) {
        (true, selected) => {
            block(errors, &peer["ipBlock"], &path.field("ipBlock"), before);
            if selected {
                errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
            }
        }
        (false, false) => errors.push(FieldError::required(path, "must specify a peer")),
        _ => {}
    }
}

fn block(errors: &mut Vec<FieldError>, block: &Value, path: &Path, before: &[&str]) {
    let whole = text(block, "cidr");
    let at = path.field("cidr");
    if whole.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    if !before.contains(&whole) {
        cidr(errors, &at, whole);
    }
    for (index, except) in texts(block, "except") {
        let at = path.field("except");
        let at = at.index(index);
        if !before.contains(&except) {
            cidr(errors, &at, except);
        }
        if contains(whole, except) == Some(false) {
            errors.push(FieldError::invalid(&at, except, "must be a strict subset of `cidr`"));
        }
    }
}
