//! ServiceCIDRs and IPAddresses: from where Services have their addresses, and whose each one is.

use serde_json::Value;

use crate::address::{Family, canonical_cidr};
use crate::check::{IMMUTABLE, has, immutable, invalid_names, list, text, texts};
use crate::{FieldError, Path, names};

pub(crate) fn create_range(range: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::ROOT.field("spec");
    let path = spec.field("cidrs");
    let blocks: Vec<&str> = texts(&range["spec"], "cidrs").map(|(_, block)| block).collect();
    if blocks.is_empty() {
        return vec![FieldError::required(&path, "at least one CIDR required")];
    }
    if blocks.len() > 2 {
        return vec![FieldError::invalid(&path, range["spec"].clone(), "may only hold up to 2 values")];
    }
    for (index, block) in blocks.iter().enumerate() {
        canonical_cidr(&mut errors, &path.index(index), block);
    }
    let family = Family::of(blocks[0]);
    if blocks.len() == 2 && family.is_some() && family == Family::of(blocks[1]) {
        let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(&path, range["spec"]["cidrs"].clone(), why));
    }
    errors
}

/// A second block may come, and nothing else changes.
pub(crate) fn update_range(range: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::ROOT.field("spec");
    let path = spec.field("cidrs");
    let (new, old) = (list(&range["spec"], "cidrs"), list(&old["spec"], "cidrs"));
    let grown = old.len() == 1 && new.len() == 2;
    if old.len() != new.len() && !grown {
        return vec![FieldError::invalid(&path, new, IMMUTABLE)];
    }
    for (index, (block, _)) in new.iter().zip(old).enumerate().filter(|(_, (new, old))| new != old) {
        errors.push(FieldError::invalid(&path.index(index), block.clone(), IMMUTABLE));
    }
    if grown {
        errors.extend(create_range(range));
    }
    errors
}

pub(crate) fn create_address(address: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::ROOT.field("spec");
    let path = spec.field("parentRef");
    if !has(&address["spec"], "parentRef") {
        return vec![FieldError::required(&path, "")];
    }
    let parent = &address["spec"]["parentRef"];
    let group = text(parent, "group");
    if !group.is_empty() {
        invalid_names(&mut errors, &path.field("group"), group, names::dns_subdomain);
    }
    for field in ["resource", "name"] {
        if text(parent, field).is_empty() {
            errors.push(FieldError::required(&path.field(field), ""));
        }
    }
    for field in ["resource", "name", "namespace"] {
        invalid_names(&mut errors, &path.field(field), text(parent, field), names::path_segment);
    }
    errors
}

pub(crate) fn update_address(address: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create_address(address);
    let path = Path::ROOT.field("spec");
    immutable(&mut errors, &address["spec"], &old["spec"], &path, "parentRef");
    errors
}
