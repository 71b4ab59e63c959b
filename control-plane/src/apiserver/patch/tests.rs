use api_objects::schema::Schema;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn deployment() -> Type<'static> {
    Schema::builtin().kind("apps", "v1", "Deployment").unwrap()
}

fn current() -> Value {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "finalizers": ["a.b/c", "x.y/z"]},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "a"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {"spec": {
                "containers": [
                    {"name": "a", "image": "a:1", "ports": [{"containerPort": 80}], "args": ["x"]},
                    {"name": "b", "image": "b:1"},
                    {"name": "c", "image": "c:1"},
                ],
                "volumes": [{"name": "v", "emptyDir": {}}],
                "tolerations": [{"key": "k"}],
            }},
        },
    });
    decode::normalise(deployment(), &object).unwrap().value
}

fn patch(kind: Kind, body: &Value) -> Result<Value, PatchError> {
    apply(kind, &current(), body.to_string().as_bytes(), deployment(), FieldValidation::Strict)
        .map(|patched| patched.object)
}

fn strategic(body: &Value) -> Value {
    patch(Kind::Strategic, body).unwrap()
}

fn pod(body: &Value) -> Value {
    strategic(&json!({"spec": {"template": {"spec": body}}}))["spec"]["template"]["spec"].take()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

fn refused(kind: Kind, body: &Value) -> String {
    patch(kind, body).unwrap_err().to_string()
}

#[test]
fn elements_merge_by_their_key() {
    let spec = pod(&json!({"containers": [{"name": "b", "image": "b:2"}]}));
    assert_eq!(names(&spec["containers"]), ["a", "b", "c"]);
    assert_eq!(spec["containers"][1]["image"], "b:2");
    assert_eq!(spec["containers"][0]["args"], json!(["x"]));
}

#[test]
fn what_is_new_comes_as_early_as_it_can() {
    assert_eq!(names(&pod(&json!({"containers": [{"name": "n"}]}))["containers"]), ["n", "a", "b", "c"]);
    let both = json!({"containers": [{"name": "b"}, {"name": "n"}]});
    assert_eq!(names(&pod(&both)["containers"]), ["a", "b", "n", "c"]);
    let turned = json!({"containers": [{"name": "c"}, {"name": "a"}]});
    assert_eq!(names(&pod(&turned)["containers"]), ["b", "c", "a"]);
}

#[test]
fn the_order_can_be_set() {
    let order = |names: &[&str]| json!(names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>());
    let body = json!({"$setElementOrder/containers": order(&["c", "n", "a"]), "containers": [{"name": "n"}]});
    assert_eq!(names(&pod(&body)["containers"]), ["b", "c", "n", "a"]);
    let body = json!({"$setElementOrder/containers": order(&["c", "b", "a"])});
    assert_eq!(names(&pod(&body)["containers"]), ["c", "b", "a"]);
    let body = json!({"metadata": {"$setElementOrder/finalizers": ["x.y/z", "a.b/c"]}});
    assert_eq!(strategic(&body)["metadata"]["finalizers"], json!(["x.y/z", "a.b/c"]));
    let body = json!({"spec": {"template": {"spec":
        {"$setElementOrder/containers": order(&["a"]), "containers": [{"name": "n"}]}}}});
    assert!(
        refused(Kind::Strategic, &body)
            .starts_with("The order in patch list:\n[map[name:n]]\n doesn't match")
    );
}

#[test]
fn elements_are_deleted_and_lists_replaced_by_directives() {
    let body = json!({"containers": [{"name": "b", "$patch": "delete"}, {"name": "zz", "$patch": "delete"}]});
    assert_eq!(names(&pod(&body)["containers"]), ["a", "c"]);
    let body = json!({"containers": [{"$patch": "replace"}, {"name": "n"}]});
    assert_eq!(names(&pod(&body)["containers"]), ["n"]);
    assert_eq!(pod(&json!({"tolerations": [{"key": "q"}]}))["tolerations"], json!([{"key": "q"}]));
}

#[test]
fn maps_are_replaced_and_emptied_by_directives() {
    let body = json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}});
    assert_eq!(strategic(&body)["spec"]["strategy"], json!({"type": "Recreate"}));
    let body = json!({"spec": {"strategy": {"$patch": "delete"}}});
    assert_eq!(strategic(&body)["spec"]["strategy"], json!({}));
    let body = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(strategic(&body)["spec"]["strategy"], json!({"type": "Recreate"}));
    let body = json!({"spec": {"strategy": {"$retainKeys": ["rollingUpdate"], "type": "Recreate"}}});
    assert_eq!(refused(Kind::Strategic, &body), "invalid patch format of retainKeys");
}

