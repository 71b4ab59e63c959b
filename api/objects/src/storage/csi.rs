//! What is known of drivers: CSIDrivers, CSINodes and CSIStorageCapacities.

use serde_json::{Value, json};

use crate::check::{
    IMMUTABLE, has, immutable, invalid_names, label_selector, list, not_negative, one_of, text, texts,
};
use crate::core::driver_name;
use crate::{FieldError, Path, fill, names};

const MOST_NODE_ID: usize = 256;
const LEAST_PERIOD: i64 = 10;
const LEAST_EXPIRATION: i64 = 600;
const MOST_EXPIRATION: i64 = 1 << 32;

pub(crate) fn driver_defaults(driver: &mut Value) {
    for spec in fill::part(driver, "spec") {
        fill::missing(spec, "attachRequired", true);
        for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            fill::missing(spec, field, false);
        }
        fill::missing(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if list(spec, "volumeLifecycleModes").is_empty() {
            spec["volumeLifecycleModes"] = json!(["Persistent"]);
        }
    }
}

pub(crate) fn create_driver(driver: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &driver["spec"]);
    for (field, told) in [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ] {
        if !has(spec, field) {
            errors.push(FieldError::required(&path.field(told), ""));
        }
    }
    one_of(&mut errors, spec, &path, "fsGroupPolicy", &["File", "None", "ReadWriteOnceWithFSType"]);
    tokens(&mut errors, spec, &path);
    for (_, mode) in texts(spec, "volumeLifecycleModes") {
        let modes = ["Persistent", "Ephemeral"];
        if !modes.contains(&mode) {
            errors.push(FieldError::not_supported(&path.field("volumeLifecycleModes"), mode, &modes));
        }
    }
    if !has(spec, "seLinuxMount") {
        errors.push(FieldError::required(&path.field("seLinuxMount"), ""));
    }
    let period = "nodeAllocatableUpdatePeriodSeconds";
    if let Some(seconds) = spec[period].as_i64().filter(|seconds| *seconds < LEAST_PERIOD) {
        let why = "must be greater than or equal to 10 seconds";
        errors.push(FieldError::invalid(&path.field(period), seconds, why));
    }
    let secrets = "serviceAccountTokenInSecrets";
    if has(spec, secrets) && list(spec, "tokenRequests").is_empty() {
        let why = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.push(FieldError::invalid(&path.field(secrets), spec[secrets].clone(), why));
    }
    errors
}

fn tokens(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let at = path.field("tokenRequests");
    let mut seen: Vec<&str> = Vec::new();
    for (index, request) in list(spec, "tokenRequests").iter().enumerate() {
        let at = at.index(index);
        let audience = text(request, "audience");
        if seen.contains(&audience) {
            errors.push(FieldError::duplicate(&at.field("audience"), audience));
            continue;
        }
        seen.push(audience);
        let Some(seconds) = request["expirationSeconds"].as_i64() else { continue };
        for (wrong, why) in [
            (seconds < LEAST_EXPIRATION, "may not specify a duration less than 10 minutes"),
            (seconds > MOST_EXPIRATION, "may not specify a duration larger than 2^32 seconds"),
        ] {
            if wrong {
                errors.push(FieldError::invalid(&at.field("expirationSeconds"), seconds, why));
            }
        }
    }
}

pub(crate) fn update_driver(driver: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create_driver(driver);
    let (new, old) = (&driver["spec"], &old["spec"]);
    let path = Path::ROOT.field("spec");
    if new["attachRequired"] != old["attachRequired"] {
        let shown = new["attachRequired"].clone();
        errors.push(FieldError::invalid(&path.field("attachedRequired"), shown, IMMUTABLE));
    }
    immutable(&mut errors, new, old, &path, "volumeLifecycleModes");
    errors
}

pub(crate) fn create_node(node: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::ROOT.field("spec");
    let path = spec.field("drivers");
    let drivers = list(&node["spec"], "drivers");
    for (index, driver) in drivers.iter().enumerate() {
        let at = path.index(index);
        let name = text(driver, "name");
        driver_name(&mut errors, name, &at.field("name"));
        let (id_at, id) = (at.field("nodeID"), text(driver, "nodeID"));
        if id.is_empty() {
            errors.push(FieldError::required(&id_at, ""));
        }
        if id.len() > MOST_NODE_ID {
            let why = format!("must be {MOST_NODE_ID} characters or less");
            errors.push(FieldError::invalid(&id_at, id, &why));
        }
        not_negative(&mut errors, &driver["allocatable"], &at.field("allocatable"), "count");
        if drivers[..index].iter().any(|other| text(other, "name") == name) {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        }
        let mut seen: Vec<&str> = Vec::new();
        for (_, key) in texts(driver, "topologyKeys") {
            if key.is_empty() {
                errors.push(FieldError::required(&at, ""));
            }
            if seen.contains(&key) {
                errors.push(FieldError::duplicate(&at, key));
            }
            seen.push(key);
            invalid_names(&mut errors, &at, key, names::qualified_name);
        }
    }
    errors
}

/// What a driver said of a node stays while it is there, but for how many volumes it takes.
pub(crate) fn update_node(node: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create_node(node);
    let spec = Path::ROOT.field("spec");
    for before in list(&old["spec"], "drivers") {
        for driver in list(&node["spec"], "drivers").iter().filter(|new| new["name"] == before["name"]) {
            let [mut new, mut old] = [driver.clone(), before.clone()];
            [&mut new, &mut old].into_iter().for_each(|driver| fill::remove(driver, &["allocatable"]));
            if new != old {
                errors.push(FieldError::invalid(&spec.field("drivers"), new, IMMUTABLE));
            }
        }
    }
    errors
}

pub(crate) fn create_capacity(capacity: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    label_selector(&mut errors, &capacity["nodeTopology"], &Path::ROOT.field("nodeTopology"));
    let path = Path::ROOT.field("storageClassName");
    invalid_names(&mut errors, &path, text(capacity, "storageClassName"), names::dns_subdomain);
    if has(capacity, "capacity") {
        let amount = crate::core::quantity(&capacity["capacity"]);
        if amount.is_negative() {
            let why = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&Path::ROOT.field("capacity"), amount.to_string(), why));
        }
    }
    errors
}

pub(crate) fn update_capacity(capacity: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create_capacity(capacity);
    for field in ["nodeTopology", "storageClassName"] {
        immutable(&mut errors, capacity, old, &Path::ROOT, field);
    }
    errors
}
