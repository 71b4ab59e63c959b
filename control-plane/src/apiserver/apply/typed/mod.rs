//! Objects seen by their schema: how each part is owned, merged and compared.
//!
//! | part | owned |
//! |---|---|
//! | scalar, atomic list, atomic map | as a whole |
//! | struct, map | field by field |
//! | list `map` | element by element, found by the values of its keys |
//! | list `set` | element by element, found by its value |
//!
//! The content of a RawExtension is a scalar. Where the schema takes one thing or another (the schemas of custom
//! resources), maps are owned by key and lists as a whole.

mod compare;
mod fields;
mod keys;
mod merge;
mod remove;
mod validate;

use api_objects::schema::{List, Node, Type};
use serde_json::Value;

pub(super) use compare::{Comparison, compare};
pub(super) use fields::{fields, reconcile, with_named};
pub(super) use merge::merge;
pub(super) use remove::remove;
pub(super) use validate::validate;

/// How a part of an object is seen.
#[derive(Clone, Copy)]
pub(super) enum View<'s> {
    /// By a type; the field may say that it is atomic, or that it is not.
    Typed { of: Type<'s>, atomic: Option<bool> },
    /// By what the value is.
    Open,
}

/// What a value is in a view.
#[derive(Clone, Copy)]
pub(super) enum Shape<'s> {
    /// Owned as a whole, whatever it is.
    Scalar,
    /// A list owned as a whole.
    AtomicList,
    /// A list owned element by element.
    List(Type<'s>, &'s List),
    /// A map owned as a whole.
    AtomicMap,
    /// A struct or map owned by key.
    Map,
}

impl<'s> View<'s> {
    /// An object of a type.
    pub(super) fn of(of: Type<'s>) -> Self {
        Self::Typed { of, atomic: None }
    }

    /// What a value is here. Null fits everything.
    pub(super) fn shape(self, value: &Value) -> Shape<'s> {
        let Self::Typed { of, atomic } = self else { return open(value) };
        let map = |declared: bool| if atomic.unwrap_or(declared) { Shape::AtomicMap } else { Shape::Map };
        match of.node() {
            Node::Struct(structure) => map(structure.atomic),
            Node::Map { atomic, .. } => map(*atomic),
            Node::List(list) if list.associative() => Shape::List(of, list),
            Node::List(_) => Shape::AtomicList,
            node if is_open(node) => open(value),
            _ => Shape::Scalar,
        }
    }

    /// The view of a field or of the values of a map. Nothing when the schema does not know the field.
    pub(super) fn field(self, name: &str) -> Option<View<'s>> {
        let Self::Typed { of, .. } = self else { return Some(Self::Open) };
        match of.node() {
            Node::Struct(_) => {
                let (field, of) = of.field(name)?;
                Some(Self::Typed { of, atomic: field.map.map(|kind| kind == "atomic") })
            }
            Node::Map { of: values, .. } => Some(Self::of(of.at(*values))),
            node if is_open(node) => Some(Self::Open),
            _ => None,
        }
    }

    /// The view of a list's elements.
    pub(super) fn item(self) -> View<'s> {
        match self {
            Self::Typed { of, .. } => of.item().map_or(Self::Open, Self::of),
            Self::Open => Self::Open,
        }
    }

    /// Whether the schema names the field, so that it is no key of a map.
    pub(super) fn declares(self, name: &str) -> bool {
        matches!(self, Self::Typed { of, .. } if of.field(name).is_some())
    }
}

/// Whether the schema leaves open what stands here.
fn is_open(node: &Node) -> bool {
    matches!(node, Node::SchemaOrArray { .. } | Node::SchemaOrBool { .. } | Node::SchemaOrStrings { .. })
}

fn open<'s>(value: &Value) -> Shape<'s> {
    match value {
        Value::Array(_) => Shape::AtomicList,
        // Upstream takes what could be everything for a map.
        Value::Object(_) | Value::Null => Shape::Map,
        _ => Shape::Scalar,
    }
}

/// The entries of a list; nothing for null and for what is no list.
fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(items)) => items,
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
