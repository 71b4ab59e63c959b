//! The rules of each kind: what is filled in, and what is refused.
//!
//! A kind has a row in [`of`]; its functions stand in a file of the kind, in the folder of its group. They look at one
//! object in the form that it is stored in, and at the one that it replaces. What concerns other objects (a name that
//! is taken, a namespace that is not there) is not theirs.

use serde_json::Value;

use crate::{FieldError, pod};

/// What the API does with the objects of one kind. The metadata is looked at for all kinds alike.
pub struct Rules {
    /// Fills in what was left out.
    pub defaults: fn(&mut Value),
    /// What a new object breaks.
    pub create: fn(&Value) -> Vec<FieldError>,
    /// What an object breaks that replaces another one: the new one, the old one.
    pub update: fn(&Value, &Value) -> Vec<FieldError>,
    /// What a new status breaks: the new object, the old one.
    pub status: fn(&Value, &Value) -> Vec<FieldError>,
}

impl Rules {
    /// Nothing is filled in, nothing is refused.
    const NONE: Self = Self {
        defaults: |_| {},
        create: |_| Vec::new(),
        update: |_, _| Vec::new(),
        status: |_, _| Vec::new(),
    };
}

/// The rules of a kind, named by its group (empty for the core one) and its name; none for a kind that has only its
/// schema.
pub fn of(group: &str, kind: &str) -> Option<&'static Rules> {
    Some(match (group, kind) {
        ("", "Pod") => const { &Rules { defaults: pod::set_defaults, ..Rules::NONE } },
        _ => return None,
    })
}
