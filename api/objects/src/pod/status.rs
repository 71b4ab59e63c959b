//! What is refused in the status of a Pod.

use serde_json::Value;

use super::{annotations, states};
use crate::check::{entries, has, immutable, invalid_names, ip, list, text, within};
use crate::{FieldError, Path, names};

/// The containers' statuses, and where the containers stand.
const CONTAINERS: [(&str, &str); 3] = [
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
];

/// What a status breaks that replaces that of `old`.
pub(super) fn check(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let meta = Path::ROOT.field("metadata");
    annotations::update(&mut errors, new, old, &meta.field("annotations"));
    let path = Path::ROOT.field("status");
    let (spec, status, before) = (&old["spec"], &new["status"], &old["status"]);
    conditions(&mut errors, status, &path.field("conditions"));
    nominated(&mut errors, new, old, &path.field("nominatedNodeName"));
    generation(&mut errors, status, &path);
    immutable(&mut errors, status, before, &path, "qosClass");
    for (statuses, containers) in CONTAINERS {
        states::check(&mut errors, status, before, spec, (statuses, containers), &path.field(statuses));
    }
    claims(&mut errors, status, spec, &path);
    addresses(&mut errors, status, &path, "podIPs");
    if let Some(first) = list(status, "hostIPs").first() {
        let at = path.field("hostIPs");
        if text(first, "ip") != text(status, "hostIP") {
            let why = "must be equal to `hostIP`";
            errors.push(FieldError::invalid(&at.index(0).field("ip"), text(first, "ip"), why));
        }
    }
    addresses(&mut errors, status, &path, "hostIPs");
    for (statuses, _) in CONTAINERS {
        users(&mut errors, status, spec, &path.field(statuses), statuses);
    }
    for (statuses, containers) in CONTAINERS {
        devices(&mut errors, status, spec, &path.field(statuses), (statuses, containers));
    }
    errors
}

fn generation(errors: &mut Vec<FieldError>, owner: &Value, path: &Path) {
    if let Some(number) = owner["observedGeneration"].as_i64().filter(|number| *number < 0) {
        let why = "must be a non-negative integer";
        errors.push(FieldError::invalid(&path.field("observedGeneration"), number, why));
    }
}

fn conditions(errors: &mut Vec<FieldError>, status: &Value, path: &Path) {
    for (index, condition) in list(status, "conditions").iter().enumerate() {
        let at = path.index(index);
        generation(errors, condition, &at);
        let kind = text(condition, "type");
        if !["PodScheduled", "Ready", "Initialized"].contains(&kind) {
            invalid_names(errors, &at.field("Type"), kind, names::qualified_name);
        }
    }
}

/// The node that a scheduler has in mind for a pod that waits.
fn nominated(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let name = text(&new["status"], "nominatedNodeName");
    if name.is_empty() || name == text(&old["status"], "nominatedNodeName") {
        return;
    }
    invalid_names(errors, path, name, names::dns_subdomain);
    if !text(&old["spec"], "nodeName").is_empty() {
        let why = "may not be set on pods that are already bound to a node";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn addresses(errors: &mut Vec<FieldError>, status: &Value, path: &Path, field: &str) {
    let at = path.field(field);
    let all: Vec<&str> = list(status, field).iter().map(|address| text(address, "ip")).collect();
    for (index, address) in all.iter().enumerate() {
        ip(errors, &at.index(index), address);
    }
    let v6 = all.iter().filter(|address| address.contains(':')).count();
    if all.len() > 2 || (all.len() == 2 && v6 != 1) {
        let why = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(&at, status[field].clone(), why));
    }
}

/// What was claimed for the pod by others.
fn claims(errors: &mut Vec<FieldError>, status: &Value, spec: &Value, path: &Path) {
    let at = path.field("resourceClaimStatuses");
    let mut seen: Vec<&str> = Vec::new();
    for (index, claim) in list(status, "resourceClaimStatuses").iter().enumerate() {
        let at = at.index(index);
        let name = text(claim, "name");
        if !list(spec, "resourceClaims").iter().any(|known| text(known, "name") == name) {
            let why = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(FieldError::invalid(&at.field("name"), name, why));
        }
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        }
        seen.push(name);
        if let Some(made) = claim["resourceClaimName"].as_str() {
            invalid_names(errors, &at.field("resourceClaimName"), made, names::dns_subdomain);
        }
    }
    if has(status, "extendedResourceClaimStatus") {
        let at = path.field("extendedResourceClaimStatus");
        extended(errors, &status["extendedResourceClaimStatus"], spec, &at);
    }
}

