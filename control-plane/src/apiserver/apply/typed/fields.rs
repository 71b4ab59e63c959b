//! The fields of an object, and sets in the light of a schema.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Shape, View, keys};
use crate::apiserver::apply::element::Element;
use crate::apiserver::apply::set::{FieldSet, Node};

/// The fields that an object sets: what an applier owns by sending it.
pub(in crate::apiserver::apply) fn fields(view: View<'_>, value: &Value) -> Result<FieldSet, String> {
    node(view, value).map(|node| node.below)
}

/// What is owned of a value: itself, and fields below it.
fn node(view: View<'_>, value: &Value) -> Result<Node, String> {
    let mut node = Node::default();
    match (view.shape(value), value) {
        (Shape::Scalar | Shape::AtomicList | Shape::AtomicMap, _) => node.member = true,
        (Shape::List(of, list), Value::Array(items)) => {
            let mut seen: BTreeMap<Element, Option<&Value>> = BTreeMap::new();
            for item in items {
                // Elements that are there more than once are owned together, as one.
                seen.entry(keys::element(of, list, item)?)
                    .and_modify(|item| *item = None)
                    .or_insert(Some(item));
            }
            for (element, item) in seen {
                let below = match item {
                    Some(item) => self::node(view.item(), item)?.below,
                    None => FieldSet::new(),
                };
                node.below.put(element, Node { member: true, below });
            }
        }
        (Shape::Map, Value::Object(entries)) => {
            for (name, value) in entries {
                let Some(inner) = view.field(name) else { continue };
                let mut child = self::node(inner, value)?;
                let empty = value.is_null() || value.as_object().is_some_and(|map| map.is_empty());
                child.member |= empty || !view.declares(name);
                node.below.put(Element::field(name), child);
            }
        }
        _ => {}
    }
    Ok(node)
}

/// The set with every declared field on the way to a member. A set usually has leaves only; to remove or keep a
/// field with all that is below it, the field itself has to be in.
pub(in crate::apiserver::apply) fn with_named(view: Option<View<'_>>, set: &FieldSet) -> FieldSet {
    let mut all = FieldSet::new();
    for (element, node) in set.nodes() {
        let (declared, inner) = match (view, element) {
            (Some(view), Element::Field(name)) => (view.declares(name), view.field(name)),
            (Some(view), Element::Keys(_)) => (false, Some(view.item())),
            _ => (false, None),
        };
        let member = node.member || declared && !node.below.is_empty();
        all.put(element.clone(), Node { member, below: with_named(inner, &node.below) });
    }
    all
}

/// The set of someone who wrote when the schema was another one: what is owned as a whole now, and was owned part
/// by part, is his as a whole.
pub(in crate::apiserver::apply) fn reconcile(view: View<'_>, set: &FieldSet) -> FieldSet {
    let mut now = FieldSet::new();
    for (element, node) in set.nodes() {
        let inner = match element {
            Element::Field(name) => view.field(name),
            _ => Some(view.item()),
        };
        let whole = inner.is_some_and(|inner| {
            matches!(inner, View::Typed { .. })
                && matches!(inner.shape(&Value::Null), Shape::AtomicList | Shape::AtomicMap)
        });
        let node = match inner {
            _ if node.below.is_empty() => node.clone(),
            Some(_) if whole => Node { member: true, below: FieldSet::new() },
            Some(inner) => Node { member: node.member, below: reconcile(inner, &node.below) },
            None => node.clone(),
        };
        now.put(element.clone(), node);
    }
    now
}
