//! VolumeAttachments.

use serde_json::Value;

use crate::check::{entries, has, immutable, invalid_names, text};
use crate::core::{driver_name, volume};
use crate::{FieldError, Path, names};

const MOST_METADATA: usize = 256 << 10;
const MOST_MESSAGE: usize = 1024;

pub(crate) fn create(attachment: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &attachment["spec"]);
    driver_name(&mut errors, text(spec, "attacher"), &path.field("attacher"));
    let at = path.field("source");
    let source = &spec["source"];
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let named = has(source, "persistentVolumeName");
    match (has(source, "inlineVolumeSpec"), named) {
        (false, false) => errors.push(FieldError::required(&at, one)),
        (true, true) => errors.push(FieldError::forbidden(&at, one)),
        (false, true) => {
            if text(source, "persistentVolumeName").is_empty() {
                let why = "must specify non empty persistentVolumeName";
                errors.push(FieldError::required(&at.field("persistentVolumeName"), why));
            }
        }
        (true, false) => {
            let at = at.field("inlineVolumeSpec");
            volume::spec(&mut errors, &source["inlineVolumeSpec"], &at, "", true);
        }
    }
    invalid_names(&mut errors, &path.field("nodeName"), text(spec, "nodeName"), names::dns_subdomain);
    state(&mut errors, &attachment["status"]);
    if named {
        let name = text(source, "persistentVolumeName");
        invalid_names(&mut errors, &at.field("persistentVolumeName"), name, names::dns_subdomain);
    }
    errors
}

fn state(errors: &mut Vec<FieldError>, status: &Value) {
    let path = Path::ROOT.field("status");
    let bytes = |(key, value): (&str, &Value)| key.len() + value.as_str().unwrap_or_default().len();
    if entries(status, "attachmentMetadata").map(bytes).sum::<usize>() > MOST_METADATA {
        errors.push(FieldError::too_long(&path.field("attachmentMetadata"), MOST_METADATA));
    }
    for field in ["attachError", "detachError"] {
        let (error, at) = (&status[field], path.field(field));
        if text(error, "message").len() > MOST_MESSAGE {
            // Upstream names the bound of the metadata.
            errors.push(FieldError::too_long(&at.field("message"), MOST_METADATA));
        }
        if let Some(code) = error["errorCode"].as_i64().filter(|code| *code < 0) {
            let why = format!("must be between 0 and {}, inclusive", i32::MAX);
            errors.push(FieldError::invalid(&at.field("errorCode"), code, &why));
        }
    }
}

pub(crate) fn update(attachment: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(attachment);
    immutable(&mut errors, attachment, old, &Path::ROOT, "spec");
    errors
}
