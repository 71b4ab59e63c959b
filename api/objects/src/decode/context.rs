//! Where in a document a reader is, and what it met there.

use std::collections::HashSet;
use std::fmt::Write;

/// Objections beyond these are not told.
const MOST_OBJECTIONS: usize = 100;

/// The path from the root and what was met.
#[derive(Default)]
pub(super) struct Context {
    steps: Vec<Step>,
    objections: Vec<String>,
    told: HashSet<String>,
    /// The first value of a wrong type. The rest is read on, for a failure that counts more.
    mismatch: Option<String>,
    /// What ended the reading: a text that its type cannot parse.
    failure: Option<String>,
    /// Inside a value whose own reader does not object.
    silent: usize,
}

enum Step {
    /// A field, of which struct, and the embedded structs on the way.
    Field { name: &'static str, owner: &'static str, way: Option<&'static str> },
    /// An entry of a map.
    Key(String),
    /// An element of a list.
    Index(usize),
}

impl Context {
    pub(super) fn field<R>(
        &mut self,
        name: &'static str,
        owner: &'static str,
        way: Option<&'static str>,
        inside: impl FnOnce(&mut Self) -> R,
    ) -> R {
        self.inside(Step::Field { name, owner, way }, inside)
    }

    pub(super) fn key<R>(&mut self, key: &str, inside: impl FnOnce(&mut Self) -> R) -> R {
        self.inside(Step::Key(key.to_owned()), inside)
    }

    pub(super) fn index<R>(&mut self, index: usize, inside: impl FnOnce(&mut Self) -> R) -> R {
        self.inside(Step::Index(index), inside)
    }

    pub(super) fn silently<R>(&mut self, inside: impl FnOnce(&mut Self) -> R) -> R {
        self.silent += 1;
        let result = inside(self);
        self.silent -= 1;
        result
    }

    fn inside<R>(&mut self, step: Step, inside: impl FnOnce(&mut Self) -> R) -> R {
        self.steps.push(step);
        let result = inside(self);
        self.steps.pop();
        result
    }

    /// A field that the type does not have.
    pub(super) fn unknown(&mut self, name: &str) {
        self.object("unknown", name);
    }

    /// A key that was there before.
    pub(super) fn duplicate(&mut self, name: &str) {
        self.object("duplicate", name);
    }

    fn object(&mut self, what: &str, name: &str) {
        if self.silent > 0 || self.objections.len() >= MOST_OBJECTIONS {
            return;
        }
        let mut path = self.path();
        if !path.is_empty() {
            path.push('.');
        }
        let objection = format!("{what} field {:?}", path + name);
        if self.told.insert(objection.clone()) {
            self.objections.push(objection);
        }
    }

    /// A value of another type than wanted. `found` is Go's word for it.
    pub(super) fn mismatch(&mut self, found: &str, wanted: &str) {
        if self.mismatch.is_none() {
            self.mismatch = Some(self.describe(found, wanted));
        }
    }

    /// The same where Go's own readers of a type give up at once.
    pub(super) fn refuse_type(&mut self, found: &str, wanted: &str) {
        self.refuse(self.describe(found, wanted));
    }

    /// A text that cannot be parsed.
    pub(super) fn refuse(&mut self, message: String) {
        self.failure.get_or_insert(message);
    }

    pub(super) fn failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn error(&self) -> Option<String> {
        self.failure.clone().or_else(|| self.mismatch.clone())
    }

    pub(super) fn objections(self) -> Vec<String> {
        self.objections
    }

    /// Go names the innermost struct and all fields on the way, but neither indices nor keys.
    fn describe(&self, found: &str, wanted: &str) -> String {
        let mut fields = Vec::new();
        let mut innermost = None;
        for step in &self.steps {
            if let Step::Field { name, owner, way } = step {
                fields.extend(*way);
                fields.push(*name);
                innermost = Some(*owner);
            }
        }
        match innermost {
            Some(owner) => format!(
                "json: cannot unmarshal {found} into Go struct field {owner}.{} of type {wanted}",
                fields.join(".")
            ),
            None => format!("json: cannot unmarshal {found} into Go value of type {wanted}"),
        }
    }

    /// `spec.containers[0].env`
    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            let name = match step {
                Step::Field { name, .. } => name,
                Step::Key(key) => key.as_str(),
                Step::Index(index) => {
                    // Writing to a string does not fail.
                    let _ = write!(path, "[{index}]");
                    continue;
                }
            };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        path
    }
}
