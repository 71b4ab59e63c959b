//! The document of version 2 in gnostic's protobuf, the one form in which kubectl asks for it: to see whether the server
//! checks fields of a kind that the documents of version 3 do not have, such as a `List`.
//!
//! The numbers are those of gnostic's `OpenAPIv2.proto`. Only what our document has is written.

use serde_json::Value;

use crate::apiserver::protobuf::wire::{put_bytes, put_integer};

/// How clients ask for it; the second is how older ones spell it.
pub(super) const MEDIA_TYPES: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
];

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(mut self, number: u32, bytes: &[u8]) -> Self {
        put_bytes(&mut self.0, number, bytes);
        self
    }

    /// A text, where there is one.
    fn text(self, number: u32, value: &Value) -> Self {
        match value.as_str() {
            Some(text) => self.bytes(number, text.as_bytes()),
            None => self,
        }
    }

    fn texts(self, number: u32, list: &Value) -> Self {
        list.as_array().into_iter().flatten().fold(self, |message, text| message.text(number, text))
    }

    fn flag(mut self, number: u32, value: &Value) -> Self {
        if value == &Value::Bool(true) {
            put_integer(&mut self.0, number, 1);
        }
        self
    }

    /// What is made of a value, where there is one.
    fn one(self, number: u32, value: &Value, make: impl Fn(&Value) -> Self) -> Self {
        if value.is_null() { self } else { self.bytes(number, &make(value).0) }
    }

    fn each(self, number: u32, list: &Value, make: impl Fn(&Value) -> Self) -> Self {
        list.as_array().into_iter().flatten().fold(self, |message, item| message.one(number, item, &make))
    }

    /// The entries of a map, each with its name.
    fn named(self, number: u32, map: &Value, make: impl Fn(&Value) -> Self) -> Self {
        map.as_object().into_iter().flatten().fold(self, |message, (name, value)| {
            let entry = Self::default().bytes(1, name.as_bytes()).one(2, value, &make);
            message.bytes(number, &entry.0)
        })
    }

    /// What is not of OpenAPI itself, as YAML, which JSON is.
    fn extensions(self, number: u32, of: &Value) -> Self {
        of.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-")).fold(
            self,
            |message, (name, value)| {
                let entry = Self::default().bytes(1, name.as_bytes()).one(2, value, any);
                message.bytes(number, &entry.0)
            },
        )
    }
}

fn any(value: &Value) -> Message {
    Message::default().bytes(2, value.to_string().as_bytes())
}

/// The document that JSON describes.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let info = |info: &Value| Message::default().text(1, &info["title"]).text(2, &info["version"]);
    let requirement = |requirement: &Value| {
        Message::default().named(1, requirement, |scopes| Message::default().texts(1, scopes))
    };
    let security = |all: &Value| Message::default().named(1, all, |one| Message::default().one(2, one, key));
    Message::default()
        .text(1, &document["swagger"])
        .one(2, &document["info"], info)
        .one(8, &document["paths"], |paths| Message::default().named(2, paths, path_item))
        .one(9, &document["definitions"], |all| Message::default().named(1, all, schema))
        .each(12, &document["security"], requirement)
        .one(13, &document["securityDefinitions"], security)
        .0
}

fn key(key: &Value) -> Message {
    let told = Message::default().text(1, &key["type"]).text(2, &key["name"]);
    told.text(3, &key["in"]).text(4, &key["description"])
}

fn path_item(item: &Value) -> Message {
    let methods = ["get", "put", "post", "delete", "options", "head", "patch"];
    let operations = (2..)
        .zip(methods)
        .fold(Message::default(), |message, (number, method)| message.one(number, &item[method], operation));
    operations.each(9, &item["parameters"], parameter)
}

fn operation(operation: &Value) -> Message {
    let answer = |answer: &Value| {
        let schema = |of: &Value| Message::default().one(1, of, schema);
        let answer = Message::default().text(1, &answer["description"]).one(2, &answer["schema"], schema);
        Message::default().bytes(1, &answer.0)
    };
    Message::default()
        .texts(1, &operation["tags"])
        .text(3, &operation["description"])
        .text(5, &operation["operationId"])
        .texts(6, &operation["produces"])
        .texts(7, &operation["consumes"])
        .each(8, &operation["parameters"], parameter)
        .one(9, &operation["responses"], |all| Message::default().named(1, all, answer))
        .texts(10, &operation["schemes"])
        .extensions(13, operation)
}

