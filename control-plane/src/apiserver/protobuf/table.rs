//! The messages of the API: numbers, names and types of their fields, and what of an empty field JSON keeps.
//!
//! `tags.txt` states the names, numbers and types of the fields of Kubernetes 1.36; its strings stay in the binary.
//! ```text
//! +apps/v1 apps.v1 Deployment …       kinds of a group version, and where their messages are; `*` is any version
//! @apps.v1                            the messages that follow are of this package
//! Deployment metadata=1:meta.v1.ObjectMeta spec=2:DeploymentSpec        NAME and fields: JSON=NUMBER SHAPE TYPE FLAGS
//! ```
//! | shape | | type | | flag | |
//! |---|---|---|---|---|---|
//! | `*` | a pointer: absent differs from zero | `s` `b` `i` `l` `d` `y` | string, bool, int32, int64, double, bytes | `!` | JSON has it when it is empty |
//! | `[]` | a list | `q` `t` `u` `o` | Quantity, Time, MicroTime, IntOrString | `?` | an empty struct is left out |
//! | `{}` | a map from strings | `r` | JSON in bytes | | |
//! | `~` | its fields are those of the outer object | `A` `B` `C` | a JSON schema, or schemas, a bool, strings | | |
//! | | one | `:NAME` | a message | | |
//!
//! A message whose one field has no name is a list in JSON.

use std::collections::HashMap;
use std::sync::OnceLock;

/// The committed table.
const TAGS: &str = include_str!("tags.txt");
/// The message of the schema that a schema-or-something holds.
const JSON_SCHEMA: &str = "apiextensions.v1.JSONSchemaProps";

/// All messages.
pub(super) struct Table {
    messages: Vec<Message>,
    /// `(GROUP/VERSION, KIND)` to an index of `messages`; `*` for kinds that every version has.
    kinds: HashMap<(&'static str, &'static str), usize>,
    json_schema: usize,
}

/// A message.
pub(super) struct Message {
    package: &'static str,
    name: &'static str,
    /// By number.
    pub(super) fields: Vec<Field>,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// The key in JSON; empty for an inline one and for a list's items.
    pub(super) json: &'static str,
    pub(super) number: u32,
    pub(super) shape: Shape,
    pub(super) kind: Kind,
    /// JSON has it when it is empty (Go's `omitempty` is missing).
    pub(super) keep: bool,
    /// An empty struct is left out (Go's `omitzero`).
    pub(super) omit_zero: bool,
}

/// How many values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Pointer,
    List,
    Map,
    Inline,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    Bytes,
    Quantity,
    Time,
    MicroTime,
    IntOrString,
    Raw,
    SchemaOrArray,
    SchemaOrBool,
    SchemaOrStrings,
    Message(usize),
}

impl Table {
    /// The table of this binary, parsed once.
    pub(super) fn get() -> &'static Self {
        static TABLE: OnceLock<Table> = OnceLock::new();
        TABLE.get_or_init(|| parse(TAGS).expect("a test parses the committed table"))
    }

    /// The message of a kind.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<&Message> {
        let own = self.kinds.get(&(api_version, kind));
        own.or_else(|| self.kinds.get(&("*", kind))).map(|&index| self.message(index))
    }

    /// A message by the index that a field holds.
    pub(super) fn message(&self, index: usize) -> &Message {
        &self.messages[index]
    }

    /// The message of a JSON schema.
    pub(super) fn json_schema(&self) -> &Message {
        self.message(self.json_schema)
    }

    /// Group versions and kinds of its own, sorted.
    #[cfg(test)]
    pub(super) fn kinds(&self) -> Vec<(&'static str, &'static str)> {
        let mut kinds: Vec<_> = self.kinds.keys().copied().collect();
        kinds.sort_unstable();
        kinds
    }

    #[cfg(test)]
    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }
}

impl Message {
    /// `core.v1.Container`.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.package, self.name)
    }

    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        let found = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        Some(&self.fields[found])
    }

    /// The type of the items, when it is a list in JSON.
    pub(super) fn items(&self) -> Option<&Field> {
        self.fields.first().filter(|field| field.json.is_empty() && field.shape == Shape::List)
    }
}

fn parse(text: &'static str) -> Option<Table> {
    let index = indices(text)?;
    let (mut messages, mut kinds, mut package) = (Vec::new(), HashMap::new(), "");
    for line in text.lines() {
        if let Some(row) = line.strip_prefix('+') {
            let mut words = row.split(' ');
            let (version, home) = (words.next()?, words.next()?);
            for kind in words {
                kinds.insert((version, kind), *index.get(&(home, kind))?);
            }
        } else if let Some(name) = line.strip_prefix('@') {
            package = name;
        } else {
            let mut words = line.split(' ');
            let name = words.next()?;
            let fields: Option<Vec<Field>> = words.map(|word| field(word, package, &index)).collect();
            messages.push(Message { package, name, fields: fields? });
        }
    }
    let (package, name) = JSON_SCHEMA.rsplit_once('.')?;
    let json_schema = *index.get(&(package, name))?;
    Some(Table { messages, kinds, json_schema })
}

/// Where each message will stand, by package and name.
fn indices(text: &'static str) -> Option<HashMap<(&'static str, &'static str), usize>> {
    let (mut index, mut package) = (HashMap::new(), "");
    for line in text.lines().filter(|line| !line.starts_with('+')) {
        match line.strip_prefix('@') {
            Some(name) => package = name,
            None => {
                let next = index.len();
                index.insert((package, line.split(' ').next()?), next);
            }
        }
    }
    Some(index)
}

fn field(
    word: &'static str,
    package: &'static str,
    index: &HashMap<(&'static str, &'static str), usize>,
) -> Option<Field> {
    let (json, rest) = word.split_once('=')?;
    let (number, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
    let (rest, omit_zero) = rest.strip_suffix('?').map_or((rest, false), |rest| (rest, true));
    let (rest, keep) = rest.strip_suffix('!').map_or((rest, false), |rest| (rest, true));
    let shapes = [("*", Shape::Pointer), ("[]", Shape::List), ("{}", Shape::Map), ("~", Shape::Inline)];
    let shaped = shapes.iter().find_map(|&(sign, shape)| Some((rest.strip_prefix(sign)?, shape)));
    let (letter, shape) = shaped.unwrap_or((rest, Shape::One));
    let kind = match letter {
        "s" => Kind::String,
        "b" => Kind::Bool,
        "i" => Kind::Int32,
        "l" => Kind::Int64,
        "d" => Kind::Double,
        "y" => Kind::Bytes,
        "q" => Kind::Quantity,
        "t" => Kind::Time,
        "u" => Kind::MicroTime,
        "o" => Kind::IntOrString,
        "r" => Kind::Raw,
        "A" => Kind::SchemaOrArray,
        "B" => Kind::SchemaOrBool,
        "C" => Kind::SchemaOrStrings,
        name => {
            let name = name.strip_prefix(':')?;
            Kind::Message(*index.get(&name.rsplit_once('.').unwrap_or((package, name)))?)
        }
    };
    Some(Field { json, number: number.parse().ok()?, shape, kind, keep, omit_zero })
}
