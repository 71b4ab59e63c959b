//! Recorded texts have placeholders for what changes from run to run: whether one of ours fits.

use serde_json::{Value, json};

/// The placeholders that stand for a value; other words in angle brackets are what the API itself says.
const PLACEHOLDERS: [&str; 11] =
    ["uid", "rv", "time", "ip", "rand", "port", "continue", "token", "link", "age", "audience"];

/// Where ours does not fit theirs, at most a few places. `namespace` is what the recording calls `NS`.
pub(crate) fn differences(ours: &Value, theirs: &Value, namespace: &str) -> Vec<String> {
    let mut found = Vec::new();
    compare("", &incidental(ours), &incidental(theirs), namespace, &mut found);
    found
}

/// An answer without what says nothing of how a server behaves.
fn incidental(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(user) = answer.pointer_mut("/status/userInfo").and_then(Value::as_object_mut) {
        // The hash of a certificate that was thrown away.
        user.remove("extra");
    }
    for rules in ["/status/resourceRules", "/status/nonResourceRules"] {
        if let Some(list) = answer.pointer_mut(rules).and_then(Value::as_array_mut) {
            // They have no order, and the server of the recording had one role more, which it does not list.
            list.retain(|rule| rule["nonResourceURLs"] != json!(["/.well-known", "/.well-known/*"]));
            list.sort_by_key(ToString::to_string);
        }
    }
    if let Some(volumes) = answer.pointer_mut("/spec/volumes").and_then(Value::as_array_mut) {
        // The recording left out the volume of the token, but not where it is mounted.
        volumes.retain(|volume| !volume["name"].as_str().unwrap_or_default().starts_with("kube-api-access-"));
    }
    if let Some(version) = answer.as_object_mut().filter(|answer| answer.contains_key("gitVersion")) {
        // Who built it, and with what.
        version.retain(|name, _| name.contains("ajor") || name.contains("inor") || name == "platform");
    }
    answer
}

fn compare(path: &str, ours: &Value, theirs: &Value, namespace: &str, found: &mut Vec<String>) {
    if found.len() >= 8 {
        return;
    }
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let path = format!("{path}.{name}");
                match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => compare(&path, a, b, namespace, found),
                    (Some(a), None) => found.push(format!("{path}: ours alone: {}", short(a))),
                    (None, Some(b)) => found.push(format!("{path}: theirs alone: {}", short(b))),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), a, b, namespace, found);
            }
        }
        (Value::String(a), Value::String(b)) if fits(a, b, namespace) => {}
        // A number that changes is recorded as a placeholder's text.
        (Value::Number(a), Value::String(b)) if fits(&a.to_string(), b, namespace) && b.starts_with('<') => {}
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: ours {} theirs {}", short(a), short(b))),
    }
}

/// Whether a text of ours fits a recorded one.
pub(crate) fn fits(ours: &str, theirs: &str, namespace: &str) -> bool {
    let ours = ours.replace(namespace, "NS");
    ours == theirs || matches(&ours, theirs)
}

fn matches(ours: &str, theirs: &str) -> bool {
    let Some((before, name, after)) = placeholder(theirs) else { return ours == theirs };
    let Some(rest) = ours.strip_prefix(before) else { return false };
    let fitting = |byte: &u8| match name {
        "rv" => byte.is_ascii_digit(),
        "uid" => byte.is_ascii_hexdigit() || *byte == b'-',
        "time" => byte.is_ascii_digit() || b"-:TZ.+".contains(byte),
        _ => true,
    };
    let longest = rest.bytes().take_while(fitting).count();
    (1..=longest).any(|end| rest.is_char_boundary(end) && matches(&rest[end..], after))
}

/// The first placeholder, with what stands before and after it.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('<').find_map(|(at, _)| {
        let name = PLACEHOLDERS
            .iter()
            .find(|name| text[at + 1..].strip_prefix(**name).is_some_and(|rest| rest.starts_with('>')))?;
        Some((&text[..at], *name, &text[at + name.len() + 2..]))
    })
}

/// Puts the namespace into a recorded path or body.
pub(crate) fn put_namespace(text: &str, namespace: &str) -> String {
    let mut put = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find("NS") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        let inside = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric());
        let word =
            (!inside(before.bytes().last()) || before.ends_with("%3D")) && !inside(after.bytes().next());
        put.push_str(before);
        put.push_str(if word { namespace } else { "NS" });
        rest = after;
    }
    put + rest
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 160 { text } else { text.chars().take(160).chain("…".chars()).collect() }
}
