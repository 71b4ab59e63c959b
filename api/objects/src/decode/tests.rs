use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::Schema;

fn of(api_version: &str, kind: &str) -> Type<'static> {
    Schema::builtin().kind_of(api_version, kind).unwrap()
}

fn pod(json: &Value) -> Result<Decoded, DecodeError> {
    decode(of("v1", "Pod"), json.to_string().as_bytes())
}

fn message(result: Result<Decoded, DecodeError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn what_go_always_writes_is_there_and_what_it_omits_is_not() {
    let decoded = pod(&json!({
        "metadata": {"name": "a", "labels": {}, "creationTimestamp": null, "generation": 0},
        "spec": {"containers": [{"name": "c", "args": [], "env": null, "tty": false}], "hostNetwork": false,
            "terminationGracePeriodSeconds": 0},
        "status": null,
    }));
    let expected = json!({
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "resources": {}}], "terminationGracePeriodSeconds": 0},
        "status": {},
    });
    assert_eq!(decoded.unwrap().value, expected);
}

#[test]
fn required_values_that_nobody_gave_are_zero() {
    let decoded = pod(&json!({"spec": {"containers": [{}]}})).unwrap().value;
    assert_eq!(decoded["spec"]["containers"], json!([{"name": "", "resources": {}}]));
    assert_eq!(pod(&json!({})).unwrap().value["spec"], json!({"containers": null}));
    let event = empty(of("v1", "Event"));
    let expected = json!({"metadata": {}, "involvedObject": {}, "source": {}, "firstTimestamp": null,
        "lastTimestamp": null, "eventTime": null, "reportingComponent": "", "reportingInstance": ""});
    assert_eq!(event, expected);
}

