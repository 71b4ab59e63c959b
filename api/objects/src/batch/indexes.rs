//! Indexes of an indexed Job, written as intervals: `1,3-5,7`.

use serde_json::Value;

use crate::check::{has, list, not_negative};
use crate::{FieldError, Path};

const MAX_RULES: usize = 20;
const MAX_TEXT: usize = 64 << 10;

/// Checks when a Job has done enough.
pub(super) fn success_policy(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let rules_at = path.field("rules");
    let rules = list(&spec["successPolicy"], "rules");
    if rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&rules_at, why));
    }
    if rules.len() > MAX_RULES {
        errors.push(FieldError::too_many(&rules_at, rules.len(), MAX_RULES));
    }
    let completions = spec["completions"].as_i64().unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        success_rule(errors, rule, &rules_at.index(index), completions);
    }
}

fn success_rule(errors: &mut Vec<FieldError>, rule: &Value, path: &Path, completions: i64) {
    if !has(rule, "succeededCount") && !has(rule, "succeededIndexes") {
        let why = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, why));
    }
    let mut total = None;
    if let Some(indexes) = rule["succeededIndexes"].as_str() {
        let at = path.field("succeededIndexes");
        if indexes.len() > MAX_TEXT {
            errors.push(FieldError::too_long(&at, MAX_TEXT));
        }
        total = Some(0);
        match parse(indexes, completions) {
            Ok(intervals) => total = Some(intervals.iter().map(|(first, last)| last - first + 1).sum()),
            Err(why) => {
                let why = format!("error parsing succeededIndexes: {why}");
                errors.push(FieldError::invalid(&at, indexes, &why));
            }
        }
    }
    let Some(count) = rule["succeededCount"].as_i64() else { return };
    let at = path.field("succeededCount");
    not_negative(errors, rule, path, "succeededCount");
    let limits = [
        (Some(completions), "(the number of specified completions)"),
        (total, "(the number of indexes in the specified succeededIndexes field)"),
    ];
    for (most, what) in limits {
        if let Some(most) = most.filter(|most| count > *most) {
            let why = format!("must be less than or equal to {most} {what}");
            errors.push(FieldError::invalid(&at, count, &why));
        }
    }
}

/// Reads intervals of indexes below `completions`, each behind the one before.
pub(super) fn parse(text: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut intervals: Vec<(i64, i64)> = Vec::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = interval(part, completions)?;
        if let Some((_, before)) = intervals.last().filter(|(_, before)| *before >= first) {
            return Err(format!("non-increasing order, previous: {before}, current: {first}"));
        }
        intervals.push((first, last));
    }
    Ok(intervals)
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let parts: Vec<&str> = text.split('-').collect();
    if parts.len() > 2 {
        return Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        ));
    }
    let number = |text: &str| {
        let number = text.parse::<i64>();
        let number = number.map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if number < completions { Ok(number) } else { Err(format!("too large index: {text:?}")) }
    };
    let first = number(parts[0])?;
    let Some(last) = parts.get(1) else { return Ok((first, first)) };
    let last = number(last)?;
    if first >= last {
        return Err(format!("non-increasing order, previous: {first}, current: {last}"));
    }
    Ok((first, last))
}

/// The first index that both have, as far as they can be read.
pub(super) fn overlap(a: &str, b: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (a, b) = (read(a), read(b));
    let both = a.iter().flat_map(|x| b.iter().map(move |y| (x.0.max(y.0), x.1.min(y.1))));
    both.filter(|(first, last)| first <= last).map(|(first, _)| first).min()
}
