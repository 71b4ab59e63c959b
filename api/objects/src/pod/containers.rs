//! Containers: those that run, those that run before them, and those that are added to look at a pod.

use serde_json::Value;

use super::{env, mounts, probes, resources, security};
use crate::check::{has, invalid_names, list, one_of, required, required_one_of, text, within};
use crate::{FieldError, Path, names};

/// What the containers of a pod are checked with.
pub(super) struct Around<'a> {
    /// The volumes that may be mounted.
    pub volumes: &'a [&'a Value],
    /// The pod's claims of devices.
    pub claims: &'a [&'a str],
    /// The pod's grace period in seconds.
    pub grace: Option<i64>,
    /// Users in the pod are those of the host.
    pub host_users: bool,
    /// The pod's restart policy.
    pub restart: &'a str,
    /// The operating system, if it is told.
    pub os: Option<&'a str>,
}

impl<'a> Around<'a> {
    /// The volume of a name, if there is a good one.
    pub(super) fn volume(&self, name: &str) -> Option<&'a Value> {
        self.volumes.iter().find(|volume| text(volume, "name") == name).copied()
    }
}

/// Checks all containers of a specification.
pub(super) fn check(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, around: &Around<'_>) {
    mains(errors, spec, &path.field("containers"), around);
    inits(errors, spec, &path.field("initContainers"), around);
    ephemeral(errors, spec, &path.field("ephemeralContainers"), around);
}

fn mains(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, around: &Around<'_>) {
    let containers = list(spec, "containers");
    if containers.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let mut seen = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        let at = path.index(index);
        one(errors, container, &at, around);
        unique_name(errors, container, &at, &mut seen);
        hooks_and_probes(errors, container, &at, around);
        restart_policy(errors, container, &at);
    }
    unique_host_ports(errors, containers, path);
}

fn inits(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, around: &Around<'_>) {
    let mut seen: Vec<&str> = list(spec, "containers").iter().map(|c| text(c, "name")).collect();
    for (index, container) in list(spec, "initContainers").iter().enumerate() {
        let at = path.index(index);
        one(errors, container, &at, around);
        restart_policy(errors, container, &at);
        // What has no name is told of once.
        if !text(container, "name").is_empty() {
            unique_name(errors, container, &at, &mut seen);
        }
        // They run one after the other, so that each may take the ports of another.
        unique_host_ports(errors, std::slice::from_ref(container), path);
        if text(container, "restartPolicy") == "Always" {
            hooks_and_probes(errors, container, &at, around);
            continue;
        }
        let of_running = ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"];
        let why = "may not be set for init containers without restartPolicy=Always";
        super::forbid(errors, container, &at, &of_running, why);
        let policies = at.field("resizePolicy");
        for (index, policy) in list(container, "resizePolicy").iter().enumerate() {
            if text(policy, "restartPolicy") == "RestartContainer" {
                let why = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                let at = policies.index(index);
                errors.push(FieldError::invalid(&at.field("restartPolicy"), "RestartContainer", why));
            }
        }
    }
}

/// What a container that is added to a running pod cannot have.
const NOT_EPHEMERAL: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

fn ephemeral(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, around: &Around<'_>) {
    let others: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|field| list(spec, field))
        .map(|container| text(container, "name"))
        .collect();
    let mut seen = others.clone();
    for (index, container) in list(spec, "ephemeralContainers").iter().enumerate() {
        let at = path.index(index);
        one(errors, container, &at, around);
        trimmed_image(errors, container, &at);
        unique_name(errors, container, &at, &mut seen);
        let target = text(container, "targetContainerName");
        if !target.is_empty() && !others.contains(&target) {
            errors.push(FieldError::not_found(&at.field("targetContainerName"), target));
        }
        let why = "cannot be set for an Ephemeral Container";
        let set = |value: &Value| match value {
            Value::Object(map) => map.values().any(|value| !value.is_null()),
            Value::Array(list) => !list.is_empty(),
            value => !value.is_null(),
        };
        for field in NOT_EPHEMERAL.iter().filter(|field| container.get(field).is_some_and(set)) {
            errors.push(FieldError::forbidden(&at.field(field), why));
        }
        let mounts = at.field("volumeMounts");
        for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(mount, field).is_empty() {
                    let at = mounts.index(index);
                    errors.push(FieldError::forbidden(&at.field(field), why));
                }
            }
        }
    }
}

fn unique_name<'v>(errors: &mut Vec<FieldError>, container: &'v Value, path: &Path, seen: &mut Vec<&'v str>) {
    let name = text(container, "name");
    if seen.contains(&name) {
        errors.push(FieldError::duplicate(&path.field("name"), name));
    }
    seen.push(name);
}

