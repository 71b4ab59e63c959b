//! What is refused in the status of a Job. Most rules ask only what changes, so that a status of old times can be told
//! again.

use serde_json::Value;

use super::failure::omitted;
use super::{holds, indexes, is, is_indexed};
use crate::check::{IMMUTABLE, has, list, not_negative, text};
use crate::pod::same;
use crate::{FieldError, Path, time};

/// What a status breaks that replaces that of `old`.
pub(super) fn check(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (status, path) = (&new["status"], Path::ROOT.field("status"));
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        not_negative(&mut errors, status, &path, field);
    }
    uncounted(&mut errors, status, &path.field("uncountedTerminatedPods"));
    conditions(&mut errors, new, old, &path);
    finished(&mut errors, new, old, &path);
    indexes_of(&mut errors, new, old, &path);
    only_forward(&mut errors, new, old, &path);
    errors
}

fn changed(new: &Value, old: &Value, fields: &[&str]) -> bool {
    fields.iter().any(|field| !same(&new["status"][field], &old["status"][field]))
}

fn turned(new: &Value, old: &Value, conditions: &[&str]) -> bool {
    conditions.iter().any(|condition| holds(new, condition) != holds(old, condition))
}

fn is_finished(job: &Value) -> bool {
    holds(job, "Complete") || holds(job, "Failed")
}

fn uncounted(errors: &mut Vec<FieldError>, status: &Value, path: &Path) {
    let mut seen: Vec<&str> = Vec::new();
    for field in ["succeeded", "failed"] {
        let at = path.field(field);
        for (index, uid) in list(&status["uncountedTerminatedPods"], field).iter().enumerate() {
            let uid = uid.as_str().unwrap_or_default();
            if uid.is_empty() {
                errors.push(FieldError::invalid(&at.index(index), uid, "must not be empty"));
            } else if seen.contains(&uid) {
                errors.push(FieldError::duplicate(&at.index(index), uid));
            }
            seen.push(uid);
        }
    }
}

