//! Finds the parts of a JSON text without making values of them: where an object's members begin and end.
//!
//! Stored objects are JSON that this server wrote; of anything else it is only promised that nothing panics.

use std::ops::Range;

/// The members of an object: the name as it stands between the quotes, and where its value stands.
pub(super) struct Members<'a> {
    json: &'a [u8],
    at: usize,
    wrong: bool,
}

/// Reads the object that `json` is. None when it is no object.
pub(super) fn members(json: &[u8]) -> Option<Members<'_>> {
    let at = space(json, 0);
    (json.get(at) == Some(&b'{')).then_some(Members { json, at: at + 1, wrong: false })
}

impl<'a> Members<'a> {
    /// Whether the text broke off or was no JSON; asked after the last member.
    pub(super) fn broken(&self) -> bool {
        self.wrong
    }

    fn read(&mut self) -> Option<Option<(&'a [u8], Range<usize>)>> {
        let mut at = space(self.json, self.at);
        match self.json.get(at)? {
            b'}' => return Some(None),
            b',' => at = space(self.json, at + 1),
            _ => {}
        }
        let end = string(self.json, at)?;
        let name = &self.json[at + 1..end - 1];
        at = space(self.json, end);
        if self.json.get(at)? != &b':' {
            return None;
        }
        let begin = space(self.json, at + 1);
        self.at = value(self.json, begin)?;
        Some(Some((name, begin..self.at)))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.wrong {
            return None;
        }
        let read = self.read();
        self.wrong = read.is_none();
        read.flatten()
    }
}

/// The value at a path of names below `json`.
pub(super) fn find<'a>(json: &'a [u8], path: &[String]) -> Option<&'a [u8]> {
    let Some((first, rest)) = path.split_first() else { return Some(json) };
    let (_, range) = members(json)?.find(|(name, _)| *name == first.as_bytes())?;
    find(&json[range], rest)
}

/// The text of a string, a number or a boolean.
pub(super) fn text(json: &[u8]) -> Option<String> {
    match json.first()? {
        b'"' if !json.contains(&b'\\') => {
            std::str::from_utf8(json.get(1..json.len() - 1)?).ok().map(str::to_owned)
        }
        b'"' => serde_json::from_slice(json).ok(),
        b'{' | b'[' | b'n' => None,
        _ => std::str::from_utf8(json).ok().map(str::to_owned),
    }
}

/// A member's name with its escapes undone.
pub(super) fn name(raw: &[u8]) -> Option<String> {
    let parts: [&[u8]; 3] = [b"\"", raw, b"\""];
    text(&parts.concat())
}

fn space(json: &[u8], mut at: usize) -> usize {
    while json.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The end of the string that begins at `at`.
fn string(json: &[u8], at: usize) -> Option<usize> {
    if json.get(at)? != &b'"' {
        return None;
    }
    let mut at = at + 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The end of the value that begins at `at`. Depth is counted and not recursed into, so it needs no limit.
fn value(json: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match json.get(at)? {
            b'"' => at = string(json, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' if depth > 0 => {
                at += 1;
                continue;
            }
            byte if byte.is_ascii_whitespace() && depth > 0 => {
                at += 1;
                continue;
            }
            _ => {
                let begin = at;
                while json.get(at).is_some_and(|b| !b.is_ascii_whitespace() && !b",:{}[]\"".contains(b)) {
                    at += 1;
                }
                if at == begin {
                    return None;
                }
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn parts_are_found_where_they_stand() {
        let json =
            br#" {"a": {"b" : [1, {"c": "}"}], "d": "x\"y"}, "e":true ,"f":-1.5e3, "g":null, "h":{}} "#;
        let found = |at: &str| find(json, &path(at)).map(|v| String::from_utf8_lossy(v).into_owned());
        assert_eq!(found("a.b").as_deref(), Some(r#"[1, {"c": "}"}]"#));
        assert_eq!(found("a.d").as_deref(), Some(r#""x\"y""#));
        assert_eq!(found("a.d.x"), None);
        assert_eq!(found("z"), None);
        assert_eq!(text(find(json, &path("a.d")).unwrap()).as_deref(), Some("x\"y"));
        assert_eq!(text(find(json, &path("e")).unwrap()).as_deref(), Some("true"));
        assert_eq!(text(find(json, &path("f")).unwrap()).as_deref(), Some("-1.5e3"));
        assert_eq!(text(find(json, &path("g")).unwrap()), None);
        assert_eq!(members(json).unwrap().count(), 5);
        assert_eq!(name(br"a\u0041").as_deref(), Some("aA"));
    }

    #[test]
    fn what_is_no_object_is_not_read() {
        assert!(members(b"[]").is_none() && members(b"").is_none());
        for broken in [r#"{"a"#, r#"{"a":"#, r#"{"a":1"#, r#"{"a":{]"#, r#"{"a" 1}"#, r#"{"a":"\"#] {
            let mut members = members(broken.as_bytes()).unwrap();
            while members.next().is_some() {}
            assert!(members.broken(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(json in "[{}\\[\\]\",:\\\\a1 ]{0,40}") {
            if let Some(members) = members(json.as_bytes()) {
                members.for_each(drop);
            }
            let _ = (text(json.as_bytes()), find(json.as_bytes(), &path("a.a")));
        }

        #[test]
        fn members_are_those_of_the_value(keys in proptest::collection::btree_map("[a-c\"\\\\é]{0,3}", "[^a-z]{0,4}", 0..5)) {
            let value = json!(keys.iter().map(|(k, v)| (k.clone(), json!({"x": [v]}))).collect::<serde_json::Map<_, _>>());
            let text = value.to_string();
            let read: serde_json::Map<String, Value> = members(text.as_bytes()).unwrap()
                .map(|(n, range)| (name(n).unwrap(), serde_json::from_slice(&text.as_bytes()[range]).unwrap()))
                .collect();
            prop_assert_eq!(Value::Object(read), value);
        }
    }
}