fn hooks_and_probes(errors: &mut Vec<FieldError>, container: &Value, path: &Path, around: &Around<'_>) {
    probes::check_lifecycle(errors, container, path, around.grace, around.os);
    probes::check_probes(errors, container, path);
}

/// Checks what holds for every container.
fn one(errors: &mut Vec<FieldError>, container: &Value, path: &Path, around: &Around<'_>) {
    match text(container, "name") {
        "" => errors.push(FieldError::required(&path.field("name"), "")),
        name => invalid_names(errors, &path.field("name"), name, names::dns_label),
    }
    required(errors, container, path, "image", "");
    let policies = ["File", "FallbackToLogsOnError"];
    required_one_of(errors, container, path, "terminationMessagePolicy", &policies);
    ports(errors, container, path);
    env::check(errors, container, path);
    mounts::check(errors, container, path, around);
    mounts::check_devices(errors, container, path, around);
    required_one_of(errors, container, path, "imagePullPolicy", &["Always", "IfNotPresent", "Never"]);
    resources::check(errors, &container["resources"], &path.field("resources"), around.claims);
    resources::check_resize(errors, container, path, around.restart);
    security::check_container(errors, container, path, around.host_users);
}

/// A pod's images have no white space around them. Templates may have any.
pub(super) fn trimmed_image(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    let image = text(container, "image");
    if image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.field("image"), image, why));
    }
}

fn ports(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    let ports = path.field("ports");
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let at = ports.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if wrong.is_empty() && seen.contains(&name) {
                errors.push(FieldError::duplicate(&at.field("name"), name));
            }
            errors.extend(wrong.iter().map(|why| FieldError::invalid(&at.field("name"), name, why)));
            seen.push(name);
        }
        match port["containerPort"].as_i64().unwrap_or(0) {
            0 => errors.push(FieldError::required(&at.field("containerPort"), "")),
            number => within(errors, &at.field("containerPort"), number, 1, 65535),
        }
        if let Some(number) = port["hostPort"].as_i64().filter(|number| *number != 0) {
            within(errors, &at.field("hostPort"), number, 1, 65535);
        }
        required_one_of(errors, port, &at, "protocol", &["SCTP", "TCP", "UDP"]);
    }
}

/// A host port, protocol and address can be given away once.
fn unique_host_ports(errors: &mut Vec<FieldError>, containers: &[Value], path: &Path) {
    let mut taken: Vec<String> = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        let at = path.index(index);
        let ports = at.field("ports");
        for (index, port) in list(container, "ports").iter().enumerate() {
            let number = port["hostPort"].as_i64().unwrap_or(0);
            if number == 0 {
                continue;
            }
            let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if taken.contains(&key) {
                let at = ports.index(index);
                errors.push(FieldError::duplicate(&at.field("hostPort"), key.as_str()));
            }
            taken.push(key);
        }
    }
}

const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

/// Checks a container's own restart policy and the rules that make exceptions of it.
fn restart_policy(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    let rules = list(container, "restartPolicyRules");
    if !has(container, "restartPolicy") {
        if !rules.is_empty() {
            let why = "must specify restartPolicy when restart rules are used";
            errors.push(FieldError::required(&path.field("restartPolicy"), why));
        }
        return;
    }
    one_of(errors, container, path, "restartPolicy", &["Always", "Never", "OnFailure"]);
    let rules_at = path.field("restartPolicyRules");
    if rules.len() > MAX_RULES {
        errors.push(FieldError::too_many(&rules_at, rules.len(), MAX_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = rules_at.index(index);
        let action = text(rule, "action");
        if !["Restart", "RestartAllContainers"].contains(&action) {
            let allowed = ["Restart", "RestartAllContainers"];
            errors.push(FieldError::not_supported(&at.field("action"), action, &allowed));
        }
        if !has(rule, "exitCodes") {
            errors.push(FieldError::required(&at.field("exitCodes"), "must be specified"));
            continue;
        }
        let (codes, at) = (&rule["exitCodes"], at.field("exitCodes"));
        let operator = text(codes, "operator");
        if !["In", "NotIn"].contains(&operator) {
            errors.push(FieldError::not_supported(&at.field("operator"), operator, &["In", "NotIn"]));
        }
        let count = list(codes, "values").len();
        if count > MAX_EXIT_CODES {
            errors.push(FieldError::too_many(&at.field("values"), count, MAX_EXIT_CODES));
        }
    }
}
