use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::wire::{Wire, put_bytes, put_integer, put_tag};
use super::*;

/// What a stock kubectl 1.32 sent, and what it printed of the same command with `--dry-run=client -o json`.
const KUBECTL: &str = include_str!("kubectl.jsonl");

/// A body of a kind whose message is `raw`.
fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let (mut type_meta, mut body) = (Vec::new(), PREFIX.to_vec());
    put_bytes(&mut type_meta, 1, api_version.as_bytes());
    put_bytes(&mut type_meta, 2, kind.as_bytes());
    put_bytes(&mut body, 1, &type_meta);
    put_bytes(&mut body, 2, raw);
    body
}

fn message(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn bytes_field(number: u32, bytes: &[u8]) -> Vec<u8> {
    message(|out| put_bytes(out, number, bytes))
}

fn decoded(api_version: &str, kind: &str, raw: &[u8]) -> Value {
    decode(&body(api_version, kind, raw), None).unwrap()
}

fn fault(api_version: &str, kind: &str, raw: &[u8]) -> String {
    decode(&body(api_version, kind, raw), None).unwrap_err().to_string()
}

fn captured() -> impl Iterator<Item = (String, Vec<u8>, Value)> {
    KUBECTL.lines().map(|line| {
        let case: Value = serde_json::from_str(line).unwrap();
        let body = STANDARD.decode(case["body"].as_str().unwrap()).unwrap();
        (case["command"].as_str().unwrap().to_owned(), body, case["json"].clone())
    })
}

/// Kubectl 1.32 prints a null that Go of 1.36 leaves out.
fn without_null_creation(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("creationTimestamp").is_some_and(Value::is_null) {
                object.remove("creationTimestamp");
            }
            object.values_mut().for_each(without_null_creation);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null_creation),
        _ => {}
    }
}

#[test]
fn the_committed_table_has_every_message_that_is_referred_to() {
    let table = Table::get();
    assert!(table.messages().len() > 550, "{}", table.messages().len());
    for message in table.messages() {
        assert!(message.fields.is_sorted_by_key(|field| field.number), "{}", message.name());
        for field in &message.fields {
            let unnamed = field.json.is_empty();
            let may_be_unnamed = field.shape == table::Shape::Inline || message.items().is_some();
            assert_eq!(unnamed, may_be_unnamed, "{}.{}", message.name(), field.json);
            // What is left out when empty is known from its JSON: null.
            assert!(!field.omit_zero || field.kind == table::Kind::Time, "{}.{}", message.name(), field.json);
        }
    }
}

#[test]
fn an_empty_message_of_any_kind_is_the_empty_object() {
    for (api_version, kind) in Table::get().kinds() {
        let api_version = api_version.replace('*', "v1");
        let object = decoded(&api_version, kind, &[]);
        assert_eq!(
            (object["apiVersion"].as_str(), object["kind"].as_str()),
            (Some(&*api_version), Some(kind))
        );
        let again = decode(&encode(&object).unwrap(), None).unwrap();
        assert_eq!(again, object);
    }
}

#[test]
fn what_kubectl_sends_is_what_it_prints() {
    let mut seen = 0;
    for (command, body, mut printed) in captured() {
        let object = decode(&body, None).unwrap();
        without_null_creation(&mut printed);
        assert_eq!(object, printed, "{command}");
        // Its bytes come out again, but for fields that are newer than it.
        let again = decode(&encode(&object).unwrap(), None).unwrap();
        assert_eq!(again, object, "{command}");
        seen += 1;
    }
    assert!(seen >= 20, "{seen}");
}

#[test]
fn empty_fields_are_as_go_writes_them_in_json() {
    let object = decoded("v1", "Pod", &bytes_field(2, &[]));
    let expected = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": null}, "status": {}});
    assert_eq!(object, expected);
    let container = bytes_field(2, &bytes_field(2, &[]));
    assert_eq!(
        decoded("v1", "Pod", &container)["spec"]["containers"],
        json!([{"name": "", "resources": {}}])
    );
    let event = decoded("v1", "Event", &[]);
    assert_eq!(event["eventTime"], Value::Null);
    assert!(event.as_object().unwrap().contains_key("eventTime"));
    assert_eq!(event["reportingComponent"], "");
}

#[test]
fn an_explicit_zero_is_kept_only_where_absent_differs() {
    // Deployment.spec.replicas is a pointer, spec.minReadySeconds is not.
    let spec = message(|out| {
        put_integer(out, 1, 0);
        put_integer(out, 5, 0);
    });
    let spec = &decoded("apps/v1", "Deployment", &bytes_field(2, &spec))["spec"];
    assert_eq!(spec["replicas"], 0);
    assert_eq!(spec.get("minReadySeconds"), None);
}

