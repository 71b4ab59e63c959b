use api_objects::schema::Schema;
use serde_json::json;

use super::*;
use crate::apiserver::apply::FieldSet;
use crate::apiserver::apply::fields_v1;

fn pod() -> View<'static> {
    View::of(Schema::builtin().kind("", "v1", "Pod").unwrap())
}

fn set(json: &Value) -> FieldSet {
    fields_v1::parse(json).unwrap()
}

fn containers(list: &Value) -> Value {
    json!({"spec": {"containers": list}})
}

fn names(object: &Value) -> Vec<&str> {
    object["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

#[test]
fn fields_are_those_that_are_set() {
    let object = json!({
        "metadata": {"labels": {"a": "b"}, "finalizers": ["x"]},
        "spec": {
            "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "args": ["x"], "resources": {}}],
            "nodeSelector": {"k": "v"}, "volumes": [], "hostname": null,
        },
    });
    let expected = json!({
        "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x\"": {}}},
        "f:spec": {
            "f:containers": {"k:{\"name\":\"c\"}": {
                ".": {}, "f:name": {}, "f:image": {}, "f:args": {}, "f:resources": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
            }},
            "f:nodeSelector": {}, "f:hostname": {},
        },
    });
    assert_eq!(fields_v1::print(&fields(pod(), &object).unwrap()), expected);
}

#[test]
fn elements_that_are_there_twice_are_one_field() {
    let object = json!({"spec": {"containers": [{"name": "c", "env": [
        {"name": "E", "value": "1"}, {"name": "E", "value": "2"}, {"name": "F", "value": "3"}]}]}});
    let owned = fields_v1::print(&fields(pod(), &object).unwrap());
    let env = &owned["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]["f:env"];
    assert_eq!(env["k:{\"name\":\"E\"}"], json!({}));
    assert_eq!(env["k:{\"name\":\"F\"}"], json!({".": {}, "f:name": {}, "f:value": {}}));

    let mut other = object.clone();
    other["spec"]["containers"][0]["env"][1]["value"] = json!("9");
    let differs = compare(pod(), &object, &other).unwrap();
    let path =
        json!({"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:env": {"k:{\"name\":\"E\"}": {}}}}}});
    assert_eq!(differs.modified, set(&path));
    assert!(differs.added.is_empty() && differs.removed.is_empty());
}

#[test]
fn differences_are_told_by_field() {
    let old = json!({"metadata": {"labels": {"a": "1", "b": "2"}},
        "spec": {"containers": [{"name": "c", "image": "1", "args": ["x"]}], "hostname": "h"}});
    let new = json!({"metadata": {"labels": {"a": "3"}},
        "spec": {"containers": [{"name": "c", "image": "1", "args": ["y"]}, {"name": "d"}]}});
    let differs = compare(pod(), &old, &new).unwrap();
    let c = "k:{\"name\":\"c\"}";
    let modified =
        json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": {c: {"f:args": {}}}}});
    assert_eq!(fields_v1::print(&differs.modified), modified);
    let removed = json!({"f:metadata": {"f:labels": {"f:b": {}}}, "f:spec": {"f:hostname": {}}});
    assert_eq!(fields_v1::print(&differs.removed), removed);
    let added = json!({"f:spec": {"f:containers": {"k:{\"name\":\"d\"}": {".": {}, "f:name": {}}}}});
    assert_eq!(fields_v1::print(&differs.added), added);
}