/// The claim that stands for extended resources of the pod's containers.
fn extended(errors: &mut Vec<FieldError>, claim: &Value, spec: &Value, path: &Path) {
    let mappings = path.field("requestMappings");
    if list(claim, "requestMappings").is_empty() {
        errors.push(FieldError::required(&mappings, "at least one request mapping is required"));
    }
    let mut seen: Vec<[&str; 3]> = Vec::new();
    for (index, mapping) in list(claim, "requestMappings").iter().enumerate() {
        let at = mappings.index(index);
        let fields = ["containerName", "resourceName", "requestName"];
        let key = fields.map(|field| text(mapping, field));
        let containers = ["containers", "initContainers"].iter().flat_map(|field| list(spec, field));
        match containers.into_iter().find(|container| text(container, "name") == key[0]) {
            None => {
                let why =
                    "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                errors.push(FieldError::invalid(&at.field("containerName"), key[0], why));
            }
            Some(container) if !has(&container["resources"]["requests"], key[1]) => {
                let why = "must match the extended resource name of an entry in \
                           spec.initContainers.resources.requests or spec.containers.resources.requests";
                errors.push(FieldError::invalid(&at.field("resourceName"), key[1], why));
            }
            Some(_) => {}
        }
        invalid_names(errors, &path.field("requestName"), key[2], names::dns_label);
        if seen.contains(&key) {
            let twice = fields.iter().zip(key);
            errors.extend(twice.map(|(field, value)| FieldError::duplicate(&at.field(field), value)));
        }
        seen.push(key);
    }
    match text(claim, "resourceClaimName") {
        "" => errors.push(FieldError::required(&path.field("resourceClaimName"), "")),
        name => invalid_names(errors, &path.field("resourceClaimName"), name, names::dns_subdomain),
    }
}

/// Whom the containers run as.
fn users(errors: &mut Vec<FieldError>, status: &Value, spec: &Value, path: &Path, statuses: &str) {
    for (index, container) in list(status, statuses).iter().enumerate() {
        let user = &container["user"]["linux"];
        if user.is_null() {
            continue;
        }
        let at = path.index(index);
        let at = at.field("user");
        let at = at.field("linux");
        if spec["os"]["name"] == "windows" {
            errors.push(FieldError::forbidden(&at, "cannot be set for a windows pod"));
            continue;
        }
        let most = i64::from(i32::MAX);
        for field in ["uid", "gid"] {
            within(errors, &at.field(field), user[field].as_i64().unwrap_or(0), 0, most);
        }
        let groups = at.field("supplementalGroups");
        for (index, group) in list(user, "supplementalGroups").iter().enumerate() {
            within(errors, &groups.index(index), group.as_i64().unwrap_or(0), 0, most);
        }
    }
}

const MAX_MESSAGE: usize = 1024;

/// How the devices of the containers are.
fn devices(
    errors: &mut Vec<FieldError>,
    status: &Value,
    spec: &Value,
    path: &Path,
    (statuses, containers): (&str, &str),
) {
    for (index, container) in list(status, statuses).iter().enumerate() {
        let at = path.index(index);
        let at = at.field("allocatedResourcesStatus");
        let told = list(container, "allocatedResourcesStatus");
        if statuses == "ephemeralContainerStatuses" {
            if !told.is_empty() {
                errors.push(FieldError::forbidden(&at, "must not be specified in container status"));
            }
            continue;
        }
        let name = text(container, "name");
        let of = list(spec, containers).iter().find(|container| text(container, "name") == name);
        for (index, resource) in told.iter().enumerate() {
            let at = at.index(index);
            if let Some(of) = of {
                is_asked_for(errors, text(resource, "name"), &of["resources"], &at.field("name"));
            }
            health(errors, resource, &at.field("resources"));
        }
    }
}

fn is_asked_for(errors: &mut Vec<FieldError>, name: &str, resources: &Value, path: &Path) {
    let why = match name.strip_prefix("claim:") {
        Some(claim) => {
            let (wanted, request) = claim.split_once('/').unwrap_or((claim, ""));
            let is = |claim: &Value| text(claim, "name") == wanted && text(claim, "request") == request;
            if list(resources, "claims").iter().any(is) {
                return;
            }
            "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or \
             'claim:<claimName>' if request is empty"
        }
        None if entries(resources, "requests").any(|(known, _)| known == name) => return,
        None => "must match one of the container's resource requests",
    };
    errors.push(FieldError::invalid(path, name, why));
}

fn health(errors: &mut Vec<FieldError>, resource: &Value, path: &Path) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, device) in list(resource, "resources").iter().enumerate() {
        let at = path.index(index);
        let health = text(device, "health");
        let allowed = ["Healthy", "Unhealthy", "Unknown"];
        if !allowed.contains(&health) {
            errors.push(FieldError::not_supported(&at.field("health"), health, &allowed));
        }
        match device["message"].as_str() {
            Some("") => {
                errors.push(FieldError::required(&at.field("message"), "must be non-empty if specified"));
            }
            Some(message) if message.len() > MAX_MESSAGE => {
                errors.push(FieldError::too_long(&at.field("message"), MAX_MESSAGE));
            }
            _ => {}
        }
        let id = text(device, "resourceID");
        if seen.contains(&id) {
            errors.push(FieldError::duplicate(&at.field("resourceID"), id));
        }
        seen.push(id);
    }
}