#[test]
fn fields_that_come_twice_end_as_in_go() {
    let name = |name: &str| bytes_field(1, &bytes_field(1, name.as_bytes()));
    let namespace = bytes_field(1, &bytes_field(3, b"ns"));
    let raw = [name("a"), namespace, name("b")].concat();
    assert_eq!(decoded("v1", "ConfigMap", &raw)["metadata"], json!({"name": "b", "namespace": "ns"}));
    let emptied = [name("a"), name("")].concat();
    assert_eq!(decoded("v1", "ConfigMap", &emptied)["metadata"], json!({}));
    let entry =
        |key: &[u8], value: &[u8]| bytes_field(2, &[bytes_field(1, key), bytes_field(2, value)].concat());
    let raw = [entry(b"k", b"1"), entry(b"l", b""), entry(b"k", b"2"), bytes_field(2, &bytes_field(1, b"m"))]
        .concat();
    assert_eq!(decoded("v1", "ConfigMap", &raw)["data"], json!({"k": "2", "l": "", "m": ""}));
}

#[test]
fn an_entry_without_items_is_an_empty_list() {
    // SubjectAccessReview.spec.extra: a map of messages that are lists in JSON.
    let extra = bytes_field(2, &bytes_field(5, &[bytes_field(1, b"k"), bytes_field(2, &[])].concat()));
    assert_eq!(
        decoded("authorization.k8s.io/v1", "SubjectAccessReview", &extra)["spec"]["extra"],
        json!({"k": []})
    );
}

#[test]
fn lists_of_numbers_come_packed_or_one_by_one() {
    // Pod.spec.securityContext.supplementalGroups
    let packed =
        bytes_field(4, &message(|out| [7, 300].iter().for_each(|&n| super::wire::put_varint(out, n))));
    let single = message(|out| put_integer(out, 4, -1));
    let raw = bytes_field(2, &bytes_field(14, &[packed, single].concat()));
    let groups = &decoded("v1", "Pod", &raw)["spec"]["securityContext"]["supplementalGroups"];
    assert_eq!(*groups, json!([7, 300, -1]));
}

#[test]
fn unknown_fields_are_passed_over_whatever_their_layout() {
    let raw = message(|out| {
        put_integer(out, 900, 5);
        put_bytes(out, 901, b"x");
        put_tag(out, 902, Wire::Fixed64);
        out.extend([0; 8]);
        put_tag(out, 903, Wire::Fixed32);
        out.extend([0; 4]);
        put_tag(out, 904, Wire::GroupStart);
        put_integer(out, 1, 1);
        put_tag(out, 905, Wire::GroupStart);
        put_tag(out, 905, Wire::GroupEnd);
        put_tag(out, 904, Wire::GroupEnd);
        put_bytes(out, 1, &bytes_field(1, b"a"));
    });
    assert_eq!(decoded("v1", "ConfigMap", &raw)["metadata"]["name"], "a");
}

#[test]
fn times_have_the_precision_of_json() {
    let time = message(|out| {
        put_integer(out, 1, 1_700_000_000);
        put_integer(out, 2, 123_456_789);
    });
    let raw = bytes_field(2, &bytes_field(3, &time));
    assert_eq!(
        decoded("coordination.k8s.io/v1", "Lease", &raw)["spec"]["acquireTime"],
        "2023-11-14T22:13:20.123456Z"
    );
    let raw = bytes_field(1, &bytes_field(8, &time));
    assert_eq!(decoded("v1", "ConfigMap", &raw)["metadata"]["creationTimestamp"], "2023-11-14T22:13:20Z");
    let never = message(|out| put_integer(out, 1, i64::MAX));
    let raw = bytes_field(1, &bytes_field(8, &never));
    assert_eq!(
        fault("v1", "ConfigMap", &raw),
        "proto: meta.v1.ObjectMeta.creationTimestamp: time out of range"
    );
}

