//! Writes JSON values as YAML in block style. Every text that could be read as something else is quoted as JSON
//! quotes it, which YAML understands.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as a YAML document.
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => object(&mut text, value, 0),
        Value::Array(list) if !list.is_empty() => array(&mut text, value, 0),
        _ => {
            scalar(&mut text, value);
            text.push('\n');
        }
    }
    text
}

fn object(text: &mut String, value: &Value, depth: usize) {
    for (index, (key, value)) in value.as_object().into_iter().flatten().enumerate() {
        // The first key of a list's element stands behind its dash.
        if index > 0 || !text.ends_with("- ") {
            indent(text, depth);
        }
        string(text, key);
        text.push(':');
        nested(text, value, depth);
    }
}

fn array(text: &mut String, value: &Value, depth: usize) {
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        if index > 0 || !text.ends_with("- ") {
            indent(text, depth);
        }
        text.push_str("- ");
        match value {
            Value::Object(map) if !map.is_empty() => object(text, value, depth + 1),
            Value::Array(list) if !list.is_empty() => array(text, value, depth + 1),
            _ => {
                scalar(text, value);
                text.push('\n');
            }
        }
    }
}

/// What stands behind a key.
fn nested(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            object(text, value, depth + 1);
        }
        Value::Array(list) if !list.is_empty() => {
            text.push('\n');
            array(text, value, depth);
        }
        _ => {
            text.push(' ');
            scalar(text, value);
            text.push('\n');
        }
    }
}

fn indent(text: &mut String, depth: usize) {
    for _ in 0..depth {
        text.push_str("  ");
    }
}

fn scalar(text: &mut String, value: &Value) {
    match value {
        Value::String(s) => string(text, s),
        // Writing to a string does not fail.
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

fn string(text: &mut String, s: &str) {
    if plain(s) {
        text.push_str(s);
    } else {
        let _ = write!(text, "{}", Value::from(s));
    }
}

/// Letters first, and nothing that means something in YAML.
fn plain(s: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    s.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && s.bytes().all(safe)
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
            .iter()
            .any(|word| s.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::write;

    #[test]
    fn what_could_be_misread_is_quoted() {
        let value = json!({"a": "x", "b": "1", "c": "yes", "d": "a: b", "e": "", "f": null, "g": true, "h": 1.5,
            "i": [], "j": {}, "k": "two\nlines", "f:x": {}, ".": 1});
        let expected = "\".\": 1\na: x\nb: \"1\"\nc: \"yes\"\nd: \"a: b\"\ne: \"\"\nf: null\n\"f:x\": {}\ng: true\nh: 1.5\n\
            i: []\nj: {}\nk: \"two\\nlines\"\n";
        assert_eq!(write(&value), expected);
        assert_eq!(write(&json!([])), "[]\n");
    }

    #[test]
    fn lists_and_objects_nest() {
        let value = json!({"a": [{"b": 1, "c": {"d": 2}}, [1, [2]], "x"], "e": {"f": [{}]}});
        let expected = "a:\n- b: 1\n  c:\n    d: 2\n- - 1\n  - - 2\n- x\ne:\n  f:\n  - {}\n";
        assert_eq!(write(&value), expected);
    }
}
