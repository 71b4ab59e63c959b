//! The claims of storage that pods and StatefulSets carry templates of.

use serde_json::{Map, Value, json};

use super::defaults::{absent, quantities};
use crate::check::labels;
use crate::core::claim;
use crate::{FieldError, Path};

/// Fills in the specification of a claim.
pub(crate) fn defaults(spec: &mut Map<String, Value>) {
    absent(spec, "volumeMode", || json!("Filesystem"));
    if let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) {
        quantities(resources, "limits");
        quantities(resources, "requests");
    }
}

/// Checks a template of a claim: of metadata it has labels and annotations only.
pub(super) fn check_template(errors: &mut Vec<FieldError>, template: &Value, path: &Path) {
    let (meta, at) = (&template["metadata"], path.field("metadata"));
    super::annotations::form(errors, meta, &at.field("annotations"));
    labels(errors, &meta["labels"], &at.field("labels"));
    for (field, _) in meta.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        if !["labels", "annotations"].contains(&field.as_str()) {
            errors.push(FieldError::forbidden(&at.field(field), "cannot be set"));
        }
    }
    claim::spec(errors, &template["spec"], &path.field("spec"));
}
