//! The label by which the pods of one template are told from those of another.

use serde_json::Value;

/// The label that a Deployment gives its ReplicaSets and their pods.
pub(super) const LABEL: &str = "pod-template-hash";

/// No vowels and nothing that looks alike: it spells nothing.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a, 32 bits.
struct Fnv(u32);

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    /// The same for the same value, in whichever order its fields stand.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                let mut names: Vec<&String> = fields.keys().collect();
                names.sort_unstable();
                self.write(b"{");
                for name in names {
                    self.write(name.as_bytes());
                    self.write(b":");
                    self.value(&fields[name]);
                }
                self.write(b"}");
            }
            Value::Array(items) => {
                self.write(b"[");
                items.iter().for_each(|item| self.value(item));
                self.write(b"]");
            }
            other => self.write(other.to_string().as_bytes()),
        }
    }
}

/// The hash of a template. `collisions` makes it another one when its name was taken.
pub(super) fn of(template: &Value, collisions: Option<i64>) -> String {
    let mut fnv = Fnv(0x811c_9dc5);
    fnv.value(template);
    if let Some(collisions) = collisions {
        fnv.write(&collisions.to_le_bytes());
    }
    fnv.0.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_tells_templates_apart_and_not_the_order_of_their_fields() {
        let template: Value = serde_json::from_str(r#"{"a": 1, "b": [2, 3]}"#).unwrap();
        let turned: Value = serde_json::from_str(r#"{"b": [2, 3], "a": 1}"#).unwrap();
        assert_eq!(of(&template, None), of(&turned, None));
        assert_ne!(of(&template, None), of(&json!({"a": 1, "b": [3, 2]}), None));
        assert_ne!(of(&template, None), of(&template, Some(1)));
        assert!(of(&template, None).bytes().all(|byte| LETTERS.contains(&byte)));
    }
}