#[test]
fn plain_lists_merge_by_value() {
    let body =
        json!({"metadata": {"finalizers": ["n", "a.b/c"], "$deleteFromPrimitiveList/finalizers": ["x.y/z"]}});
    let finalizers = strategic(&body)["metadata"]["finalizers"].take();
    let mut sorted: Vec<_> = finalizers.as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, ["a.b/c", "n"]);
}

#[test]
fn null_removes_and_vanishes_where_nothing_was() {
    let done =
        strategic(&json!({"spec": {"strategy": null, "template": {"metadata": {"labels": {"a": null}}}}}));
    assert_eq!(done["spec"]["strategy"], json!({}));
    assert_eq!(done["spec"]["template"]["metadata"], json!({}));
    let done = patch(Kind::Merge, &json!({"spec": {"replicas": null}})).unwrap();
    assert!(done["spec"].get("replicas").is_none());
}

#[test]
fn directives_that_cannot_be_followed_are_told_in_gos_words() {
    let containers = |element: Value| json!({"spec": {"template": {"spec": {"containers": [element]}}}});
    for (body, error) in [
        (containers(json!({"image": "q"})), "map: map[image:q] does not contain declared merge key: name"),
        (
            containers(json!({"name": "a", "$patch": "frobnicate"})),
            "unknown patch type: frobnicate in map: map[$patch:frobnicate name:a]",
        ),
        (containers(json!("x")), "list element types are not identical"),
        (
            json!({"$setElementOrder/zz": []}),
            "unable to find api field in struct Deployment for the json field \"zz\"",
        ),
    ] {
        let said = refused(Kind::Strategic, &body);
        assert!(said.starts_with(error), "{said}");
    }
}

#[test]
fn unknown_fields_of_the_result_are_objected_to() {
    let body = json!({"spec": {"zz": 1}});
    let said = refused(Kind::Merge, &body);
    assert!(said.starts_with(" \"\" is invalid: patch: Invalid value: \"{\\\"apiVersion\\\""), "{said}");
    assert!(said.ends_with(": strict decoding error: unknown field \"spec.zz\""), "{said}");
    let text = body.to_string();
    let warned =
        apply(Kind::Merge, &current(), text.as_bytes(), deployment(), FieldValidation::Warn).unwrap();
    assert_eq!(warned.warnings, ["unknown field \"spec.zz\""]);
    assert_eq!(warned.object, current());
    let said = refused(Kind::Json, &json!([{"op": "remove", "path": "/spec/replicas", "zz": 1}]));
    assert!(said.ends_with("strict decoding error: json patch unknown field \"[0].zz\""), "{said}");
}

#[test]
fn operations_apply_in_order() {
    let done = patch(
        Kind::Json,
        &json!([
            {"op": "test", "path": "/spec/replicas", "value": 1},
            {"op": "replace", "path": "/spec/replicas", "value": 4},
            {"op": "add", "path": "/metadata/labels", "value": {"q": "1"}},
            {"op": "copy", "from": "/metadata/labels/q", "path": "/metadata/labels/r"},
            {"op": "move", "from": "/metadata/labels/q", "path": "/metadata/labels/s~1t"},
            {"op": "add", "path": "/metadata/finalizers/-", "value": "last"},
            {"op": "add", "path": "/metadata/finalizers/0", "value": "first"},
            {"op": "remove", "path": "/metadata/finalizers/-2"},
            {"op": "test", "path": "/metadata/annotations", "value": null},
            {"op": "replace", "path": "/spec/paused", "value": true},
        ]),
    )
    .unwrap();
    assert_eq!(done["spec"]["replicas"], 4);
    assert_eq!(done["spec"]["paused"], true);
    assert_eq!(done["metadata"]["labels"], json!({"r": "1", "s/t": "1"}));
    assert_eq!(done["metadata"]["finalizers"], json!(["first", "a.b/c", "last"]));
}

#[test]
fn an_operation_that_does_not_apply_refuses_all() {
    for operation in [
        json!({"op": "test", "path": "/spec/replicas", "value": 9}),
        json!({"op": "zap", "path": "/a"}),
        json!({"op": "add", "value": 1}),
        json!({"op": "add", "path": "/spec/replicas"}),
        json!({"op": "add", "path": "/no/such", "value": 1}),
        json!({"op": "add", "path": "/metadata/finalizers/3", "value": "x"}),
        json!({"op": "add", "path": "/metadata/finalizers/x", "value": "x"}),
        json!({"op": "remove", "path": "/metadata/finalizers/2"}),
        json!({"op": "remove", "path": "/metadata/finalizers/-3"}),
        json!({"op": "remove", "path": "/metadata/labels"}),
        json!({"op": "replace", "path": "", "value": 1}),
        json!({"op": "move", "from": "/no", "path": "/x"}),
        json!({"op": "remove", "path": "/spec/replicas/x"}),
    ] {
        let error = patch(Kind::Json, &json!([operation])).unwrap_err();
        assert!(matches!(error, PatchError::DoesNotApply(_)), "{error:?}");
    }
}