#[test]
fn what_is_malformed_is_named() {
    let at_name = |raw: &[u8]| fault("v1", "ConfigMap", &bytes_field(1, raw));
    assert_eq!(at_name(&[0x08, 1]), "proto: meta.v1.ObjectMeta.name: wrong wireType = 0");
    assert_eq!(at_name(&[0x0a, 5, b'a']), "proto: meta.v1.ObjectMeta.name: unexpected end of data");
    assert_eq!(at_name(&[0x0a, 1, 0xff]), "proto: meta.v1.ObjectMeta.name: invalid UTF-8");
    assert_eq!(at_name(&[0x0e]), "proto: meta.v1.ObjectMeta.(tag): illegal wireType 6");
    assert_eq!(at_name(&[0x00]), "proto: meta.v1.ObjectMeta.(tag): illegal tag");
    assert_eq!(at_name(&[0xff; 11]), "proto: meta.v1.ObjectMeta.(tag): integer overflow");
    assert_eq!(at_name(&[0xfc, 0x3f]), "proto: meta.v1.ObjectMeta.#1023: illegal wireType 4");
    let data = bytes_field(2, &bytes_field(1, b"{"));
    let message = fault("apps/v1", "ControllerRevision", &data);
    assert!(message.starts_with("proto: apps.v1.ControllerRevision.data: not JSON: EOF"), "{message}");
}

#[test]
fn a_body_that_does_not_say_what_it_is_takes_the_callers_word() {
    assert_eq!(decode(b"", None), Err(DecodeError::NoPrefix));
    assert_eq!(decode(b"{}", None), Err(DecodeError::NoPrefix));
    assert_eq!(decode(PREFIX, None), Err(DecodeError::NoKind));
    let object = decode(PREFIX, Some(("v1", "DeleteOptions"))).unwrap();
    assert_eq!(object, json!({"apiVersion": "v1", "kind": "DeleteOptions"}));
    // Clients send the options in the version of the group that they talk to.
    assert_eq!(decoded("policy/v1", "DeleteOptions", &[])["kind"], "DeleteOptions");
    let unknown = fault("v1", "Gizmo", &[]);
    assert_eq!(unknown, "no kind \"Gizmo\" is registered for version \"v1\"");
    assert_eq!(decode(&vec![b'k'; MAX_SIZE + 1], None), Err(DecodeError::TooLarge));
}

#[test]
fn depth_and_count_are_bounded() {
    // CustomResourceDefinition.spec.versions[0].schema.openAPIV3Schema.not.not…
    let schema = |levels: usize| {
        let not = (0..levels).fold(Vec::new(), |inner, _| bytes_field(28, &inner));
        bytes_field(2, &bytes_field(7, &bytes_field(4, &bytes_field(1, &not))))
    };
    let crd = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let object = decoded(crd.0, crd.1, &schema(100));
    assert_eq!(decode(&encode(&object).unwrap(), None).unwrap(), object);
    let message = fault(crd.0, crd.1, &schema(1000));
    assert_eq!(message, "proto: apiextensions.v1.JSONSchemaProps.not: nested deeper than 128 levels");
    let many = bytes_field(2, &[0x12, 0].repeat(400_000));
    let message = fault("v1", "Pod", &many);
    assert!(message.ends_with("more values than an object may have"), "{message}");
    let deep = (0..1000).fold(json!({}), |inner, _| json!({ "not": inner }));
    let object = json!({"apiVersion": crd.0, "kind": crd.1, "spec": {"versions": [{"schema": {"openAPIV3Schema": deep}}]}});
    assert!(matches!(encode(&object), Err(EncodeError::Depth { .. })));
}

#[test]
fn a_value_of_another_type_is_not_written() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"ports": [{"containerPort": "80"}]}]}});
    assert_eq!(encode(&pod).unwrap_err().to_string(), "core.v1.ContainerPort.containerPort: not an int32");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": []});
    assert_eq!(encode(&pod).unwrap_err().to_string(), "core.v1.Pod.spec: not an object");
    assert_eq!(encode(&json!({"kind": "Pod"})), Err(EncodeError::NoKind));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_break_the_decoder(raw in prop::collection::vec(any::<u8>(), 0..200), pick in any::<prop::sample::Index>()) {
        let kinds = Table::get().kinds();
        let (api_version, kind) = kinds[pick.index(kinds.len())];
        let _ = decode(&body(api_version, kind, &raw), None);
        let _ = decode(&[&PREFIX[..], &raw].concat(), Some((api_version, kind)));
    }

    #[test]
    fn damaged_bodies_are_read_or_refused_and_what_is_read_can_be_written(
        pick in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let bodies: Vec<_> = captured().collect();
        let mut body = bodies[pick.index(bodies.len())].1.clone();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        if let Ok(object) = decode(&body, None) {
            // A time that was sent empty is null, as Go has it, and null is not sent.
            let written = encode(&object).unwrap();
            let again = decode(&written, None).unwrap();
            prop_assert_eq!(encode(&again).unwrap(), written);
        }
    }
}
