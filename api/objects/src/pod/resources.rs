//! Requests and limits.

use std::collections::BTreeMap;

use serde_json::Value;

use super::devices;
use crate::check::{entries, has, list, text};
use crate::core::resources::{self, can_be_overcommitted, container_name, is_counted};
use crate::{FieldError, Path, Quantity};

const HUGE: &str = "hugepages-";

/// What a pod as a whole can ask for, beside huge pages.
const OF_PODS: [&str; 2] = ["cpu", "memory"];

/// Checks what a container asks for.
pub(super) fn check(errors: &mut Vec<FieldError>, resources: &Value, path: &Path, claims: &[&str]) {
    requirements(errors, resources, path, container_name);
    devices::uses(errors, resources, path, claims);
}

/// Checks what a pod as a whole asks for, against what its containers do.
pub(super) fn check_pod(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, claims: &[&str]) {
    let at = path.field("resources");
    let resources = &spec["resources"];
    if !has(spec, "resources") {
        return;
    }
    if spec["os"]["name"] == "windows" {
        errors.push(FieldError::forbidden(&at, "may not be set for a windows pod"));
        return;
    }
    if has(resources, "claims") {
        let why = "claims may not be set for Resources at pod-level";
        errors.push(FieldError::forbidden(&at.field("claims"), why));
    }
    requirements(errors, resources, &at, pod_resource_name);
    devices::uses(errors, resources, &at, claims);
    covers_containers(errors, spec, &at);
}

/// The pod's own figures are not below those of its containers.
fn covers_containers(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let resources = &spec["resources"];
    let own = |list: &str, name: &str| parse(&resources[list][name]);
    let requests = path.field("requests");
    for (name, sum) in aggregate(spec, "requests") {
        if let Some(own) = own("requests", &name).filter(|own| sum > *own) {
            let why = format!("must be greater than or equal to aggregate container requests of {sum}");
            errors.push(FieldError::invalid(&requests.key(&name), own.to_string(), &why));
        }
    }
    let limits = path.field("limits");
    for (name, sum) in aggregate(spec, "limits").into_iter().filter(|(name, _)| name.starts_with(HUGE)) {
        if let Some(own) = own("limits", &name).filter(|own| sum > *own) {
            let why = format!("must be greater than or equal to aggregate container limits of {sum}");
            errors.push(FieldError::invalid(&limits.key(&name), own.to_string(), &why));
        }
    }
    let containers = path.field("containers");
    for (index, container) in list(spec, "containers").iter().enumerate() {
        for (name, limit) in entries(&container["resources"], "limits") {
            let (Some(limit), Some(own)) = (parse(limit), own("limits", name)) else { continue };
            if limit > own {
                let at = containers.index(index);
                let at = at.key(name);
                let why = format!("must be less than or equal to pod limits of {own}");
                errors.push(FieldError::invalid(&at.field("limits"), limit.to_string(), &why));
            }
        }
    }
}

/// What the containers of a pod ask for together, in the list of that name: those that run all the time in sum, and at
/// least what one that runs before them asks for beside those that then run already.
pub(super) fn aggregate(spec: &Value, field: &str) -> BTreeMap<String, Quantity> {
    let mut sums: BTreeMap<String, Quantity> = BTreeMap::new();
    let add = |sums: &mut BTreeMap<String, Quantity>, container: &Value| {
        for (name, amount) in entries(&container["resources"], field) {
            if let Some(amount) = parse(amount) {
                let sum = sums.entry(name.to_owned()).or_default();
                *sum = *sum + amount;
            }
        }
    };
    list(spec, "containers").iter().for_each(|container| add(&mut sums, container));
    let mut staying: BTreeMap<String, Quantity> = BTreeMap::new();
    let mut most: BTreeMap<String, Quantity> = BTreeMap::new();
    for container in list(spec, "initContainers") {
        let mut then = staying.clone();
        add(&mut then, container);
        if text(container, "restartPolicy") == "Always" {
            add(&mut sums, container);
            staying.clone_from(&then);
        }
        keep_larger(&mut most, then);
    }
    keep_larger(&mut sums, most);
    sums
}

fn keep_larger(into: &mut BTreeMap<String, Quantity>, from: BTreeMap<String, Quantity>) {
    for (name, amount) in from {
        let kept = into.entry(name).or_insert(amount);
        *kept = (*kept).max(amount);
    }
}

fn parse(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}

