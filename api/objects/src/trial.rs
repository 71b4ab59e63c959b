//! For the tests of rules: an object that breaks none, changed in one place at a time.

use serde_json::{Map, Value};

use crate::FieldError;
use crate::rules::Rules;

/// A place in an object (`/spec/replicas`), a value that is good there, one that is not, and what is said of it.
pub(crate) type Row<'a> = (&'a str, Value, Value, &'a [&'a str]);

/// The object with a value at a place; null takes away what is there, and in a list what follows.
pub(crate) fn with(object: &Value, place: &str, value: &Value) -> Value {
    let mut object = object.clone();
    let mut at = &mut object;
    let mut steps: Vec<&str> = place.split('/').skip(1).collect();
    let last = steps.pop().unwrap_or_default().replace("~1", "/");
    for step in steps {
        at = match at {
            Value::Array(items) => {
                let index: usize = step.parse().unwrap();
                if index == items.len() {
                    items.push(Value::Object(Map::new()));
                }
                &mut items[index]
            }
            at => {
                if !at[step].is_object() && !at[step].is_array() {
                    at[step] = Value::Object(Map::new());
                }
                &mut at[step]
            }
        };
    }
    match (at, value) {
        (Value::Array(items), Value::Null) => items.truncate(last.parse().unwrap()),
        (Value::Array(items), value) if items.len() == last.parse::<usize>().unwrap() => {
            items.push(value.clone());
        }
        (Value::Array(items), value) => items[last.parse::<usize>().unwrap()] = value.clone(),
        (Value::Object(fields), Value::Null) => drop(fields.remove(&last)),
        (at, value) => at[last.as_str()] = value.clone(),
    }
    object
}

/// Errors as the API writes them.
pub(crate) fn lines(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// The object with its defaults.
pub(crate) fn defaulted(rules: &Rules, object: &Value) -> Value {
    let mut object = object.clone();
    (rules.defaults)(&mut object);
    object
}

/// What is wrong with a new object, defaults filled in, as lines.
pub(crate) fn wrong(rules: &Rules, object: &Value) -> Vec<String> {
    lines(&(rules.create)(&defaulted(rules, object)))
}

/// New objects: each row's good value breaks no rule, and the bad one what the row says.
pub(crate) fn created(rules: &Rules, base: &Value, rows: &[Row<'_>]) {
    assert_eq!(wrong(rules, base), Vec::<String>::new(), "the object that rows change");
    for (place, good, bad, said) in rows {
        assert_eq!(wrong(rules, &with(base, place, good)), Vec::<String>::new(), "{place} {good}");
        assert_eq!(wrong(rules, &with(base, place, bad)), *said, "{place} {bad}");
    }
}

/// What is wrong when a value is put at a place of an object that is there, as lines.
pub(crate) fn changed(rules: &Rules, base: &Value, place: &str, value: &Value) -> Vec<String> {
    let old = defaulted(rules, base);
    let new = defaulted(rules, &with(&old, place, value));
    lines(&(rules.update)(&new, &old))
}

/// Updates: each row's good value may replace what is there, the bad one may not.
pub(crate) fn updated(rules: &Rules, base: &Value, rows: &[Row<'_>]) {
    for (place, good, bad, said) in rows {
        assert_eq!(changed(rules, base, place, good), Vec::<String>::new(), "{place} {good}");
        assert_eq!(changed(rules, base, place, bad), *said, "{place} {bad}");
    }
}

/// Statuses: each row's good value may be told of an object, the bad one may not.
pub(crate) fn told(rules: &Rules, base: &Value, rows: &[Row<'_>]) {
    let status = |place: &str, value: &Value| lines(&(rules.status)(&with(base, place, value), base));
    for (place, good, bad, said) in rows {
        assert_eq!(status(place, good), Vec::<String>::new(), "{place} {good}");
        assert_eq!(status(place, bad), *said, "{place} {bad}");
    }
}
