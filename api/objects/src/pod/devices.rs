//! Claims of devices: those of a pod, and which of them a container uses.

use serde_json::Value;

use super::{Meta, annotations};
use crate::check::{has, invalid_names, list, text};
use crate::{FieldError, Path, names};

/// Checks the claims of a pod.
pub(super) fn claims(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, meta: Meta<'_>) {
    let claims = path.field("resourceClaims");
    let mut seen: Vec<&str> = Vec::new();
    for (index, claim) in list(spec, "resourceClaims").iter().enumerate() {
        if meta.is_some_and(|meta| has(&meta["annotations"], annotations::MIRROR)) {
            let why = "static pods do not support resource claims";
            errors.push(FieldError::forbidden(&Path::ROOT, why));
            continue;
        }
        let at = claims.index(index);
        match text(claim, "name") {
            "" => errors.push(FieldError::required(&at.field("name"), "")),
            name if seen.contains(&name) => errors.push(FieldError::duplicate(&at.field("name"), name)),
            name => {
                invalid_names(errors, &at.field("name"), name, names::dns_label);
                seen.push(name);
            }
        }
        let from = ["resourceClaimName", "resourceClaimTemplateName"];
        let why = match from.iter().filter(|field| has(claim, field)).count() {
            0 => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            1 => "",
            _ => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        };
        if !why.is_empty() {
            errors.push(FieldError::invalid(&at, claim.clone(), why));
        }
        for field in from {
            if let Some(name) = claim[field].as_str() {
                invalid_names(errors, &at.field(field), name, names::dns_subdomain);
            }
        }
    }
}

/// Checks which claims of the pod, and which requests in them, a container uses.
pub(super) fn uses(errors: &mut Vec<FieldError>, resources: &Value, path: &Path, known: &[&str]) {
    let claims = path.field("claims");
    let mut seen: Vec<String> = Vec::new();
    for (index, claim) in list(resources, "claims").iter().enumerate() {
        let at = claims.index(index);
        let (name, request) = (text(claim, "name"), text(claim, "request"));
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        if seen.iter().any(|key| key == name) {
            errors.push(FieldError::duplicate(&at, name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                invalid_names(errors, &at.field("request"), request, names::dns_label);
                key = format!("{name}/{request}");
            }
            let part_of = |key: &String| key.split_once('/').is_some_and(|(claim, _)| claim == name);
            if seen.contains(&key) {
                errors.push(FieldError::duplicate(&at, key.as_str()));
            } else if request.is_empty() {
                // The whole claim, of which a part is used already.
                errors
                    .extend(seen.iter().filter(|key| part_of(key)).map(|_| FieldError::duplicate(&at, name)));
            }
            seen.push(key);
        }
        if !known.contains(&name) {
            let mut known: Vec<&str> = known.iter().copied().filter(|name| !name.is_empty()).collect();
            known.sort_unstable();
            known.dedup();
            let which = if known.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", known.join(", "))
            };
            let mut error = FieldError::not_found(&at, name);
            error.message += &format!(": must be one of the names in pod.spec.resourceClaims{which}");
            errors.push(error);
        }
    }
}