/// Checks limits and requests, and one against the other.
fn requirements(
    errors: &mut Vec<FieldError>,
    resources: &Value,
    path: &Path,
    name_of: impl Fn(&mut Vec<FieldError>, &Path, &str),
) {
    let (limits_at, requests_at) = (path.field("limits"), path.field("requests"));
    let one = |errors: &mut Vec<FieldError>, at: &Path, name: &str, value: &Value| {
        name_of(errors, at, name);
        let amount = quantity(errors, at, value)?;
        if is_counted(name) && !amount.is_whole() {
            errors.push(FieldError::invalid(at, amount.to_string(), "must be an integer"));
        }
        Some(amount)
    };
    for (name, value) in entries(resources, "limits") {
        let at = limits_at.key(name);
        if let Some(limit) = one(errors, &at, name, value) {
            whole_pages(errors, name, limit, &at);
        }
    }
    for (name, value) in entries(resources, "requests") {
        let at = requests_at.key(name);
        let Some(request) = one(errors, &at, name, value) else { continue };
        match parse(&resources["limits"][name]) {
            Some(limit) if !can_be_overcommitted(name) && request != limit => {
                let why = format!("must be equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&requests_at, request.to_string(), &why));
            }
            Some(limit) if request > limit => {
                let why = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(&requests_at, request.to_string(), &why));
            }
            None if !can_be_overcommitted(name) && !has(&resources["limits"], name) => {
                let why = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(&limits_at, why));
            }
            _ => {}
        }
        whole_pages(errors, name, request, &at);
    }
    let any = |wanted: fn(&str) -> bool| {
        ["limits", "requests"].iter().any(|list| entries(resources, list).any(|(name, _)| wanted(name)))
    };
    if any(|name| name.starts_with(HUGE)) && !any(|name| ["cpu", "memory"].contains(&name)) {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
}

fn whole_pages(errors: &mut Vec<FieldError>, name: &str, amount: Quantity, path: &Path) {
    let Some(size) = name.strip_prefix(HUGE) else { return };
    let size = size.parse::<Quantity>().ok().filter(|size| size.is_whole() && size.units() > 0);
    if size.is_none_or(|size| amount.units() % size.units() != 0) {
        let why = format!("{amount} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path, amount.to_string(), &why));
    }
}

fn pod_resource_name(errors: &mut Vec<FieldError>, path: &Path, name: &str) {
    let before = errors.len();
    resources::name(errors, path, name);
    if errors.len() == before && !is_of_pods(name) {
        errors.push(FieldError::not_supported(path, name, &["cpu", HUGE, "memory"]));
    }
}

/// A pod as a whole can ask for it.
pub(super) fn is_of_pods(name: &str) -> bool {
    OF_PODS.contains(&name) || name.starts_with(HUGE)
}

/// Checks what a pod takes beside its containers.
pub(super) fn check_overhead(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    if has(spec, "overhead") {
        let resources = serde_json::json!({ "limits": spec["overhead"] });
        let mut found = Vec::new();
        requirements(&mut found, &resources, &path.field("overhead"), container_name);
        errors.append(&mut found);
    }
}

/// Checks one quantity.
pub(super) fn quantity(errors: &mut Vec<FieldError>, path: &Path, value: &Value) -> Option<Quantity> {
    let text = value.as_str().unwrap_or_default();
    match text.parse::<Quantity>() {
        Ok(quantity) if quantity.is_negative() => {
            errors.push(FieldError::invalid(path, text, "must be greater than or equal to 0"));
            None
        }
        Ok(quantity) => Some(quantity),
        Err(error) => {
            errors.push(FieldError::invalid(path, value.clone(), &error.to_string()));
            None
        }
    }
}

/// Checks what becomes of a container when its resources change.
pub(super) fn check_resize(errors: &mut Vec<FieldError>, container: &Value, path: &Path, pod_restart: &str) {
    let at = path.field("resizePolicy");
    let one = |errors: &mut Vec<FieldError>, value: &str, allowed: &[&str]| match value {
        "" => errors.push(FieldError::required(&at, "")),
        value if !allowed.contains(&value) => errors.push(FieldError::not_supported(&at, value, allowed)),
        _ => {}
    };
    let mut seen: Vec<&str> = Vec::new();
    for (index, policy) in list(container, "resizePolicy").iter().enumerate() {
        let (resource, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if seen.contains(&resource) {
            errors.push(FieldError::duplicate(&at.index(index), resource));
        }
        seen.push(resource);
        one(errors, resource, &["cpu", "memory"]);
        one(errors, restart, &["NotRequired", "RestartContainer"]);
        if pod_restart == "Never" && restart != "NotRequired" {
            let why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(&at, restart, why));
        }
    }
}