#[test]
fn empty_and_absent_are_told_apart() {
    let (absent, empty) = (json!({"spec": {}}), json!({"spec": {"nodeSelector": {}}}));
    let differs = compare(pod(), &absent, &empty).unwrap();
    assert_eq!(
        differs.added,
        set(&json!({"f:spec": {".": {}, "f:nodeSelector": {}}})).difference(&set(&json!({"f:spec": {}})))
    );
    let differs =
        compare(pod(), &json!({"spec": {"containers": null}}), &containers(&json!([{"name": "a"}]))).unwrap();
    let added = json!({"f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}}}}});
    assert_eq!(fields_v1::print(&differs.added), added, "null was there, so the list itself is not added");
}

#[test]
fn what_is_applied_is_merged_by_key() {
    let live = containers(&json!([{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"}]));
    let applied = containers(&json!([{"name": "a", "image": "9"}]));
    let merged = merge(pod(), &live, &applied).unwrap();
    let expected = json!([{"name": "a", "image": "9", "args": ["x"]}, {"name": "b", "image": "2"}]);
    assert_eq!(merged["spec"]["containers"], expected);
    let atomic = containers(&json!([{"name": "a", "args": ["y", "z"]}]));
    assert_eq!(merge(pod(), &live, &atomic).unwrap()["spec"]["containers"][0]["args"], json!(["y", "z"]));
}

#[test]
fn the_applied_order_counts_and_others_keep_their_place() {
    let list = |names: &[&str]| containers(&names.iter().map(|name| json!({"name": name})).collect());
    for (live, applied, merged) in [
        (vec!["a", "b", "c"], vec!["c", "a"], vec!["b", "c", "a"]),
        (vec!["a", "b", "c"], vec!["a", "n", "c"], vec!["a", "b", "n", "c"]),
        (vec!["a", "b"], vec!["n"], vec!["a", "b", "n"]),
        (vec![], vec!["b", "a"], vec!["b", "a"]),
        (vec!["a", "b"], vec!["n", "b", "a"], vec!["n", "b", "a"]),
    ] {
        let object = merge(pod(), &list(&live), &list(&applied)).unwrap();
        assert_eq!(names(&object), merged, "{live:?} {applied:?}");
    }
}

#[test]
fn removed_fields_leave_what_they_were_in() {
    let object = json!({"metadata": {"labels": {"a": "1"}},
        "spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}], "hostname": "h"}});
    let gone = set(&json!({"f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {"f:hostname": {}, "f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}, "k:{\"name\":\"b\"}": {}}}}));
    let expected = json!({"metadata": {"labels": {}}, "spec": {"containers": [{"name": "a"}]}});
    assert_eq!(remove(pod(), &object, &gone), expected);
    assert_eq!(remove(pod(), &object, &FieldSet::new()), object);
}

#[test]
fn an_applied_object_fits_its_schema() {
    for (object, error) in [
        (json!({"spec": {"zz": 1}}), ".spec.zz: field not declared in schema"),
        (json!({"spec": []}), ".spec: expected map, got &{[]}"),
        (containers(&json!({})), ".spec.containers: expected list, got &{map[]}"),
        (
            containers(&json!([{"name": "a"}, {"name": "a"}])),
            ".spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            containers(&json!([{"name": "a", "tty": "x"}])),
            ".spec.containers[name=\"a\"].tty: expected boolean, got &{x}",
        ),
        (
            containers(&json!([{"name": "a", "stdin": 1, "image": 2}])),
            "errors:\n  .spec.containers[name=\"a\"].image: expected string, got &value.valueUnstructured{Value:2}\n  .spec.containers[name=\"a\"].stdin: expected boolean, got &{1}",
        ),
        (json!({"spec": {"priority": "x"}}), ".spec.priority: expected numeric (int or float), got string"),
    ] {
        assert_eq!(validate(pod(), &object), Err(error.to_owned()));
    }
    let fine = json!({"spec": {"hostname": null, "containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]}});
    assert_eq!(validate(pod(), &fine), Ok(()));
}

#[test]
fn sets_of_an_older_schema_are_brought_up_to_date() {
    let was = set(&json!({"f:spec": {"f:nodeSelector": {"f:a": {}}, "f:hostname": {}, "f:zz": {"f:b": {}}}}));
    let now = set(&json!({"f:spec": {"f:nodeSelector": {}, "f:hostname": {}, "f:zz": {"f:b": {}}}}));
    assert_eq!(reconcile(pod(), &was), now);
}
