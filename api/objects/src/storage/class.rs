//! StorageClasses and VolumeAttributesClasses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::check::{entries, immutable, invalid_names, list, one_of, text, texts};
use crate::{FieldError, Path, fill, names};

const MOST_PARAMETERS: usize = 512;
const MOST_BYTES: usize = 256 << 10;

pub(crate) fn defaults(class: &mut Value) {
    fill::missing(class, "reclaimPolicy", "Delete");
    fill::missing(class, "volumeBindingMode", "Immediate");
}

pub(crate) fn create(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    driver(&mut errors, class, "provisioner");
    parameters(&mut errors, class, false);
    if !text(class, "reclaimPolicy").is_empty() {
        one_of(&mut errors, class, &Path::ROOT, "reclaimPolicy", &["Delete", "Retain"]);
    }
    match class["volumeBindingMode"].as_str() {
        None => errors.push(FieldError::required(&Path::ROOT.field("volumeBindingMode"), "")),
        Some(_) => {
            let modes = ["Immediate", "WaitForFirstConsumer"];
            one_of(&mut errors, class, &Path::ROOT, "volumeBindingMode", &modes);
        }
    }
    topologies(&mut errors, class);
    errors
}

fn driver(errors: &mut Vec<FieldError>, class: &Value, field: &str) {
    let path = Path::ROOT.field(field);
    match text(class, field) {
        "" => errors.push(FieldError::required(&path, "")),
        // Letters of either case will do.
        name => invalid_names(errors, &path, &name.to_lowercase(), names::qualified_name),
    }
}

fn parameters(errors: &mut Vec<FieldError>, class: &Value, some: bool) {
    let path = Path::ROOT.field("parameters");
    let found: Vec<_> = entries(class, "parameters").collect();
    if found.len() > MOST_PARAMETERS {
        errors.push(FieldError::too_long(&path, MOST_PARAMETERS));
        return;
    }
    for (key, _) in found.iter().filter(|(key, _)| key.is_empty()) {
        errors.push(FieldError::invalid(&path, *key, "field can not be empty."));
    }
    let bytes = |(key, value): &(&str, &Value)| key.len() + value.as_str().unwrap_or_default().len();
    if found.iter().map(bytes).sum::<usize>() > MOST_BYTES {
        errors.push(FieldError::too_long(&path, MOST_BYTES));
    }
    if some && found.is_empty() {
        errors.push(FieldError::required(&path, "must contain at least one key/value pair"));
    }
}

fn topologies(errors: &mut Vec<FieldError>, class: &Value) {
    let path = Path::ROOT.field("allowedTopologies");
    let terms = list(class, "allowedTopologies");
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = Vec::new();
    for (index, term) in terms.iter().enumerate() {
        let at = path.index(index);
        let at = at.field("matchLabelExpressions");
        let mut asked = BTreeMap::new();
        for (index, found) in list(term, "matchLabelExpressions").iter().enumerate() {
            let at = at.index(index);
            let values_at = at.field("values");
            if list(found, "values").is_empty() {
                errors.push(FieldError::required(&values_at, ""));
            }
            let mut values = BTreeSet::new();
            for (index, value) in texts(found, "values") {
                if !values.insert(value) {
                    errors.push(FieldError::duplicate(&values_at.index(index), value));
                }
            }
            let key = text(found, "key");
            invalid_names(errors, &at.field("key"), key, names::qualified_name);
            if asked.insert(key, values).is_some() {
                errors.push(FieldError::duplicate(&at.field("key"), key));
            }
        }
        // Upstream compares with as many empty terms as there are terms, and with those before.
        let empty = if asked.is_empty() { terms.len() } else { 0 };
        let twice = empty + seen.iter().filter(|other| **other == asked).count();
        errors.extend((0..twice).map(|_| FieldError::duplicate(&at, "")));
        seen.push(asked);
    }
}

pub(crate) fn update(class: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(class);
    for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        immutable(&mut errors, class, old, &Path::ROOT, field);
    }
    errors
}

pub(crate) fn create_attributes(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    driver(&mut errors, class, "driverName");
    parameters(&mut errors, class, true);
    errors
}

pub(crate) fn update_attributes(class: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["driverName", "parameters"] {
        if class[field] != old[field] {
            let why = format!("updates to {field} are forbidden.");
            errors.push(FieldError::forbidden(&Path::ROOT.field(field), &why));
        }
    }
    errors.extend(create_attributes(class));
    errors
}