#[test]
fn bodies_that_are_no_patch_are_malformed() {
    let malformed = |kind, body: &str| {
        let error =
            apply(kind, &current(), body.as_bytes(), deployment(), FieldValidation::Warn).unwrap_err();
        assert!(matches!(error, PatchError::Malformed(_)));
        error.to_string()
    };
    assert_eq!(malformed(Kind::Strategic, "{"), "unexpected end of JSON input");
    let wrong = "error decoding patch: json: cannot unmarshal";
    let map = "map[string]interface {}";
    assert_eq!(malformed(Kind::Merge, "[]"), format!("{wrong} array into Go value of type {map}"));
    assert_eq!(
        malformed(Kind::Json, r#"{"op":"add"}"#),
        format!("{wrong} object into Go value of type []handlers.jsonPatchOp")
    );
    assert_eq!(
        malformed(Kind::Json, r#"[{"op":1}]"#),
        format!("{wrong} number into Go struct field jsonPatchOp.op of type string")
    );
    let many = Value::from(vec![json!({"op": "test", "path": ""}); 10_001]);
    let error = patch(Kind::Json, &many).unwrap_err().to_string();
    assert_eq!(error, "The allowed maximum operations in a JSON patch is 10000, got 10001");
}

#[test]
fn copies_cannot_grow_without_end() {
    let mut operations =
        vec![json!({"op": "add", "path": "/metadata/annotations", "value": {"a": "x".repeat(100_000)}})];
    let double = json!({"op": "copy", "from": "/metadata/annotations", "path": "/metadata/annotations/b"});
    operations.extend(std::iter::repeat_n(double, 40));
    assert!(matches!(patch(Kind::Json, &operations.into()), Err(PatchError::DoesNotApply(_))));
}

fn element() -> impl Strategy<Value = Value> {
    let name = proptest::sample::select(vec!["a", "b", "c", "n", "m"]);
    let directive =
        proptest::sample::select(vec![None, None, None, Some("delete"), Some("replace"), Some("x")]);
    (name, "[a-c]:[12]", directive, any::<bool>()).prop_map(|(name, image, directive, keyed)| {
        let mut element = json!({"image": image});
        if keyed {
            element["name"] = name.into();
        }
        if let Some(directive) = directive {
            element["$patch"] = directive.into();
        }
        element
    })
}

fn operation() -> impl Strategy<Value = Value> {
    let op = proptest::sample::select(vec!["add", "remove", "replace", "move", "copy", "test", "x"]);
    let path = "(/(metadata|spec|template|containers|finalizers|replicas|0|-|-1|7|~0|~1|))*x?";
    (op, path, path, -1i64..3)
        .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
}

proptest! {
    #[test]
    fn a_merge_patch_of_the_object_itself_changes_nothing(names in proptest::collection::vec("[a-z]{1,3}", 0..4)) {
        let mut object = current();
        object["metadata"]["labels"] = names.iter().map(|name| (name.clone(), Value::from("x"))).collect::<serde_json::Map<_, _>>().into();
        let mut patched = object.clone();
        merge::apply(&mut patched, object.clone());
        prop_assert_eq!(patched, object);
    }

    #[test]
    fn merged_lists_have_every_key_once_and_keep_the_patchs_order(elements in proptest::collection::vec(element(), 0..6)) {
        let body = json!({"spec": {"template": {"spec": {"containers": elements}}}});
        let text = body.to_string();
        let Ok(patched) = apply(Kind::Strategic, &current(), text.as_bytes(), deployment(), FieldValidation::Warn) else {
            return Ok(());
        };
        let containers = &patched.object["spec"]["template"]["spec"]["containers"];
        if containers.is_null() || elements.iter().any(|element| element["$patch"] == "replace") {
            return Ok(());
        }
        let result = names(containers);
        let mut once = result.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), result.len());
        let mut wanted = Vec::new();
        for element in elements.iter().filter(|element| element.get("$patch").is_none()) {
            let name = element["name"].as_str().unwrap();
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        let kept: Vec<_> = result.into_iter().filter(|name| wanted.contains(name)).collect();
        prop_assert_eq!(kept, wanted);
    }

    #[test]
    fn operations_apply_or_are_refused(operations in proptest::collection::vec(operation(), 0..6)) {
        let _ = patch(Kind::Json, &operations.into());
    }

    #[test]
    fn any_body_is_applied_or_refused(body in ".*", kind in 0..3) {
        let kind = [Kind::Json, Kind::Merge, Kind::Strategic][kind as usize];
        let _ = apply(kind, &current(), body.as_bytes(), deployment(), FieldValidation::Ignore);
    }
}
