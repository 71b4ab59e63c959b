//! The walk over a document by its type.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::context::Context;
use super::{base64, scalar, zero};
use crate::schema::{Field, Node, Struct, Type};

/// Reads one value of a type, or of any type.
pub(super) struct Seed<'c, 's> {
    context: &'c mut Context,
    of: Option<Type<'s>>,
}

impl<'c, 's> Seed<'c, 's> {
    pub(super) fn new(context: &'c mut Context, of: Option<Type<'s>>) -> Self {
        Self { context, of }
    }

    fn node(&self) -> Option<&'s Node> {
        self.of.map(Type::node)
    }

    /// A value that its type does not take; null goes on for it.
    fn mismatch(self, found: &str) -> Value {
        if let Some(of) = self.of {
            self.context.mismatch(found, of.go());
        }
        Value::Null
    }

    fn scalar<E: Error>(self, value: Value) -> Result<Value, E> {
        let Some(of) = self.of else { return Ok(value) };
        let value = scalar::read(self.context, of, value);
        // The message stands in the context; this one is not shown.
        if self.context.failed() { Err(E::custom("refused")) } else { Ok(value) }
    }

    fn structure<'de, A: MapAccess<'de>>(
        self,
        of: Type<'s>,
        structure: &'s Struct,
        mut entries: A,
    ) -> Result<Value, A::Error> {
        let mut found = Map::new();
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Some(field) = structure.field(&key) else {
                self.context.unknown(&key);
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            if !seen.insert(field.name) {
                self.context.duplicate(&key);
            }
            let inner = Some(of.at(field.of));
            let value = self.context.field(field.name, structure.short(), field.way, |context| {
                entries.next_value_seed(Seed::new(context, inner))
            })?;
            match keep(field, of.at(field.of), value) {
                Some(value) => found.insert(key, value),
                None => found.remove(&key),
            };
        }
        zero::fill(of, structure, &mut found);
        Ok(Value::Object(found))
    }

    fn map<'de, A: MapAccess<'de>>(self, of: Option<Type<'s>>, mut entries: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if found.contains_key(&key) {
                self.context.duplicate(&key);
            }
            let value = self.context.key(&key, |context| entries.next_value_seed(Seed::new(context, of)))?;
            found.insert(key, or_zero(of, value));
        }
        Ok(Value::Object(found))
    }

    fn list<'de, A: SeqAccess<'de>>(self, of: Option<Type<'s>>, mut items: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        loop {
            let index = found.len();
            let next =
                self.context.index(index, |context| items.next_element_seed(Seed::new(context, of)))?;
            let Some(item) = next else { break };
            found.push(or_zero(of, item));
        }
        Ok(Value::Array(found))
    }

    /// A list of numbers, which Go takes for bytes.
    fn bytes<'de, A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut bytes = Vec::new();
        while let Some(item) = items.next_element::<Value>()? {
            match item.as_u64().and_then(|number| u8::try_from(number).ok()) {
                Some(byte) => bytes.push(byte),
                None => self.context.mismatch(scalar::type_name(&item), "uint8"),
            }
        }
        Ok(base64::encode(&bytes).into())
    }
}

/// Null in a list or a map is the zero value there.
fn or_zero(of: Option<Type<'_>>, value: Value) -> Value {
    match of {
        Some(of) if value.is_null() => zero::value(of),
        _ => value,
    }
}

/// What is stored of a field's value; nothing for null and for what Go leaves out when it is empty.
fn keep(field: &Field, of: Type<'_>, value: Value) -> Option<Value> {
    let empty = match (&value, of.node()) {
        (Value::Null, _) => return None,
        (Value::Object(entries), Node::Map { .. }) => entries.is_empty(),
        (Value::Object(_), Node::Struct(_)) => field.omit_zero && value == zero::value(of),
        // An empty list of owners is an order to forget them all, and one of an autoscaler's policies is not the same
        // as none, for which some are filled in. Neither is stored.
        (Value::Array(items), Node::List(_)) => {
            items.is_empty() && !matches!(field.name, "managedFields" | "policies")
        }
        (Value::String(text), Node::String { .. } | Node::Bytes { .. }) => text.is_empty(),
        (Value::Number(number), Node::Int32 { .. } | Node::Int64 { .. } | Node::Double { .. }) => {
            number.as_f64() == Some(0.0)
        }
        (Value::Bool(set), Node::Bool { .. }) => !set,
        _ => false,
    };
    (!empty || field.keep || field.pointer).then_some(value)
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.scalar(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        match self.node() {
            None => self.list(None, items),
            Some(Node::List(list)) => {
                let of = self.of.map(|own| own.at(list.of));
                self.list(of, items)
            }
            Some(Node::Bytes { .. }) => self.bytes(items),
            Some(Node::Raw { .. }) => {
                self.context.silently(|context| Seed::new(context, None).list(None, items))
            }
            Some(Node::SchemaOrArray { of }) => {
                let of = self.of.map(|own| own.at(*of));
                self.context.silently(|context| Seed::new(context, None).list(of, items))
            }
            Some(Node::SchemaOrStrings { .. }) => {
                self.context.silently(|context| Seed::new(context, None).list(None, items))
            }
            Some(node) if scalar::refuses(node) => {
                drop(items);
                scalar::refuse(self.context, node, "array");
                Err(A::Error::custom("refused"))
            }
            Some(_) => {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("array"))
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let own = self.of;
        match (self.node(), own) {
            (Some(Node::Struct(structure)), Some(own)) => self.structure(own, structure, entries),
            (Some(Node::Map { of, .. }), Some(own)) => self.map(Some(own.at(*of)), entries),
            (Some(Node::Raw { .. }), _) => {
                self.context.silently(|context| Seed::new(context, None).map(None, entries))
            }
            (
                Some(Node::SchemaOrArray { of } | Node::SchemaOrBool { of } | Node::SchemaOrStrings { of }),
                Some(own),
            ) => {
                let of = Some(own.at(*of));
                self.context.silently(|context| Seed::new(context, of).visit_map(entries))
            }
            (Some(node), _) if scalar::refuses(node) => {
                drop(entries);
                scalar::refuse(self.context, node, "object");
                Err(A::Error::custom("refused"))
            }
            (Some(_), _) => {
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("object"))
            }
            (None, _) => self.map(None, entries),
        }
    }
}
