//! Valid JSON with a few things wrong, for tests of what reads it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// What is wrong.
#[derive(Debug)]
pub(crate) struct Damage {
    /// Values that take the place of others.
    values: Vec<(Index, Value)>,
    /// Bytes that take the place of others; most of these are no JSON any more.
    bytes: Vec<(Index, u8)>,
}

/// Any damage of either kind.
pub(crate) fn any() -> impl Strategy<Value = Damage> {
    let foreign = prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[{}]])),
        Just(json!({"cniVersion": 1})),
        proptest::arbitrary::any::<i64>().prop_map(Value::from),
        proptest::arbitrary::any::<f64>().prop_map(Value::from),
        "[0-9a-f:./]{0,20}".prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let values = vec((proptest::arbitrary::any::<Index>(), foreign), 0..4);
    let bytes = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((proptest::arbitrary::any::<Index>(), proptest::arbitrary::any::<u8>()), 1..4),
    ];
    (values, bytes).prop_map(|(values, bytes)| Damage { values, bytes })
}

impl Damage {
    /// The bytes of a value with this damage.
    pub(crate) fn of(&self, value: &Value) -> Vec<u8> {
        let mut value = value.clone();
        for (place, foreign) in &self.values {
            let place = place.index(count(&value));
            replace(&mut value, &mut { place }, foreign);
        }
        let mut bytes = value.to_string().into_bytes();
        for (place, byte) in &self.bytes {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        bytes
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// Replaces the value at a place in the order of reading.
fn replace(value: &mut Value, place: &mut usize, foreign: &Value) -> bool {
    if *place == 0 {
        *value = foreign.clone();
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| replace(item, place, foreign)),
        Value::Object(map) => map.values_mut().any(|item| replace(item, place, foreign)),
        _ => false,
    }
}
