//! What the kinds of the API look like: fields, types, defaults, how lists merge.
//!
//! The built-in kinds are in `builtin.json`, which `hack/schema` writes and the binary carries. It is parsed at the
//! first use, its strings stay where they are, in the binary, and references between types are indices.

mod node;

use std::sync::OnceLock;

use serde::Deserialize;

pub use node::{Field, List, Node, Patch, Struct};

/// Types that refer to each other.
#[derive(Debug, Deserialize)]
pub struct Schema {
    /// Group, version, kind and the index of the type; sorted.
    #[serde(borrow)]
    kinds: Vec<(&'static str, &'static str, &'static str, u32)>,
    nodes: Vec<Node>,
}

/// One type of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Type<'s> {
    schema: &'s Schema,
    index: u32,
}

impl Schema {
    /// The built-in kinds of Kubernetes 1.36.
    pub fn builtin() -> &'static Schema {
        static BUILTIN: OnceLock<Schema> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            serde_json::from_str(include_str!("builtin.json")).expect("a test parses the committed file")
        })
    }

    /// The type of a kind. The core group is empty.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<Type<'_>> {
        let wanted = (group, version, kind);
        let found = self.kinds.binary_search_by(|row| (row.0, row.1, row.2).cmp(&wanted)).ok()?;
        Some(Type { schema: self, index: self.kinds[found].3 })
    }

    /// The type of a kind by its `apiVersion`, which is `VERSION` or `GROUP/VERSION`.
    pub fn kind_of(&self, api_version: &str, kind: &str) -> Option<Type<'_>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.kind(group, version, kind)
    }

    /// Every kind there is: group, version, kind.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.kinds.iter().map(|row| (row.0, row.1, row.2))
    }
}

impl<'s> Type<'s> {
    /// What it is.
    pub fn node(self) -> &'s Node {
        &self.schema.nodes[self.index as usize]
    }

    /// Another type of the same schema, by the index that a node holds.
    pub fn at(self, index: u32) -> Type<'s> {
        Type { schema: self.schema, index }
    }

    /// The fields, when it is a struct.
    pub fn structure(self) -> Option<&'s Struct> {
        match self.node() {
            Node::Struct(structure) => Some(structure),
            _ => None,
        }
    }

    /// A field and its type, when it is a struct that has it.
    pub fn field(self, name: &str) -> Option<(&'s Field, Type<'s>)> {
        let field = self.structure()?.field(name)?;
        Some((field, self.at(field.of)))
    }

    /// The type of the elements, when it is a list.
    pub fn item(self) -> Option<Type<'s>> {
        match self.node() {
            Node::List(list) => Some(self.at(list.of)),
            _ => None,
        }
    }

    /// The type as Go's reflection prints it, which is what clients read in errors.
    pub fn go(self) -> &'s str {
        match self.node() {
            Node::Struct(Struct { go, .. })
            | Node::List(List { go, .. })
            | Node::Map { go, .. }
            | Node::String { go, .. }
            | Node::Bool { go }
            | Node::Int32 { go }
            | Node::Int64 { go }
            | Node::Double { go }
            | Node::Bytes { go } => go,
            Node::Quantity => "resource.Quantity",
            Node::Time => "v1.Time",
            Node::Microtime => "v1.MicroTime",
            Node::Intorstring => "intstr.IntOrString",
            Node::Raw { .. } | Node::SchemaOrArray { .. } | Node::SchemaOrBool { .. } => "v1.JSON",
            Node::SchemaOrStrings { .. } => "v1.JSON",
        }
    }
}

#[cfg(test)]
mod tests;
