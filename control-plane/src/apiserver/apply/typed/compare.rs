//! What differs between two objects, field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use api_objects::schema::{List, Type};
use serde_json::Value;

use super::{Shape, View, keys, list};
use crate::apiserver::apply::element::Element;
use crate::apiserver::apply::set::FieldSet;

/// The differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::apiserver::apply) struct Comparison {
    pub(in crate::apiserver::apply) added: FieldSet,
    pub(in crate::apiserver::apply) modified: FieldSet,
    pub(in crate::apiserver::apply) removed: FieldSet,
}

impl Comparison {
    /// Without some fields and all below them.
    pub(in crate::apiserver::apply) fn without(&self, fields: &FieldSet) -> Self {
        Self {
            added: self.added.without(fields),
            modified: self.modified.without(fields),
            removed: self.removed.without(fields),
        }
    }
}

/// Compares two objects.
pub(in crate::apiserver::apply) fn compare(
    view: View<'_>,
    old: &Value,
    new: &Value,
) -> Result<Comparison, String> {
    let mut walk = Walk { path: Vec::new(), found: Comparison::default() };
    walk.compare(view, Some(old), Some(new))?;
    Ok(walk.found)
}

struct Walk {
    path: Vec<Element>,
    found: Comparison,
}

impl Walk {
    fn compare(&mut self, view: View<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<(), String> {
        let leaf = match (old, new) {
            (None, None) => return Ok(()),
            (Some(value), None) | (None, Some(value)) => self.shaped(view, view.shape(value), old, new)?,
            (Some(before), Some(after)) => {
                let (before, after) = (view.shape(before), view.shape(after));
                if discriminant(&before) != discriminant(&after) {
                    self.shaped(view, before, old, new)?;
                }
                self.shaped(view, after, old, new)?
            }
        };
        if !leaf {
            match (old, new) {
                (None, Some(_)) => self.found.added.insert(&self.path),
                (Some(_), None) => self.found.removed.insert(&self.path),
                _ => {}
            }
        }
        Ok(())
    }

    /// Compares as one shape; true when it was compared as a whole.
    fn shaped(
        &mut self,
        view: View<'_>,
        shape: Shape<'_>,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<bool, String> {
        match shape {
            // Empty and null are told apart, so they are compared as a whole.
            Shape::Map if !map_is_empty(old) || !map_is_empty(new) => {
                let names: BTreeSet<&String> = [old, new]
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_object)
                    .flat_map(|map| map.keys())
                    .collect();
                for name in names {
                    let Some(inner) = view.field(name) else { continue };
                    let (old, new) = (get(old, name), get(new, name));
                    self.step(Element::field(name), |walk| walk.compare(inner, old, new))?;
                }
                Ok(false)
            }
            Shape::List(of, declared) if !list(old).is_empty() || !list(new).is_empty() => {
                self.lists(view, of, declared, list(old), list(new))?;
                Ok(false)
            }
            _ => {
                self.whole(old, new);
                Ok(true)
            }
        }
    }

    fn whole(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, _) => self.found.added.insert(&self.path),
            (_, None) => self.found.removed.insert(&self.path),
            (Some(old), Some(new)) if old != new => self.found.modified.insert(&self.path),
            _ => {}
        }
    }

    fn lists(
        &mut self,
        view: View<'_>,
        of: Type<'_>,
        declared: &List,
        old: &[Value],
        new: &[Value],
    ) -> Result<(), String> {
        let mut elements: BTreeMap<Element, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for item in old {
            elements.entry(keys::element(of, declared, item)?).or_default().0.push(item);
        }
        for item in new {
            elements.entry(keys::element(of, declared, item)?).or_default().1.push(item);
        }
        let inner = view.item();
        for (element, (old, new)) in elements {
            self.step(element, |walk| {
                match (old.as_slice(), new.as_slice()) {
                    ([] | [_], [] | [_]) => {
                        return walk.compare(inner, old.first().copied(), new.first().copied());
                    }
                    // Elements that are there more than once are one field.
                    ([_, _, ..], [_, _, ..]) => {
                        if old != new {
                            walk.found.modified.insert(&walk.path);
                        }
                    }
                    ([_, _, ..], _) => {
                        walk.compare(inner, None, new.first().copied())?;
                        walk.found.removed.insert(&walk.path);
                    }
                    (_, _) => {
                        walk.compare(inner, old.first().copied(), None)?;
                        walk.found.added.insert(&walk.path);
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        element: Element,
        inside: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.path.push(element);
        let result = inside(self);
        self.path.pop();
        result
    }
}

fn get<'v>(value: Option<&'v Value>, name: &str) -> Option<&'v Value> {
    value.and_then(|value| value.get(name))
}

fn map_is_empty(value: Option<&Value>) -> bool {
    value.and_then(Value::as_object).is_none_or(|map| map.is_empty())
}
