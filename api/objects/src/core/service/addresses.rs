//! The addresses of a Service, and the families that they are of.

use serde_json::Value;

use crate::address::{Family, ip};
use crate::check::{has, list, one_of, text, texts};
use crate::{FieldError, Path};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];

/// Whether a Service has no address and its name means its backends.
pub(super) fn is_headless(spec: &Value) -> bool {
    matches!(list(spec, "clusterIPs"), [one] if one == "None")
}

/// Refuses addresses that do not go with each other. Who gives them looks at this first.
pub fn check(service: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        return errors;
    }
    let path = Path::ROOT.field("spec");
    let (at, shown) = (path.field("clusterIPs"), &spec["clusterIPs"]);
    let addresses: Vec<&str> = texts(spec, "clusterIPs").map(|(_, address)| address).collect();
    match (text(spec, "clusterIP"), addresses.first()) {
        ("", Some(_)) => {
            let why = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid(&at, shown.clone(), why));
        }
        ("", None) => {}
        (_, None) => errors.push(FieldError::required(&at, "")),
        (one, Some(first)) if one != *first => {
            errors.push(FieldError::invalid(&at, shown.clone(), "first value must match `clusterIP`"));
        }
        _ => {}
    }
    let families_at = path.field("ipFamilies");
    let families: Vec<&str> = texts(spec, "ipFamilies").map(|(_, family)| family).collect();
    for (index, family) in families.iter().enumerate() {
        if !FAMILIES.contains(family) {
            errors.push(FieldError::not_supported(&families_at.index(index), *family, &FAMILIES));
        }
        if families[..index].contains(family) {
            errors.push(FieldError::duplicate(&families_at.index(index), *family));
        }
    }
    one_of(&mut errors, spec, &path, "ipFamilyPolicy", &POLICIES);
    let before: Vec<&str> =
        old.into_iter().flat_map(|old| texts(&old["spec"], "clusterIPs")).map(|(_, text)| text).collect();
    let found = errors.len();
    for (index, address) in addresses.iter().enumerate() {
        if index == 0 && *address == "None" {
            if addresses.len() > 1 {
                let why = "'None' must be the first and only value";
                errors.push(FieldError::invalid(&at, shown.clone(), why));
            }
        } else if !before.contains(address) {
            ip(&mut errors, &at.index(index), address);
        }
    }
    let wrong = errors.len() > found;
    if addresses.len() > 2 {
        errors.push(FieldError::invalid(&at, shown.clone(), "may only hold up to 2 values"));
    }
    // Of what is no address nothing more can be said.
    if wrong {
        return errors;
    }
    if addresses.len() > 1 && !(addresses.len() == 2 && Family::of(addresses[0]) != Family::of(addresses[1]))
    {
        let why = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(&at, shown.clone(), why));
    }
    if !is_headless(spec) {
        for (index, (address, family)) in addresses.iter().zip(&families).enumerate() {
            let is = Family::of(address).map_or("", Family::name);
            if FAMILIES.contains(family) && is != *family {
                let why = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
                errors.push(FieldError::invalid(&at.index(index), *address, &why));
            }
        }
    }
    errors
}

/// Refuses other addresses and families than before: a second one may come and go, the first one stays.
pub(super) fn changed(service: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (new, old) = (&service["spec"], &old["spec"]);
    if [new, old].iter().any(|spec| spec["type"] == "ExternalName") {
        return errors;
    }
    let (headless, before) = (is_headless(new), is_headless(old));
    if headless && before {
        return errors;
    }
    one_list(&mut errors, new, old, "clusterIPs", "clusterIP");
    if !headless && !before {
        one_list(&mut errors, new, old, "ipFamilies", "ipFamily");
    }
    errors
}

fn one_list(errors: &mut Vec<FieldError>, new: &Value, old: &Value, field: &str, one: &str) {
    let spec = Path::ROOT.field("spec");
    let at = spec.field(field);
    let (now, before) = (list(new, field), list(old, field));
    let why = "may not change once set";
    if now.len() == before.len() {
        for (index, _) in now.iter().zip(before).enumerate().filter(|(_, (now, before))| now != before) {
            let index = if field == "clusterIPs" { index } else { 0 };
            errors.push(FieldError::invalid(&at.index(index), new[field].clone(), why));
        }
        return;
    }
    let released = before.len() > now.len();
    // Upstream asks for addresses here, of families too.
    if released && list(new, "clusterIPs").is_empty() {
        let why = format!("primary {one} can not be unset");
        errors.push(FieldError::invalid(&at.index(0), new[field].clone(), &why));
    }
    if let (Some(now), Some(before)) = (now.first(), before.first())
        && now != before
    {
        errors.push(FieldError::invalid(&at.index(0), new["clusterIPs"].clone(), why));
    }
    if released && now.len() == 1 && text(new, "ipFamilyPolicy") != "SingleStack" {
        let why = format!("must be set to 'SingleStack' when releasing the secondary {one}");
        let shown = if has(new, "ipFamilyPolicy") { new["ipFamilyPolicy"].clone() } else { Value::Null };
        errors.push(FieldError::invalid(&spec.field("ipFamilyPolicy"), shown, &why));
    }
}