/// A Job is complete or failed, and has had reason to be so.
fn conditions(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let at = path.field("conditions");
    let (complete, failed) = (holds(new, "Complete"), holds(new, "Failed"));
    let (success, failure) = (holds(new, "SuccessCriteriaMet"), holds(new, "FailureTarget"));
    let told = [
        (
            complete && failed && turned(new, old, &["Complete", "Failed"]),
            "cannot set Complete=True and Failed=true conditions",
        ),
        (
            complete && failure && turned(new, old, &["Complete", "FailureTarget"]),
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            failed && !failure && (turned(new, old, &["Failed"]) || changed(new, old, &["failedIndexes"])),
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            complete && !success && turned(new, old, &["Complete", "SuccessCriteriaMet"]),
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (success && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (success && failure, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        (
            has(&new["spec"], "successPolicy") && complete && !success,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
    ];
    errors.extend(told.iter().filter(|(wrong, _)| *wrong).map(|(_, why)| omitted(&at, why)));
}

/// What is finished began and ended, and has no pods any more.
fn finished(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let status = &new["status"];
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let (done, complete) = (is_finished(new), holds(new, "Complete"));
    let became = done != is_finished(old);
    let ended = turned(new, old, &["Complete"]) || changed(new, old, &["completionTime"]);
    let completion = path.field("completionTime");
    if ended && has(status, "completionTime") && !complete {
        let why = "cannot set completionTime when there is no Complete=True condition";
        errors.push(FieldError::invalid(&completion, status["completionTime"].clone(), why));
    }
    if ended && !has(status, "completionTime") && complete {
        errors.push(FieldError::required(&completion, "completionTime is required for Complete jobs"));
    }
    let at = |field: &str| status[field].as_str().and_then(time::parse);
    if changed(new, old, &["startTime", "completionTime"])
        && at("completionTime").zip(at("startTime")).is_some_and(|(end, start)| end < start)
    {
        let why = "must be equal to or after `startTime`";
        errors.push(FieldError::invalid(&completion, status["completionTime"].clone(), why));
    }
    if done && (became || changed(new, old, &["active"])) && number("active") > 0 {
        let why = "active>0 is invalid for finished job";
        errors.push(FieldError::invalid(&path.field("active"), number("active"), why));
    }
    let nothing = new["spec"]["suspend"] == true && new["spec"]["completions"] == 0;
    if done && (became || changed(new, old, &["startTime"])) && !nothing && !has(status, "startTime") {
        errors.push(FieldError::required(&path.field("startTime"), "startTime is required for finished job"));
    }
    let uncounted = &status["uncountedTerminatedPods"];
    let some = ["succeeded", "failed"].iter().any(|field| !list(uncounted, field).is_empty());
    if done && (became || changed(new, old, &["uncountedTerminatedPods"])) && some {
        let why = "must be empty for finished job";
        errors.push(FieldError::invalid(&path.field("uncountedTerminatedPods"), uncounted.clone(), why));
    }
    if done && (became || changed(new, old, &["terminating"])) && number("terminating") > 0 {
        let why = "terminating>0 is invalid for finished job";
        errors.push(FieldError::invalid(&path.field("terminating"), number("terminating"), why));
    }
    if changed(new, old, &["ready", "active"]) && number("ready") > number("active") {
        let why = "cannot set more ready pods than active";
        errors.push(FieldError::invalid(&path.field("ready"), number("ready"), why));
    }
}

/// Indexes are those of the Job, and each is completed or failed.
fn indexes_of(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let (spec, status) = (&new["spec"], &new["status"]);
    let (completed, failed) = (text(status, "completedIndexes"), status["failedIndexes"].as_str());
    let new_completed = changed(new, old, &["completedIndexes"]);
    let new_failed = changed(new, old, &["failedIndexes"]);
    let (completed_at, failed_at) = (path.field("completedIndexes"), path.field("failedIndexes"));
    let completions = spec["completions"].as_i64();
    let limited = has(spec, "backoffLimitPerIndex");
    if let Some(Err(why)) = completions.filter(|_| new_completed).map(|most| indexes::parse(completed, most))
    {
        let why = format!("error parsing completedIndexes: {why}");
        errors.push(FieldError::invalid(&completed_at, completed, &why));
    }
    if let (Some(most), Some(failed)) = (completions, failed.filter(|_| new_failed && limited))
        && let Err(why) = indexes::parse(failed, most)
    {
        let why = format!("error parsing failedIndexes: {why}");
        errors.push(FieldError::invalid(&failed_at, failed, &why));
    }
    if new_completed && !completed.is_empty() && !is_indexed(spec) {
        let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid(&completed_at, completed, why));
    }
    let Some(failed) = failed else { return };
    if new_failed && !limited {
        let why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(&failed_at, failed, why));
    }
    if (new_failed || new_completed)
        && let Some(index) = completions.and_then(|most| indexes::overlap(completed, failed, most))
    {
        let why = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(FieldError::invalid(&failed_at, failed, &why));
    }
}

/// What was told once is not taken back.
fn only_forward(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let (status, before, spec) = (&new["status"], &old["status"], &new["spec"]);
    let at = path.field("conditions");
    for condition in ["Failed", "Complete", "FailureTarget"] {
        if holds(old, condition) && !holds(new, condition) {
            errors.push(omitted(&at, &format!("cannot disable the terminal {condition}=True condition")));
        }
    }
    let number = |status: &Value, field: &str| status[field].as_i64().unwrap_or(0);
    // An indexed Job that is given fewer indexes loses those beyond.
    let elastic = is_indexed(spec) && spec["completions"] == spec["parallelism"];
    for (field, counts) in [("failed", true), ("succeeded", !elastic)] {
        if counts && number(status, field) < number(before, field) {
            let why = format!("cannot decrease the {field} counter");
            errors.push(FieldError::invalid(&path.field(field), number(status, field), &why));
        }
    }
    let both = has(status, "completionTime") && has(before, "completionTime");
    if both && status["completionTime"] != before["completionTime"] {
        let value = status["completionTime"].clone();
        errors.push(FieldError::invalid(&path.field("completionTime"), value, IMMUTABLE));
    }
    let resumes = is(old, "Suspended", "True") && is(new, "Suspended", "False");
    let moved = has(before, "startTime") && !same(&status["startTime"], &before["startTime"]);
    if moved && !resumes && spec["suspend"] != true {
        let why = "field is immutable for unsuspended job once set";
        errors.push(FieldError::invalid(&path.field("startTime"), status["startTime"].clone(), why));
    }
    let (met, was_met) = (holds(new, "SuccessCriteriaMet"), holds(old, "SuccessCriteriaMet"));
    if was_met && !met {
        errors.push(omitted(&at, "cannot disable the SuccessCriteriaMet=True condition"));
    }
    if holds(old, "Complete") && !was_met && met {
        let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(omitted(&at, why));
    }
}
