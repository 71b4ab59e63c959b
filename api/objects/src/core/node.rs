//! Nodes.

use serde_json::Value;

use super::resources;
use crate::address::{Family, cidr};
use crate::check::{entries, invalid_names, list, text, texts};
use crate::{FieldError, Path, fill, names};

/// What can be used of a node is what it has, where it does not say.
pub(crate) fn defaults(node: &mut Value) {
    // A single block of addresses stands in two fields.
    for spec in fill::part(node, "spec") {
        let (one, many) = (text(spec, "podCIDR").to_owned(), list(spec, "podCIDRs").to_vec());
        match (one.is_empty(), many.first()) {
            (false, first) if first.is_none_or(|first| *first != one.as_str()) => {
                spec["podCIDRs"] = Value::from(vec![one]);
            }
            (true, Some(first)) => spec["podCIDR"] = first.clone(),
            _ => {}
        }
    }
    for status in fill::part(node, "status") {
        if let Some(capacity) = status.get("capacity").cloned().filter(Value::is_object) {
            fill::missing(status, "allocatable", capacity);
        }
    }
}

pub(crate) fn create(node: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    taints(&mut errors, node);
    has_resources(&mut errors, node);
    let spec = Path::ROOT.field("spec");
    let path = spec.field("podCIDRs");
    let blocks: Vec<&str> = texts(&node["spec"], "podCIDRs").map(|(_, block)| block).collect();
    for (index, block) in blocks.iter().enumerate() {
        cidr(&mut errors, &path.index(index), block);
    }
    let dual = blocks.len() == 2 && Family::of(blocks[0]) != Family::of(blocks[1]);
    if blocks.len() > 1 && !dual {
        let why = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(&path, node["spec"]["podCIDRs"].clone(), why));
    }
    errors
}

fn taints(errors: &mut Vec<FieldError>, node: &Value) {
    // Upstream has them in the metadata.
    let meta = Path::ROOT.field("metadata");
    let path = meta.field("taints");
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, taint) in list(&node["spec"], "taints").iter().enumerate() {
        let at = path.index(index);
        let (key, effect) = (text(taint, "key"), text(taint, "effect"));
        invalid_names(errors, &at.field("key"), key, names::qualified_name);
        let wrong = names::label_value(text(taint, "value"));
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(&at.field("value"), text(taint, "value"), &wrong.join(";")));
        }
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        match effect {
            "" => errors.push(FieldError::required(&at.field("effect"), "")),
            other if !effects.contains(&other) => {
                errors.push(FieldError::not_supported(&at.field("effect"), other, &effects));
            }
            _ => {}
        }
        if seen.contains(&(key, effect)) {
            let mut error = FieldError::duplicate(&at, taint.clone());
            error.message.push_str(": taints must be unique by key and effect pair");
            errors.push(error);
        }
        seen.push((key, effect));
    }
}

fn has_resources(errors: &mut Vec<FieldError>, node: &Value) {
    let status = Path::ROOT.field("status");
    for field in ["capacity", "allocatable"] {
        let at = status.field(field);
        for (name, amount) in entries(&node["status"], field) {
            resources::amount(errors, &at.field(name), name, amount);
        }
    }
}

/// An update of the node or of its status.
pub(crate) fn status(node: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    has_resources(&mut errors, node);
    let status = Path::ROOT.field("status");
    let addresses = list(&node["status"], "addresses");
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            errors.push(FieldError::duplicate(&status.field("addresses").index(index), address.clone()));
        }
    }
    let spec = Path::ROOT.field("spec");
    let (new, old) = (&node["spec"], &old["spec"]);
    let (blocks, before) = (list(new, "podCIDRs"), list(old, "podCIDRs"));
    if !before.is_empty() {
        let why = "node updates may not change podCIDR except from \"\" to valid";
        let changed = before.iter().zip(blocks).filter(|(old, new)| old != new).count();
        let count = if before.len() == blocks.len() { changed } else { 1 };
        errors.extend((0..count).map(|_| FieldError::forbidden(&spec.field("podCIDRs"), why)));
    }
    let before = text(old, "providerID");
    if !before.is_empty() && before != text(new, "providerID") {
        let why = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.field("providerID"), why));
    }
    taints(&mut errors, node);
    if text(new, "externalID") != text(old, "externalID") {
        errors.push(FieldError::forbidden(&spec.field("externalID"), "may not be updated"));
    }
    errors
}

pub(crate) fn update(node: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(node);
    errors.extend(status(node, old));
    errors
}
