//! Single values: what a type takes, and its one spelling.

use serde_json::Value;

use super::base64;
use super::context::Context;
use crate::schema::{Node, Type};
use crate::{Quantity, quantity, time};

/// A value that is neither list nor map, as its type stores it; null after an objection.
pub(super) fn read(context: &mut Context, of: Type<'_>, value: Value) -> Value {
    match (of.node(), value) {
        (Node::Raw { .. }, value) => value,
        (Node::SchemaOrBool { .. }, value @ Value::Bool(_)) => value,
        (Node::String { .. }, value @ Value::String(_)) => value,
        (Node::Bool { .. }, value @ Value::Bool(_)) => value,
        (Node::Double { .. }, value @ Value::Number(_)) => value,
        (Node::Int32 { .. }, value @ Value::Number(_)) => integer(context, of, value, is_i32),
        (Node::Int64 { .. }, value @ Value::Number(_)) => integer(context, of, value, Value::is_i64),
        (Node::Bytes { .. }, Value::String(text)) => match base64::decode(&text) {
            Ok(bytes) => base64::encode(&bytes).into(),
            Err(offset) => {
                context.refuse(format!("illegal base64 data at input byte {offset}"));
                Value::Null
            }
        },
        (Node::Quantity, value) => quantity_of(context, &value),
        (Node::Time, Value::String(text)) => time_of(context, &text, false),
        (Node::Microtime, Value::String(text)) => time_of(context, &text, true),
        (Node::Intorstring, value @ Value::String(_)) => value,
        (Node::Intorstring, value @ Value::Number(_)) if is_i32(&value) => value,
        (Node::Intorstring, value @ Value::Number(_)) => {
            refuse(context, of.node(), &format!("number {value}"));
            Value::Null
        }
        (node, value) if refuses(node) => {
            refuse(context, node, type_name(&value));
            Value::Null
        }
        (_, value) => {
            context.mismatch(type_name(&value), of.go());
            Value::Null
        }
    }
}

/// Whether Go reads the type by code of its own, whose objection ends the reading.
pub(super) fn refuses(node: &Node) -> bool {
    matches!(node, Node::Quantity | Node::Time | Node::Microtime | Node::Intorstring)
}

/// Ends the reading at a value that such code does not take.
pub(super) fn refuse(context: &mut Context, node: &Node, found: &str) {
    match node {
        Node::Quantity => context.refuse(quantity::ParseQuantityError.to_string()),
        Node::Intorstring => context.refuse_type(found, "int32"),
        _ => context.refuse_type(found, "string"),
    }
}

/// Go's word for the type of a value of JSON.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn integer(context: &mut Context, of: Type<'_>, value: Value, fits: impl Fn(&Value) -> bool) -> Value {
    if fits(&value) {
        return value;
    }
    context.mismatch(&format!("number {value}"), of.go());
    Value::Null
}

fn is_i32(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
}

fn quantity_of(context: &mut Context, value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    match text.parse::<Quantity>() {
        Ok(quantity) => quantity.to_string().into(),
        Err(error) => {
            context.refuse(error.to_string());
            Value::Null
        }
    }
}

fn time_of(context: &mut Context, text: &str, micro: bool) -> Value {
    match time::parse_rfc3339(text, micro) {
        Ok(time) if micro => time::format_micros(time).into(),
        Ok(time) => time::format(time).into(),
        Err(error) => {
            context.refuse(error);
            Value::Null
        }
    }
}
