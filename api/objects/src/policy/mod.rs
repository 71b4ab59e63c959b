//! PodDisruptionBudget.

#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::apps::{int_or_percent, not_more_than_all};
use crate::check::{has, invalid_names, label_selector, list, not_negative, one_of, required, text};
use crate::rules::Rules;
use crate::{FieldError, Path, names};

pub(crate) const RULES: Rules =
    Rules { create, update: |new, _| create(new), status: |new, _| status(new), ..Rules::NONE };

fn create(budget: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&budget["spec"], Path::ROOT.field("spec"));
    let sides = ["minAvailable", "maxUnavailable"];
    if sides.iter().all(|field| has(spec, field)) {
        let why = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(&path, spec.clone(), why));
    }
    for field in sides.iter().filter(|field| has(spec, field)) {
        int_or_percent(&mut errors, &spec[*field], &path.field(field));
        not_more_than_all(&mut errors, &spec[*field], &path.field(field));
    }
    label_selector(&mut errors, &spec["selector"], &path.field("selector"));
    one_of(&mut errors, spec, &path, "unhealthyPodEvictionPolicy", &["AlwaysAllow", "IfHealthyBudget"]);
    errors
}

fn status(budget: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (status, path) = (&budget["status"], Path::ROOT.field("status"));
    conditions(&mut errors, status, &path.field("conditions"));
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        not_negative(&mut errors, status, &path, field);
    }
    errors
}

const MAX_REASON: usize = 1 << 10;
const MAX_MESSAGE: usize = 32 << 10;
const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
    alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or \
    'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
    '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// Checks conditions of the form that newer kinds share.
fn conditions(errors: &mut Vec<FieldError>, status: &Value, path: &Path) {
    let all = list(status, "conditions");
    for (index, condition) in all.iter().enumerate() {
        let at = path.index(index);
        let kind = text(condition, "type");
        if all[..index].iter().any(|other| text(other, "type") == kind) {
            errors.push(FieldError::duplicate(&at.field("type"), kind));
        }
        invalid_names(errors, &at.field("type"), kind, names::qualified_name);
        let states = ["False", "True", "Unknown"];
        let state = text(condition, "status");
        if !states.contains(&state) {
            errors.push(FieldError::not_supported(&at.field("status"), state, &states));
        }
        if let Some(number) = condition["observedGeneration"].as_i64().filter(|number| *number < 0) {
            let why = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(&at.field("observedGeneration"), number, why));
        }
        required(errors, condition, &at, "lastTransitionTime", "");
        required(errors, condition, &at, "reason", "");
        let reason = text(condition, "reason");
        if !reason.is_empty() && !is_reason(reason) {
            errors.push(FieldError::invalid(&at.field("reason"), reason, REASON));
        }
        for (field, most) in [("reason", MAX_REASON), ("message", MAX_MESSAGE)] {
            if text(condition, field).len() > most {
                errors.push(FieldError::too_long(&at.field(field), most));
            }
        }
    }
}

fn is_reason(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(|byte| word(byte) || matches!(byte, b',' | b':'))
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && text.bytes().last().is_some_and(word)
}