fn parameter(of: &Value) -> Message {
    let wrapped = |number, message: Message| Message::default().bytes(number, &message.0);
    let parameter = if of["in"] == "body" {
        let body = Message::default().text(1, &of["description"]).text(2, &of["name"]).text(3, &of["in"]);
        wrapped(1, body.flag(4, &of["required"]).one(5, &of["schema"], schema))
    } else {
        // One that stands in the path has no `allowEmptyValue`, and so other numbers behind it.
        let (kind, of_type, unique) = if of["in"] == "path" { (4, 5, 20) } else { (3, 6, 21) };
        let told = Message::default().flag(1, &of["required"]).text(2, &of["in"]).text(3, &of["description"]);
        let told = told.text(4, &of["name"]).text(of_type, &of["type"]).flag(unique, &of["uniqueItems"]);
        wrapped(2, wrapped(kind, told))
    };
    wrapped(1, parameter)
}

fn schema(of: &Value) -> Message {
    let additional = |of: &Value| match of {
        Value::Bool(_) => Message::default().flag(2, of),
        _ => Message::default().one(1, of, schema),
    };
    Message::default()
        .text(1, &of["$ref"])
        .text(2, &of["format"])
        .text(4, &of["description"])
        .one(5, &of["default"], any)
        .texts(19, &of["required"])
        .each(20, &of["enum"], any)
        .one(21, &of["additionalProperties"], additional)
        .one(22, &of["type"], |name| Message::default().text(1, name))
        .one(23, &of["items"], |items| Message::default().one(1, items, schema))
        .one(25, &of["properties"], |all| Message::default().named(1, all, schema))
        .extensions(31, of)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::apiserver::openapi::OpenApi;

    #[test]
    fn a_small_document_is_written_as_gnostic_reads_it() {
        let document = json!({"swagger": "2.0", "info": {"title": "T", "version": "v"},
            "definitions": {"A": {"type": "object", "required": ["b"], "x-y": {"k": 1},
                "properties": {"b": {"$ref": "#/definitions/B"}}}}});
        let expected: &[&[u8]] = &[
            b"\x0a\x032.0\x12\x06\x0a\x01T\x12\x01v",
            b"\x4a\x44\x0a\x42\x0a\x01A\x12\x3d",
            b"\x9a\x01\x01b\xb2\x01\x08\x0a\x06object",
            b"\xca\x01\x18\x0a\x16\x0a\x01b\x12\x11\x0a\x0f#/definitions/B",
            b"\xfa\x01\x10\x0a\x03x-y\x12\x09\x12\x07{\"k\":1}",
        ];
        assert_eq!(encode(&document), expected.concat());
    }

    /// What a schema of ours says is written; what is not would be lost without a word.
    #[test]
    fn nothing_that_a_schema_says_is_lost() {
        fn visit(schema: &Value, seen: &mut BTreeSet<String>) {
            for (name, value) in schema.as_object().into_iter().flatten() {
                seen.insert(name.clone());
                match name.as_str() {
                    "properties" => {
                        value.as_object().into_iter().flatten().for_each(|(_, of)| visit(of, seen))
                    }
                    "items" | "additionalProperties" => visit(value, seen),
                    _ => {}
                }
            }
        }
        let document = OpenApi::new("v", Vec::new(), || Value::Null).make_v2();
        let mut seen = BTreeSet::new();
        document["definitions"].as_object().unwrap().values().for_each(|of| visit(of, &mut seen));
        seen.retain(|name| !name.starts_with("x-"));
        let written = [
            "$ref",
            "additionalProperties",
            "default",
            "description",
            "enum",
            "format",
            "items",
            "properties",
            "required",
            "type",
        ];
        assert!(seen.iter().all(|name| written.contains(&name.as_str())), "{seen:?}");
    }
}
