//! Puts what someone applies into an object.

use std::collections::{BTreeMap, BTreeSet};

use api_objects::schema::{List, Type};
use serde_json::{Map, Value};

use super::{Shape, View, keys, list};
use crate::apiserver::apply::element::Element;

/// The object with everything that `applied` says; nothing of it is removed.
pub(in crate::apiserver::apply) fn merge(
    view: View<'_>,
    live: &Value,
    applied: &Value,
) -> Result<Value, String> {
    both(view, live, applied).map(|merged| merged.unwrap_or(Value::Null))
}

fn either(view: View<'_>, live: Option<&Value>, applied: Option<&Value>) -> Result<Option<Value>, String> {
    match (live, applied) {
        (Some(live), Some(applied)) => both(view, live, applied),
        (one, other) => Ok(one.or(other).cloned()),
    }
}

fn both(view: View<'_>, live: &Value, applied: &Value) -> Result<Option<Value>, String> {
    let map_empty = |value: &Value| value.as_object().is_none_or(|map| map.is_empty());
    match view.shape(applied) {
        Shape::Map if !map_empty(live) || !map_empty(applied) => {
            let names: BTreeSet<&String> =
                [live, applied].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys()).collect();
            let mut merged = Map::new();
            for name in names {
                let inner = view.field(name).unwrap_or(View::Open);
                if let Some(value) = either(inner, live.get(name), applied.get(name))? {
                    merged.insert(name.clone(), value);
                }
            }
            Ok((!merged.is_empty()).then_some(Value::Object(merged)))
        }
        Shape::List(of, declared) if !list(Some(live)).is_empty() || !list(Some(applied)).is_empty() => {
            let merged = lists(view, of, declared, list(Some(live)), list(Some(applied)))?;
            Ok((!merged.is_empty()).then_some(Value::Array(merged)))
        }
        _ => Ok(Some(applied.clone())),
    }
}

type Index<'v> = BTreeMap<Element, &'v Value>;

/// Elements of both lists in the order applied; those of the live list alone stay behind what they stood behind, as
/// far as the applied order lets them.
fn lists(
    view: View<'_>,
    of: Type<'_>,
    declared: &List,
    live: &[Value],
    applied: &[Value],
) -> Result<Vec<Value>, String> {
    let (live_order, live_index) = index(of, declared, live, true)?;
    let (order, applied_index) = index(of, declared, applied, false)?;
    let inner = view.item();
    let mut shared = order.iter().filter(|element| live_index.contains_key(*element)).peekable();
    let mut taken = BTreeSet::new();
    let mut merged = Vec::with_capacity(live.len().max(applied.len()));
    let (mut left, mut right) = (0, 0);
    while left < live_order.len() || right < order.len() {
        if let (Some(ours), Some(theirs)) = (live_order.get(left), order.get(right)) {
            if ours == theirs {
                merged.extend(either(
                    inner,
                    live_index.get(ours).copied(),
                    applied_index.get(ours).copied(),
                )?);
                taken.insert(ours);
                (left, right) = (left + 1, right + 1);
                shared.next();
                continue;
            }
            // In both, but it is another one's turn.
            if applied_index.contains_key(ours) && shared.peek().is_some_and(|next| *next != ours) {
                left += 1;
                continue;
            }
        }
        if let Some(ours) = live_order.get(left) {
            if !applied_index.contains_key(ours) {
                merged.push(live[left].clone());
                left += 1;
                continue;
            }
            if taken.contains(ours) {
                left += 1;
            }
        }
        if let Some(theirs) = order.get(right) {
            merged.extend(either(
                inner,
                live_index.get(theirs).copied(),
                applied_index.get(theirs).copied(),
            )?);
            taken.insert(theirs);
            right += 1;
            if shared.peek() == Some(&theirs) {
                shared.next();
            }
        }
    }
    Ok(merged)
}

/// The path elements of a list in order, and its elements by them. Of elements that are there more than once in the
/// live list, nothing is merged.
fn index<'v>(
    of: Type<'_>,
    declared: &List,
    items: &'v [Value],
    duplicates: bool,
) -> Result<(Vec<Element>, Index<'v>), String> {
    static NOTHING: Value = Value::Null;
    let mut order = Vec::with_capacity(items.len());
    let mut index = Index::new();
    for item in items {
        let element = keys::element(of, declared, item)?;
        if index.insert(element.clone(), item).is_some() {
            if !duplicates {
                return Err(format!("duplicate entries for key {element}"));
            }
            index.insert(element.clone(), &NOTHING);
        }
        order.push(element);
    }
    Ok((order, index))
}
