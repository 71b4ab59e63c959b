//! JSON as Go's decoder reads it, for which people and programs write CNI configurations: the name of a field counts in any
//! case, and a null is as good as no field. An error begins with the path to the field that it is about.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::{Error, Map, Value};

/// Reads bytes.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    from_value(serde_json::from_slice(bytes)?)
}

/// Reads a decoded value. What is itself a value or a map of values is left as it is.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Reader(value))
}

struct Reader(Value);

impl<'de> Deserializer<'de> for Reader {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(Items { left: items.into_iter(), index: 0 }),
            Value::Object(map) => visitor.visit_map(Fields { left: map.into_iter(), next: None }),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => Self(Value::Object(spell(map, fields))).deserialize_any(visitor),
            // A list would be taken for the values of the fields in their order.
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &visitor)),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

/// The fields that are there, by the names that the struct knows. The exact spelling wins over others.
fn spell(map: Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    let mut spelt = Map::new();
    let mut others = Vec::new();
    for (key, value) in map.into_iter().filter(|(_, value)| !value.is_null()) {
        match fields.iter().find(|field| field.eq_ignore_ascii_case(&key)) {
            Some(field) if *field != key => others.push(((*field).to_owned(), value)),
            _ => drop(spelt.insert(key, value)),
        }
    }
    for (key, value) in others {
        spelt.entry(key).or_insert(value);
    }
    spelt
}

struct Fields {
    left: serde_json::map::IntoIter,
    next: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.next = self.left.next();
        let Some((key, _)) = &self.next else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self.next.take().ok_or_else(|| Error::custom("a value without a key"))?;
        seed.deserialize(Reader(value)).map_err(|error| Error::custom(format_args!("{key}: {error}")))
    }
}

struct Items {
    left: std::vec::IntoIter<Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(value) = self.left.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        let value = seed.deserialize(Reader(value));
        value.map(Some).map_err(|error| Error::custom(format_args!("{index}: {error}")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Inner {
        range_start: Option<IpAddr>,
        mtu: u32,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Outer {
        is_gateway: bool,
        ranges: Vec<Vec<Inner>>,
        flags: BTreeMap<String, bool>,
        rest: Value,
    }

    #[test]
    fn names_count_in_any_case_and_the_exact_one_wins() {
        let outer: Outer =
            from_value(json!({"ISGATEWAY": true, "Ranges": [[{"RangeStart": "::1", "MTU": 5}]]})).unwrap();
        assert!(outer.is_gateway && outer.ranges[0][0].mtu == 5);
        assert_eq!(outer.ranges[0][0].range_start, Some("::1".parse().unwrap()));
        let outer: Outer = from_value(json!({"IsGateway": true, "isGateway": false})).unwrap();
        assert!(!outer.is_gateway);
    }

    #[test]
    fn a_null_is_no_field_but_stays_in_what_is_a_value() {
        let value =
            json!({"isGateway": null, "ranges": null, "flags": null, "rest": {"A": null, "b": [null]}});
        let outer: Outer = from_value(value).unwrap();
        assert_eq!(outer, Outer { rest: json!({"A": null, "b": [null]}), ..Outer::default() });
    }

    #[test]
    fn an_error_names_the_path_and_the_value() {
        for (value, expected) in [
            (json!({"isGateway": "x"}), "isGateway: invalid type: string \"x\", expected a boolean"),
            (
                json!({"ranges": [[], [{}, {"mtu": -1}]]}),
                "ranges: 1: 1: mtu: invalid value: integer `-1`, expected u32",
            ),
            (json!({"flags": {"a": 1}}), "flags: a: invalid type: integer `1`, expected a boolean"),
            (json!([true]), "invalid type: sequence, expected struct Outer"),
        ] {
            let error = from_value::<Outer>(value).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(from_slice::<Outer>(b"{").unwrap_err().to_string().contains("line 1"));
    }
}
