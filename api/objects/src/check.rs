//! Small checks and looks that the rules of many kinds share.

use serde_json::Value;

pub use crate::address::ip;
use crate::{FieldError, Path, names};

/// The text of a field, empty when there is none.
pub fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap_or_default()
}

/// The elements of a list, none when there is no list.
pub fn list<'v>(object: &'v Value, field: &str) -> &'v [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

/// The entries of a map, none when there is no map.
pub fn entries<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = (&'v str, &'v Value)> {
    object[field].as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Whether a field is there and not null.
pub fn has(object: &Value, field: &str) -> bool {
    object.get(field).is_some_and(|value| !value.is_null())
}
/// Refuses a name once for each sentence that its form has against it.
pub fn invalid_names(
    errors: &mut Vec<FieldError>,
    path: &Path,
    name: &str,
    form: impl Fn(&str) -> Vec<String>,
) {
    errors.extend(form(name).into_iter().map(|why| FieldError::invalid(path, name, &why)));
}

/// Refuses a text field that is set and none of `allowed`.
pub fn one_of(errors: &mut Vec<FieldError>, object: &Value, path: &Path, field: &str, allowed: &[&str]) {
    if let Some(value) = object[field].as_str()
        && !allowed.contains(&value)
    {
        errors.push(FieldError::not_supported(&path.field(field), value, allowed));
    }
}

/// Refuses a number outside its bounds.
pub fn within(errors: &mut Vec<FieldError>, path: &Path, value: i64, least: i64, most: i64) {
    if !(least..=most).contains(&value) {
        errors.push(FieldError::invalid(
            path,
            value,
            &format!("must be between {least} and {most}, inclusive"),
        ));
    }
}

/// Refuses a negative number.
pub fn not_negative(errors: &mut Vec<FieldError>, object: &Value, path: &Path, field: &str) {
    if let Some(value) = object[field].as_i64().filter(|value| *value < 0) {
        errors.push(FieldError::invalid(&path.field(field), value, "must be greater than or equal to 0"));
    }
}

/// Refuses a path with a step up.
pub fn no_backsteps(errors: &mut Vec<FieldError>, path: &Path, value: &str) {
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
}

/// Refuses a path that leads out of where it begins.
pub fn relative(errors: &mut Vec<FieldError>, path: &Path, value: &str) {
    if value.starts_with('/') {
        errors.push(FieldError::invalid(path, value, "must be a relative path"));
    }
    no_backsteps(errors, path, value);
}

/// The texts of a list.
pub fn texts<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = (usize, &'v str)> {
    list(object, field).iter().enumerate().map(|(index, value)| (index, value.as_str().unwrap_or_default()))
}

/// Refuses a text that must be there and is not.
pub fn required(errors: &mut Vec<FieldError>, object: &Value, path: &Path, field: &str, why: &str) {
    if text(object, field).is_empty() {
        errors.push(FieldError::required(&path.field(field), why));
    }
}

/// Refuses a text that is not there or none of `allowed`.
pub fn required_one_of(
    errors: &mut Vec<FieldError>,
    object: &Value,
    path: &Path,
    field: &str,
    allowed: &[&str],
) {
    required(errors, object, path, field, "");
    if !text(object, field).is_empty() {
        one_of(errors, object, path, field, allowed);
    }
}

/// Refuses another value in a field than before. What is not there is the same as null.
pub fn immutable(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path, field: &str) {
    if new[field] != old[field] {
        errors.push(FieldError::invalid(&path.field(field), new[field].clone(), IMMUTABLE));
    }
}

/// The sentence for what cannot change.
pub const IMMUTABLE: &str = "field is immutable";

/// Refuses labels of a wrong form.
pub fn labels(errors: &mut Vec<FieldError>, labels: &Value, path: &Path) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        invalid_names(errors, path, key, names::qualified_name);
        invalid_names(errors, path, value.as_str().unwrap_or_default(), names::label_value);
    }
}

/// Refuses what is wrong with a selector of `matchLabels` and `matchExpressions`.
pub fn label_selector(errors: &mut Vec<FieldError>, selector: &Value, path: &Path) {
    labels(errors, &selector["matchLabels"], &path.field("matchLabels"));
    let at = path.field("matchExpressions");
    for (index, requirement) in list(selector, "matchExpressions").iter().enumerate() {
        let at = at.index(index);
        let values_at = at.field("values");
        let none = list(requirement, "values").is_empty();
        match text(requirement, "operator") {
            "In" | "NotIn" if none => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&values_at, why));
            }
            "Exists" | "DoesNotExist" if !none => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&values_at, why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let why = "not a valid selector operator";
                errors.push(FieldError::invalid(&at.field("operator"), other, why));
            }
        }
        invalid_names(errors, &at.field("key"), text(requirement, "key"), names::qualified_name);
        for (index, value) in texts(requirement, "values") {
            invalid_names(errors, &values_at.index(index), value, names::label_value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(selector: Value) -> Vec<String> {
        let mut errors = Vec::new();
        label_selector(&mut errors, &selector, &Path::ROOT.field("s"));
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_selector_asks_with_the_values_that_its_operator_takes() {
        let good = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["b"]}, {"key": "a", "operator": "Exists"},
        ]});
        assert_eq!(wrong(good), Vec::<String>::new());
        assert_eq!(wrong(Value::Null), Vec::<String>::new());
        let bad = json!({"matchExpressions": [
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "Exists", "values": ["b"]},
            {"key": "a", "operator": "Gt", "values": ["1"]},
        ]});
        assert_eq!(
            wrong(bad),
            [
                "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                "s.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or \
                 'DoesNotExist'",
                r#"s.matchExpressions[2].operator: Invalid value: "Gt": not a valid selector operator"#,
            ]
        );
    }

    #[test]
    fn a_selectors_keys_and_values_have_the_form_of_labels() {
        let bad = json!({"matchLabels": {"a b": "-"}, "matchExpressions": [
            {"key": "", "operator": "In", "values": ["x", "-"]},
        ]});
        let fields: Vec<_> =
            wrong(bad).iter().filter_map(|e| Some(e.split_once(':')?.0.to_owned())).collect();
        assert_eq!(
            fields,
            [
                "s.matchLabels",
                "s.matchLabels",
                "s.matchExpressions[0].key",
                "s.matchExpressions[0].key",
                "s.matchExpressions[0].values[1]",
            ]
        );
    }

    #[test]
    fn what_cannot_change_is_compared_with_what_was() {
        let mut errors = Vec::new();
        immutable(&mut errors, &json!({"a": null}), &json!({}), &Path::ROOT, "a");
        assert_eq!(errors, []);
        immutable(&mut errors, &json!({"a": 1}), &json!({}), &Path::ROOT, "a");
        assert_eq!(errors[0].to_string(), "a: Invalid value: 1: field is immutable");
    }
}
