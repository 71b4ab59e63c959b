//! The types of a schema. The names of columns in `builtin.json` are the attributes here.

use serde::Deserialize;
use serde_json::Value;

/// A type.
#[derive(Debug, Deserialize)]
#[serde(tag = "t", rename_all = "kebab-case")]
pub enum Node {
    /// Known fields.
    Struct(Struct),
    /// Elements of one type.
    List(List),
    /// Any keys, values of one type.
    Map {
        /// As Go prints it.
        go: &'static str,
        /// The values' type.
        of: u32,
        /// It is owned and replaced as a whole.
        #[serde(default)]
        atomic: bool,
    },
    /// Text.
    String {
        /// As Go prints it, `string` or a name.
        go: &'static str,
        /// The values that are allowed, when they are a closed set.
        #[serde(default, rename = "enum", borrow)]
        values: Vec<&'static str>,
    },
    /// True or false.
    Bool {
        /// As Go prints it.
        go: &'static str,
    },
    /// An integer of 32 bits.
    Int32 {
        /// As Go prints it.
        go: &'static str,
    },
    /// An integer of 64 bits.
    Int64 {
        /// As Go prints it.
        go: &'static str,
    },
    /// A number with a fraction.
    Double {
        /// As Go prints it.
        go: &'static str,
    },
    /// Bytes, base64 in JSON.
    Bytes {
        /// As Go prints it.
        go: &'static str,
    },
    /// A resource quantity.
    Quantity,
    /// A time with whole seconds.
    Time,
    /// A time with microseconds.
    Microtime,
    /// An integer of 32 bits or text.
    Intorstring,
    /// Anything, kept as it is.
    Raw {
        /// As Go prints it, when it is known.
        #[serde(default, borrow)]
        go: Option<&'static str>,
    },
    /// A JSON schema or a list of them.
    SchemaOrArray {
        /// The JSON schema.
        of: u32,
    },
    /// A JSON schema or a truth value.
    SchemaOrBool {
        /// The JSON schema.
        of: u32,
    },
    /// A JSON schema or a list of texts.
    SchemaOrStrings {
        /// The JSON schema.
        of: u32,
    },
}

/// A type with known fields.
#[derive(Debug, Deserialize)]
pub struct Struct {
    /// The name of the definition, `io.k8s.api.apps.v1.Deployment`.
    pub name: &'static str,
    /// As Go prints it, `v1.Deployment`.
    pub go: &'static str,
    /// It is owned and replaced as a whole.
    #[serde(default)]
    pub atomic: bool,
    /// Sorted by name.
    pub fields: Vec<Field>,
}

/// A field of a struct.
#[derive(Debug, Deserialize)]
pub struct Field {
    /// The key in JSON.
    #[serde(rename = "n")]
    pub name: &'static str,
    /// The index of its type.
    pub of: u32,
    /// An object without it is not valid.
    #[serde(default, rename = "req")]
    pub required: bool,
    /// The value it has when it is absent, where the schema tells one. Zero values are told, too: they are what the
    /// key of a list's element is when the element leaves it out.
    #[serde(default)]
    pub default: Option<Value>,
    /// It is written when it is empty (Go's `omitempty` is missing).
    #[serde(default)]
    pub keep: bool,
    /// It is left out when it is the zero value of its struct.
    #[serde(default, rename = "omitzero")]
    pub omit_zero: bool,
    /// Absent and empty are two things.
    #[serde(default, rename = "ptr")]
    pub pointer: bool,
    /// The embedded structs on the way to it, which errors name: `ProbeHandler`.
    #[serde(default, borrow)]
    pub way: Option<&'static str>,
    /// The patch strategy as written: `merge`, `retainKeys`, `merge,retainKeys`, `replace`.
    #[serde(default, borrow)]
    pub patch: Option<&'static str>,
    /// The key by which a strategic merge patch finds a list's elements.
    #[serde(default, rename = "key", borrow)]
    pub patch_key: Option<&'static str>,
    /// Overrides whether the type is atomic: `atomic` or `granular`.
    #[serde(default, borrow)]
    pub map: Option<&'static str>,
}

/// A list.
#[derive(Debug, Deserialize)]
pub struct List {
    /// As Go prints it, `[]v1.Container`.
    pub go: &'static str,
    /// The elements' type.
    pub of: u32,
    /// How it is owned: `set`, `map`, or as a whole.
    #[serde(default, borrow)]
    pub(super) merge: Option<&'static str>,
    /// The keys of a `map`.
    #[serde(default, borrow)]
    pub keys: Vec<&'static str>,
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Lists merge.
    pub merge: bool,
    /// The patch replaces the value, even a map.
    pub replace: bool,
    /// The key by which elements of the list are the same.
    pub key: Option<&'static str>,
}

impl Struct {
    /// A field by its key.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let found = self.fields.binary_search_by(|field| field.name.cmp(name)).ok()?;
        Some(&self.fields[found])
    }

    /// The name without its package, `Deployment`.
    pub fn short(&self) -> &'static str {
        self.go.rsplit('.').next().unwrap_or(self.go)
    }
}

impl Field {
    /// How a strategic merge patch treats it.
    pub fn patch(&self) -> Patch {
        let strategy = self.patch.unwrap_or_default();
        let has = |wanted: &str| strategy.split(',').any(|part| part == wanted);
        Patch { merge: has("merge"), replace: has("replace"), key: self.patch_key }
    }
}

impl List {
    /// Elements are owned one by one: by their keys when it has some, by their value when not.
    pub fn associative(&self) -> bool {
        self.merge.is_some()
    }
}