#[test]
fn empty_lists_that_are_always_written_are_stored_as_null() {
    let role = of("rbac.authorization.k8s.io/v1", "Role");
    let mut decoded = decode(role, br#"{"rules":[{"verbs":["get"],"apiGroups":[]}]}"#).unwrap().value;
    for_storage(role, &mut decoded);
    assert_eq!(decoded, json!({"metadata": {}, "rules": [{"verbs": ["get"]}]}));
    let mut decoded = decode(role, br#"{"rules":[]}"#).unwrap().value;
    assert_eq!(decoded["rules"], json!([]));
    for_storage(role, &mut decoded);
    assert_eq!(decoded["rules"], Value::Null);
}

#[test]
fn null_in_a_list_or_a_map_is_a_zero_value() {
    let decoded = pod(&json!({"metadata": {"labels": {"a": null}, "finalizers": [null]}})).unwrap();
    assert_eq!(decoded.value["metadata"], json!({"labels": {"a": ""}, "finalizers": [""]}));
}

#[test]
fn values_have_one_spelling() {
    let decoded = pod(&json!({
        "metadata": {"creationTimestamp": "2026-01-02T03:04:05.5+01:00"},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi", "x": "1000m"}}}]},
    }));
    let value = decoded.unwrap().value;
    assert_eq!(value["metadata"]["creationTimestamp"], "2026-01-02T02:04:05Z");
    let limits = json!({"cpu": "500m", "memory": "1Gi", "x": "1"});
    assert_eq!(value["spec"]["containers"][0]["resources"]["limits"], limits);
}

#[test]
fn objections_come_in_the_order_of_the_document() {
    let json = br#"{"kind":"Pod","zz":{"a":1,"a":2},"metadata":{"labels":{"x":"1","x":"2"},"b":1},
        "spec":{"containers":[{"name":"c","image":"i"},{"name":"d","nmae":"e","name":"f"}],"replica":1,"replica":2}}"#;
    let decoded = decode(of("v1", "Pod"), json).unwrap();
    let expected = [
        "unknown field \"zz\"",
        "duplicate field \"metadata.labels.x\"",
        "unknown field \"metadata.b\"",
        "unknown field \"spec.containers[1].nmae\"",
        "duplicate field \"spec.containers[1].name\"",
        "unknown field \"spec.replica\"",
    ];
    assert_eq!(decoded.objections, expected);
    assert_eq!(decoded.value["spec"]["containers"][1]["name"], "f");
    assert!(decoded.value.get("zz").is_none());

    let refused = FieldValidation::Strict.judge(decoded.objections.clone()).unwrap_err();
    assert!(refused.starts_with("strict decoding error: unknown field \"zz\", duplicate field"), "{refused}");
    assert_eq!(FieldValidation::Warn.judge(decoded.objections.clone()), Ok(decoded.objections.clone()));
    assert_eq!(FieldValidation::Ignore.judge(decoded.objections), Ok(Vec::new()));
    assert_eq!(FieldValidation::parse(""), Some(FieldValidation::Warn));
    assert_eq!(FieldValidation::parse("strict"), None);
}

#[test]
fn wrong_types_are_told_in_gos_words() {
    for (spec, error) in [
        (json!({"hostNetwork": "x"}), "string into Go struct field PodSpec.spec.hostNetwork of type bool"),
        (json!({"os": []}), "array into Go struct field PodSpec.spec.os of type v1.PodOS"),
        (json!({"os": {"name": 1}}), "number into Go struct field PodOS.spec.os.name of type v1.OSName"),
        (
            json!({"tolerations": {"a": 1}}),
            "object into Go struct field PodSpec.spec.tolerations of type []v1.Toleration",
        ),
        (
            json!({"priority": 12345678901u64}),
            "number 12345678901 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            json!({"containers": [{"livenessProbe": {"httpGet": {"path": 1}}}]}),
            "number into Go struct field HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.path of type string",
        ),
    ] {
        let expected = format!("json: cannot unmarshal {error}");
        assert_eq!(message(pod(&json!({"spec": spec}))), expected);
    }
    assert_eq!(message(pod(&json!([]))), "json: cannot unmarshal array into Go value of type v1.Pod");
}

#[test]
fn what_cannot_be_parsed_counts_more_than_a_wrong_type_before_it() {
    let json = br#"{"metadata":{"name":1},"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}"#;
    let error = message(decode(of("v1", "Pod"), json));
    assert!(error.starts_with("quantities must match"), "{error}");
    let json = br#"{"metadata":{"name":1},"spec":"#;
    assert_eq!(message(decode(of("v1", "Pod"), json)), "unexpected end of JSON input");
    let json = br#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}"#;
    assert_eq!(message(decode(of("v1", "Pod"), json)), "unexpected end of JSON input");
    let error = message(decode(of("v1", "Secret"), br#"{"data":{"a":"A_b!"}}"#));
    assert_eq!(error, "illegal base64 data at input byte 1");
}

#[test]
fn broken_json_is_told_in_gos_words() {
    for (json, error) in [
        ("", "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{a: 1}", "invalid character 'a' looking for beginning of object key string"),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
        (r#"{"a": 1 "b"}"#, "invalid character '\"' after object key:value pair"),
        ("{} {}", "invalid character '{' after top-level value"),
    ] {
        assert_eq!(message(decode_any(json.as_bytes())), error, "{json}");
    }
}

#[test]
fn there_are_limits() {
    let deep = "[".repeat(10_000);
    assert!(matches!(decode_any(deep.as_bytes()), Err(DecodeError::Syntax(_))));
    assert_eq!(decode(of("v1", "Pod"), &vec![b' '; MAX_BYTES + 1]), Err(DecodeError::TooLarge));
    let many: Vec<_> = (0..1000).map(|n| format!("\"x{n}\":1")).collect();
    let decoded = decode(of("v1", "Pod"), format!("{{{}}}", many.join(",")).as_bytes()).unwrap();
    assert_eq!(decoded.objections.len(), 100);
}

#[test]
fn schemas_within_custom_resources_are_pruned_but_not_objected_to() {
    let decoded = decode(
        of("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        br#"{"spec":{"versions":[{"schema":{"openAPIV3Schema":{"x":1,"default":{"a":[1,null]},
            "items":{"type":"string","zz":1},"additionalProperties":false}}}]}}"#,
    )
    .unwrap();
    let schema = &decoded.value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let expected =
        json!({"default": {"a": [1, null]}, "items": {"type": "string"}, "additionalProperties": false});
    assert_eq!(*schema, expected);
    assert_eq!(decoded.objections, ["unknown field \"spec.versions[0].schema.openAPIV3Schema.x\""]);
}

#[test]
fn what_is_stored_stays_as_it_is() {
    for (group, version, kind) in Schema::builtin().kinds() {
        let of = Schema::builtin().kind(group, version, kind).unwrap();
        let once = normalise(of, &json!({})).unwrap().value;
        assert_eq!(once, empty(of), "{kind}");
        assert_eq!(normalise(of, &once).unwrap(), Decoded { value: once, objections: vec![] }, "{kind}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let words = [
        "metadata",
        "name",
        "spec",
        "containers",
        "labels",
        "ports",
        "x",
        "80",
        "1Gi",
        "2026-01-02T03:04:05Z",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        proptest::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 5, move |inner| {
        let key = proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(of("v1", "Pod"), &bytes);
    }

    #[test]
    fn normal_objects_are_fixed_points(value in any_value()) {
        if let Ok(first) = pod(&value) {
            let again = normalise(of("v1", "Pod"), &first.value).unwrap();
            prop_assert!(again.objections.is_empty());
            prop_assert_eq!(again.value, first.value);
        }
    }
}
