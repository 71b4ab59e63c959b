//! Which objects a list or a watch selects: by labels and by the fields that the kind lets be selected.

use api_objects::selector::{FieldSelector, LabelSelector};

use super::cache::Object;
use super::kinds::Resource;
use super::status::Status;

/// What objects must be like.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    labels: LabelSelector,
    fields: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq)]
struct Term {
    /// Index of the kind's field.
    field: usize,
    equal: bool,
    value: String,
}

impl Selection {
    /// Finds the fields meant among those of the resource; another one is refused.
    pub fn new(resource: &Resource, labels: LabelSelector, fields: &FieldSelector) -> Result<Self, Status> {
        let served = resource.served();
        let terms = fields.terms().iter().map(|term| {
            match served.labels.iter().find(|(label, _)| *label == term.field) {
                Some((_, field)) => Ok(Term { field: *field, equal: term.equal, value: term.value.clone() }),
                None => Err(Status::bad_request(served.refusal.replace("{}", &term.field))),
            }
        });
        Ok(Self { labels, fields: terms.collect::<Result<_, _>>()? })
    }

    /// Every object is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object is selected.
    pub fn selects(&self, object: &Object) -> bool {
        self.fields.iter().all(|term| (object.field(term.field) == term.value) == term.equal)
            && self.labels.matches(|name| object.label(name))
    }
}
