//! The fields that a type reads, found by letting it read from a source that notes what it is asked for.

use std::cell::RefCell;

use serde::de::value::{Error, StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// A field that holds no further ones.
#[derive(Debug)]
pub(super) struct Field {
    /// Names joined by dots; `[]` after a list, `{}` after a map.
    pub(super) path: String,
    pub(super) kind: Kind,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Bool,
    Number,
    Text,
    Choice(&'static [&'static str]),
}

/// The fields of a type.
pub(super) fn fields<T: DeserializeOwned>() -> Vec<Field> {
    let found = RefCell::default();
    let walked = T::deserialize(Walk { path: String::new(), found: &found });
    walked.unwrap_or_else(|error| panic!("{error}; found so far: {:?}", found.borrow()));
    found.into_inner()
}

struct Walk<'a> {
    path: String,
    found: &'a RefCell<Vec<Field>>,
}

impl<'a> Walk<'a> {
    fn note(&self, kind: Kind) {
        self.found.borrow_mut().push(Field { path: self.path.clone(), kind });
    }

    fn into(self, suffix: &str) -> Self {
        Self { path: format!("{}{suffix}", self.path), ..self }
    }

    fn child(&self, name: &str) -> Walk<'a> {
        let dot = if self.path.is_empty() { "" } else { "." };
        Walk { path: format!("{}{dot}{name}", self.path), found: self.found }
    }
}

macro_rules! leaves {
    ($($method:ident $visit:ident $kind:expr, $value:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.note($kind);
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Walk<'_> {
    type Error = Error;

    leaves! {
        deserialize_bool visit_bool Kind::Bool, true;
        deserialize_i8 visit_i8 Kind::Number, 0;
        deserialize_i16 visit_i16 Kind::Number, 0;
        deserialize_i32 visit_i32 Kind::Number, 0;
        deserialize_i64 visit_i64 Kind::Number, 0;
        deserialize_u8 visit_u8 Kind::Number, 0;
        deserialize_u16 visit_u16 Kind::Number, 0;
        deserialize_u32 visit_u32 Kind::Number, 0;
        deserialize_u64 visit_u64 Kind::Number, 0;
        deserialize_f32 visit_f32 Kind::Number, 0.0;
        deserialize_f64 visit_f64 Kind::Number, 0.0;
    }

    /// A text that every type takes which looks at it: a list of CPUs, or a capability.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.note(Kind::Text);
        visitor.visit_str(if self.path.contains(".capabilities.") { "CAP_KILL" } else { "0" })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Once(Some(self.into("[]"))))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entry(Some(self.into("{}"))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { walk: self, fields: fields.iter(), current: "" })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note(Kind::Choice(variants));
        visitor.visit_enum(First(variants[0]))
    }

    /// Anything may be here: a text is.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Once<'a>(Option<Walk<'a>>);

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|walk| seed.deserialize(walk)).transpose()
    }
}

struct Entry<'a>(Option<Walk<'a>>);

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let key: StringDeserializer<Error> = "key".to_owned().into_deserializer();
        if self.0.is_some() { seed.deserialize(key).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.0.take().unwrap_or_else(|| panic!("a value before its key")))
    }
}

struct Fields<'a> {
    walk: Walk<'a>,
    fields: std::slice::Iter<'static, &'static str>,
    current: &'static str,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.fields.next() else { return Ok(None) };
        self.current = name;
        let name: StrDeserializer<'_, Error> = (*name).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.walk.child(self.current))
    }
}

struct First(&'static str);

impl<'de> EnumAccess<'de> for First {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for First {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        panic!("{} holds something", self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        panic!("{} holds something", self.0)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        panic!("{} holds something", self.0)
    }
}
