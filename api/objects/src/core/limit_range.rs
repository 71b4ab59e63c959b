//! LimitRanges.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::resources;
use crate::check::{entries, invalid_names, list, text};
use crate::{FieldError, Path, Quantity, fill, names};

const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

/// Of a container, what is not said follows from what is.
pub(crate) fn defaults(range: &mut Value) {
    for spec in fill::part(range, "spec") {
        for limit in fill::each(spec, "limits") {
            if limit["type"] != "Container" {
                continue;
            }
            for (to, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
                let found = limit[from].as_object().cloned().unwrap_or_default();
                fill::missing(limit, to, json!({}));
                found.iter().for_each(|(name, amount)| fill::missing(&mut limit[to], name, amount.clone()));
            }
        }
    }
}

pub(crate) fn create(range: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::ROOT.field("spec");
    let path = spec.field("limits");
    let mut seen: Vec<&str> = Vec::new();
    for (index, limit) in list(&range["spec"], "limits").iter().enumerate() {
        let at = path.index(index);
        let of = text(limit, "type");
        let before = errors.len();
        invalid_names(&mut errors, &at.field("type"), of, names::qualified_name);
        let standard = of.contains('/') || ["Pod", "Container", "PersistentVolumeClaim"].contains(&of);
        if errors.len() == before && !standard {
            let why = "must be a standard limit type or fully qualified";
            errors.push(FieldError::invalid(&at.field("type"), of, why));
        }
        if seen.contains(&of) {
            errors.push(FieldError::duplicate(&at.field("type"), of));
        }
        seen.push(of);
        one(&mut errors, limit, &at);
    }
    errors
}

fn one(errors: &mut Vec<FieldError>, limit: &Value, path: &Path) {
    let of = text(limit, "type");
    let mut keys = BTreeSet::new();
    for field in LISTS {
        if field == "maxLimitRequestRatio" && of == "PersistentVolumeClaim" {
            let some = |list: &str| limit[list].get("storage").is_some();
            if !some("min") && !some("max") {
                let why = "either minimum or maximum storage value is required, but neither was provided";
                errors.push(FieldError::required(&path.field("limits"), why));
            }
        }
        let at = path.field(field);
        if of == "Pod" && ["default", "defaultRequest"].contains(&field) {
            if entries(limit, field).next().is_some() {
                let why = "may not be specified when `type` is 'Pod'";
                errors.push(FieldError::forbidden(&at, why));
            }
            continue;
        }
        for (name, _) in entries(limit, field) {
            match of {
                "Pod" | "Container" => resources::container_name(errors, &at.key(name), name),
                _ => resources::name(errors, &at.key(name), name),
            }
            keys.insert(name);
        }
    }
    for key in keys {
        amounts(errors, limit, path, key);
    }
}

/// What a bound is called, and its value.
type Bound<'a> = (&'a str, Option<Quantity>);

/// The bounds of one resource must agree with each other.
fn amounts(errors: &mut Vec<FieldError>, limit: &Value, path: &Path, key: &str) {
    let pod = limit["type"] == "Pod";
    let get = |field: &str| limit[field].get(key).map(resources::quantity);
    let [max, min] = [get("max"), get("min")];
    let [default, request] = ["default", "defaultRequest"].map(|field| get(field).filter(|_| !pod));
    // Where it is told, the value that is shown, the smaller one with its name, and the larger one.
    let orders: [(&str, Option<Quantity>, Bound<'_>, Bound<'_>); 6] = [
        ("min", min, ("min value", min), ("max value", max)),
        ("defaultRequest", request, ("min value", min), ("default request value", request)),
        ("defaultRequest", request, ("default request value", request), ("max value", max)),
        ("defaultRequest", request, ("default request value", request), ("default limit value", default)),
        ("default", min, ("min value", min), ("default value", default)),
        ("default", max, ("default value", default), ("max value", max)),
    ];
    for (field, shown, (less, smaller), (more, larger)) in orders {
        if let (Some(shown), Some(smaller), Some(larger)) = (shown, smaller, larger)
            && smaller > larger
        {
            let why = format!("{less} {smaller} is greater than {more} {larger}");
            errors.push(FieldError::invalid(&path.field(field).key(key), shown.to_string(), &why));
        }
    }
    let at = path.field("maxLimitRequestRatio");
    if let Some(ratio) = get("maxLimitRequestRatio") {
        if ratio < Quantity::from_units(1) {
            let why = format!("ratio {ratio} is less than 1");
            errors.push(FieldError::invalid(&at.key(key), ratio.to_string(), &why));
        }
        if let (Some(min), Some(max)) = (min, max) {
            let bound = max.millis() as f64 / min.millis() as f64;
            if ratio.millis() as f64 / 1000.0 > bound {
                let why = format!("ratio {ratio} is greater than max/min = {bound:.6}");
                errors.push(FieldError::invalid(&at.key(key), ratio.to_string(), &why));
            }
        }
    }
    if let (Some(default), Some(request)) = (default, request)
        && !resources::can_be_overcommitted(key)
        && default != request
    {
        let why = format!("default value {default} must equal to defaultRequest value {request} in {key}");
        errors.push(FieldError::invalid(&path.field("defaultRequest").key(key), request.to_string(), &why));
    }
}
