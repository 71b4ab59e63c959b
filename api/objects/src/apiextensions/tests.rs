use serde_json::json;

use super::*;
use crate::table::Table;

const GROUP: &str = "apiextensions.k8s.io";
const KIND: &str = "CustomResourceDefinition";

fn good() -> Value {
    let mut definition = json!({"metadata": {"name": "bars.g.example"}, "spec": {
        "group": "g.example", "scope": "Namespaced",
        "names": {"plural": "bars", "kind": "Bar", "shortNames": ["br"], "categories": ["all"]},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
            "additionalPrinterColumns": [{"name": "N", "type": "integer", "jsonPath": ".spec.n"}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "n": {"type": "integer", "minimum": 0, "default": 1},
                "l": {"type": "array", "items": {"type": "string"}},
                "m": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}},
            }}}}}}],
    }});
    prepare(&mut definition, None);
    definition
}

#[test]
fn names_and_stored_versions_follow() {
    let mut definition = good();
    defaults(&mut definition);
    let names = &definition["spec"]["names"];
    assert_eq!([&names["singular"], &names["listKind"]], ["bar", "BarList"]);
    assert_eq!(definition["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(definition["status"]["storedVersions"], json!(["v1"]));
}

#[test]
fn definitions() {
    let table = Table::of(GROUP, KIND, good());
    table.create(&[
        ("/spec/group", json!(""), &["spec.group: Required value"]),
        ("/spec/group", json!("g"), &["spec.group: Invalid value: \"g\": should be a domain with at least one dot"]),
        ("/spec/group", json!("g.k8s.io"), &["metadata.annotations[api-approved.kubernetes.io]: Required value"]),
        ("/spec/scope", json!(""), &["spec.scope: Required value"]),
        ("/spec/scope", json!("X"), &["spec.scope: Unsupported value: \"X\""]),
        ("/spec/names/singular", json!("A"), &["spec.names.singular: Invalid value: \"A\""]),
        ("/spec/names/kind", json!(""), &["spec.names.kind: Required value"]),
        ("/spec/names/kind", json!("-"), &["spec.names.kind: Invalid value: \"-\": may have mixed case"]),
        ("/spec/names/kind", json!("BarList"), &["spec.names.listKind: Invalid value: \"BarList\": kind and listKind"]),
        ("/spec/names/shortNames/0", json!("A"), &["spec.names.shortNames[0]: Invalid value: \"A\""]),
        ("/spec/versions", json!([]), &["spec.versions: Invalid value: []: must have exactly one version marked"]),
        ("/spec/versions/0/name", json!(""), &["spec.versions[0].name: Invalid value: \"\""]),
        ("/spec/versions/0/schema", Value::Null, &["spec.versions[0].schema.openAPIV3Schema: Required value"]),
        ("/spec/versions/0/deprecationWarning", json!("x"), &["spec.versions[0].deprecationWarning: Invalid value"]),
        ("/spec/versions/0/subresources/scale/specReplicasPath", json!(""), &["spec.subresources.scale.specReplicasPath: R"]),
        ("/spec/versions/0/subresources/scale/statusReplicasPath", json!(".spec.n"),
            &["spec.subresources.scale.statusReplicasPath: Invalid value: \".spec.n\": should be a json path under .status"]),
        ("/spec/versions/0/additionalPrinterColumns/0/name", json!(""), &["spec.additionalPrinterColumns[0].name: Requ"]),
        ("/spec/versions/0/additionalPrinterColumns/0/type", json!("X"), &["spec.additionalPrinterColumns[0].type: Inv"]),
        ("/spec/versions/0/additionalPrinterColumns/0/jsonPath", json!("x"), &["spec.additionalPrinterColumns[0].JSONPath"]),
        ("/spec/conversion/strategy", json!("X"), &["spec.conversion.strategy: Unsupported value: \"X\""]),
        ("/spec/conversion/strategy", json!("Webhook"), &["spec.conversion.webhookClientConfig: Required value"]),
        ("/spec/preserveUnknownFields", json!(true), &["spec.preserveUnknownFields: Invalid value: true: cannot set"]),
        ("/status/storedVersions", json!(["v1", "v0"]), &["status.storedVersions[1]: Invalid value: \"v0\": missing"]),
        ("/status/storedVersions", json!([]), &["status.storedVersions: Invalid value: []: must have at least one"]),
    ]);
    table.update(&[
        (
            "/spec/group",
            json!("h.example"),
            &["spec.group: Invalid value: \"h.example\": field is immutable"],
        ),
        ("/spec/names/plural", json!("b"), &["spec.names.plural: Invalid value: \"b\": field is immutable"]),
    ]);
    table.status(&[(
        "/status/acceptedNames",
        json!({"plural": "A"}),
        &["status.acceptedNames.plural: Invalid value"],
    )]);
    let mut established = good();
    established["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
    Table::of(GROUP, KIND, established).update(&[(
        "/spec/scope",
        json!("Cluster"),
        &["spec.scope: Invalid value: \"Cluster\": field is immutable"],
    )]);
}

#[test]
fn schemas() {
    let table = Table::of(GROUP, KIND, good());
    let told = "spec.validation.openAPIV3Schema";
    for (pointer, value, want) in [
        ("type", json!(""), ".type: Required value: must not be empty at the root"),
        (
            "type",
            json!("string"),
            ".type: Invalid value: \"string\": only \"object\" is allowed as the type at the root",
        ),
        ("nullable", json!(true), ": Invalid value: "),
        ("additionalProperties", json!({"type": "string"}), ": Invalid value: "),
        ("properties/spec/type", json!("x"), ".properties[spec].type: Unsupported value: \"x\""),
        (
            "properties/spec/type",
            json!(""),
            ".properties[spec].type: Required value: must not be empty for specified",
        ),
        (
            "properties/spec/properties/n/default",
            json!(-7),
            ".properties[spec].properties[n].default: Invalid value: -7:",
        ),
        (
            "properties/spec/properties/n/default",
            json!("x"),
            ".properties[spec].properties[n].default: Invalid value: \"string\":  in body must be of type integer",
        ),
        (
            "properties/spec/properties/l/items",
            Value::Null,
            ".properties[spec].properties[l].items: Required value",
        ),
        (
            "properties/spec/properties/l/items/type",
            json!(""),
            ".properties[spec].properties[l].items.type: Required",
        ),
        (
            "properties/spec/properties/l/uniqueItems",
            json!(true),
            ".properties[spec].properties[l].uniqueItems: Forbidden",
        ),
        (
            "properties/spec/properties/l/x-kubernetes-list-type",
            json!("X"),
            ".properties[spec].properties[l].x-kubernetes-list-type: Unsupported value: \"X\"",
        ),
        (
            "properties/spec/properties/n/x-kubernetes-list-type",
            json!("set"),
            ".properties[spec].properties[n].type: Invalid value: \"integer\": must be array if",
        ),
        (
            "properties/spec/properties/n/x-kubernetes-map-type",
            json!("atomic"),
            ".properties[spec].properties[n].type: Invalid value: \"integer\": must be object if",
        ),
        (
            "properties/spec/properties/m/x-kubernetes-list-map-keys",
            json!([]),
            ".properties[spec].properties[m].x-kubernetes-list-map-keys: Required value",
        ),
        (
            "properties/spec/properties/m/x-kubernetes-list-map-keys",
            json!(["z"]),
            ".properties[spec].properties[m].x-kubernetes-list-map-keys: Invalid value: [\"z\"]: entries must all",
        ),
        (
            "properties/spec/properties/m/items/required",
            json!([]),
            ".properties[spec].properties[m].items.properties[k].default: Required value: this property is in",
        ),
        (
            "properties/spec/properties/n/allOf",
            json!([{"type": "integer"}]),
            ".properties[spec].properties[n].allOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            "properties/spec/properties/n/$ref",
            json!("x"),
            ".properties[spec].properties[n].$ref: Forbidden: $ref is not",
        ),
        (
            "properties/spec/properties/n/x-kubernetes-validations",
            json!([{}]),
            ".properties[spec].properties[n].x-kubernetes-validations[0].rule: Required value: rule is not specified",
        ),
        (
            "properties/metadata",
            json!({"type": "object", "title": "x"}),
            ".properties[metadata]: Forbidden: must not specify anything other than name and generateName",
        ),
        (
            "properties/kind",
            json!({"type": "integer"}),
            ".properties[kind].type: Invalid value: \"integer\": must be string",
        ),
    ] {
        let pointer = format!("/spec/versions/0/schema/openAPIV3Schema/{pointer}");
        table.create(&[(&pointer, value, &[&format!("{told}{want}")])]);
    }
}
