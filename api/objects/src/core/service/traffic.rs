//! Which way traffic to a Service may take: balancers, policies, source ranges.

use serde_json::Value;

use super::annotation;
use crate::address::cidr;
use crate::check::{has, invalid_names, list, one_of, text, texts, within};
use crate::{FieldError, Path, names};

const ONLY_BALANCED: &str = "may only be used when `type` is 'LoadBalancer'";
const POLICIES: [&str; 2] = ["Cluster", "Local"];
/// What said the source ranges before there was a field.
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// Whether a balancer stands before the Service.
pub(super) fn is_balanced(spec: &Value) -> bool {
    spec["type"] == "LoadBalancer"
}

/// Whether the Service can be reached from outside.
pub(super) fn is_external(spec: &Value) -> bool {
    let of = text(spec, "type");
    ["LoadBalancer", "NodePort"].contains(&of) || of == "ClusterIP" && !list(spec, "externalIPs").is_empty()
}

/// Whether a balancer asks each node if it has backends.
pub(super) fn is_checked(spec: &Value) -> bool {
    is_balanced(spec) && spec["externalTrafficPolicy"] == "Local"
}

pub(super) fn check(errors: &mut Vec<FieldError>, service: &Value, old: Option<&Value>) {
    let (path, spec) = (Path::ROOT.field("spec"), &service["spec"]);
    source_ranges(errors, service, old);
    let allocate = path.field("allocateLoadBalancerNodePorts");
    match (has(spec, "allocateLoadBalancerNodePorts"), is_balanced(spec)) {
        (true, false) => errors.push(FieldError::forbidden(&allocate, ONLY_BALANCED)),
        (false, true) => {
            let at = Path::ROOT.field("allocateLoadBalancerNodePorts");
            errors.push(FieldError::required(&at, ""));
        }
        _ => {}
    }
    if has(spec, "loadBalancerClass") {
        let (at, class) = (path.field("loadBalancerClass"), text(spec, "loadBalancerClass"));
        if is_balanced(spec) {
            invalid_names(errors, &at, class, names::qualified_name);
        } else {
            errors.push(FieldError::forbidden(&at, ONLY_BALANCED));
        }
    }
    external(errors, spec, &path);
    if ["ClusterIP", "NodePort", "LoadBalancer"].contains(&text(spec, "type"))
        && !has(spec, "internalTrafficPolicy")
    {
        errors.push(FieldError::required(&path.field("internalTrafficPolicy"), ""));
    }
    one_of(errors, spec, &path, "internalTrafficPolicy", &POLICIES);
    one_of(errors, spec, &path, "trafficDistribution", &["PreferClose", "PreferSameZone", "PreferSameNode"]);
}

fn external(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let policy = text(spec, "externalTrafficPolicy");
    let at = path.field("externalTrafficPolicy");
    match (is_external(spec), policy) {
        (false, "") => {}
        (false, policy) => {
            let why = "may only be set for externally-accessible services";
            errors.push(FieldError::invalid(&at, policy, why));
        }
        (true, "") => errors.push(FieldError::required(&at, "")),
        (true, policy) if !POLICIES.contains(&policy) => {
            errors.push(FieldError::not_supported(&at, policy, &POLICIES));
        }
        _ => {}
    }
    let at = path.field("healthCheckNodePort");
    // The port itself is given by the server where the writer names none.
    if let Some(port) = spec["healthCheckNodePort"].as_i64().filter(|port| *port != 0) {
        if is_checked(spec) {
            within(errors, &at, port, 1, 65535);
        } else {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(FieldError::invalid(&at, port, why));
        }
    }
}

/// Ranges of the field, or else of the annotation. Spaces around them do not matter.
fn source_ranges(errors: &mut Vec<FieldError>, service: &Value, old: Option<&Value>) {
    let spec = &service["spec"];
    if !list(spec, "loadBalancerSourceRanges").is_empty() {
        let path = Path::ROOT.field("spec");
        // Upstream's errors have the field so.
        let at = path.field("LoadBalancerSourceRanges");
        if !is_balanced(spec) {
            errors.push(FieldError::forbidden(&at, ONLY_BALANCED));
        }
        let before: Vec<&str> = old
            .into_iter()
            .flat_map(|old| texts(&old["spec"], "loadBalancerSourceRanges"))
            .map(|(_, range)| range.trim())
            .collect();
        for (index, range) in texts(spec, "loadBalancerSourceRanges") {
            if !before.contains(&range.trim()) {
                cidr(errors, &at.index(index), range.trim());
            }
        }
    } else if let Some(ranges) = annotation(service, RANGES) {
        let meta = Path::ROOT.field("metadata");
        let annotations = meta.field("annotations");
        let at = annotations.key(RANGES);
        if !is_balanced(spec) {
            errors.push(FieldError::forbidden(&at, ONLY_BALANCED));
        }
        let same = old.is_some_and(|old| annotation(old, RANGES) == Some(ranges));
        if !same && !ranges.trim().is_empty() {
            ranges.trim().split(',').for_each(|range| cidr(errors, &at, range.trim()));
        }
    }
}

/// What a balancer was told stays.
pub(super) fn changed(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let path = Path::ROOT.field("spec");
    if is_balanced(new) && is_balanced(old) {
        let at = path.field("loadBalancerClass");
        if new["loadBalancerClass"] != old["loadBalancerClass"] {
            let why = "may not change once set";
            errors.push(FieldError::invalid(&at, new["loadBalancerClass"].clone(), why));
        }
        if has(new, "loadBalancerClass") {
            invalid_names(errors, &at, text(new, "loadBalancerClass"), names::qualified_name);
        }
    } else if has(new, "loadBalancerClass") && !is_balanced(new) {
        errors.push(FieldError::forbidden(&path.field("loadBalancerClass"), ONLY_BALANCED));
    }
    let port = |spec: &Value| spec["healthCheckNodePort"].as_i64().unwrap_or(0);
    if is_checked(new) && is_checked(old) && port(new) != port(old) {
        errors.push(FieldError::forbidden(&path.field("healthCheckNodePort"), "field is immutable"));
    }
}
