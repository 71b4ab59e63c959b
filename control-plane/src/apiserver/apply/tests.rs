use api_objects::schema::Schema;
use proptest::prelude::*;
use serde_json::json;

use super::*;

mod laws;

const NOW: &str = "2026-01-01T00:00:00Z";
const LATER: &str = "2026-01-01T00:00:05Z";

fn on<R>(subresource: &str, run: impl FnOnce(&Kind<'_>) -> R) -> R {
    let of = Schema::builtin().kind("apps", "v1", "Deployment").unwrap();
    let ignored =
        if subresource.is_empty() { FieldSet::of(&[&["status"]]) } else { FieldSet::of(&[&["spec"]]) };
    run(&Kind {
        of,
        version: "apps/v1",
        kind: "Deployment",
        subresource,
        ignored: &ignored,
        versions: &OneVersion,
    })
}

/// Without a spec when that is empty: an empty map that is applied is owned.
fn config(spec: Value) -> Value {
    let mut config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}});
    if spec != json!({}) {
        config["spec"] = spec;
    }
    config
}

fn apply(live: Option<&Value>, spec: Value, manager: &str) -> Result<Value, ApplyError> {
    on("", |kind| kind.apply(live, &config(spec), manager, false, NOW))
}

fn force(live: &Value, spec: Value, manager: &str) -> Value {
    on("", |kind| kind.apply(Some(live), &config(spec), manager, true, LATER)).unwrap()
}

fn update(live: Option<&Value>, new: Value, manager: &str) -> Value {
    on("", |kind| kind.update(live, new, manager, LATER))
}

/// The fields that a manager owns, or null.
fn owned(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries
        .into_iter()
        .find(|entry| entry["manager"] == manager)
        .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

fn containers(names: &[&str]) -> Value {
    json!({"template": {"spec": {"containers": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()}}})
}

fn names(object: &Value) -> Vec<&str> {
    let list = object["spec"]["template"]["spec"]["containers"].as_array();
    list.into_iter().flatten().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn appliers_share_what_they_agree_on() {
    let first = apply(None, json!({"replicas": 1, "paused": true}), "a").unwrap();
    let second = apply(Some(&first), json!({"replicas": 1}), "b").unwrap();
    assert_eq!(owned(&second, "a"), json!({"f:spec": {"f:paused": {}, "f:replicas": {}}}));
    assert_eq!(owned(&second, "b"), json!({"f:spec": {"f:replicas": {}}}));
    let entries = second["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries[0]["manager"], "b", "who changed nothing has no time, and so comes first");
    assert!(entries[0].get("time").is_none());
}

#[test]
fn changing_what_another_owns_is_a_conflict() {
    let first = apply(None, json!({"replicas": 1, "paused": true}), "a").unwrap();
    let error = apply(Some(&first), json!({"replicas": 2}), "b").unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas");
    let both = json!({"replicas": 2, "paused": false});
    let error = apply(Some(&first), both.clone(), "b").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.paused\n- .spec.replicas"
    );
    let ApplyError::Conflicts(conflicts) = error else { panic!("no conflicts") };
    assert_eq!(
        (conflicts[0].field().as_str(), conflicts[0].message().as_str()),
        (".spec.paused", "conflict with \"a\"")
    );

    let forced = force(&first, both, "b");
    assert_eq!(forced["spec"]["replicas"], 2);
    assert_eq!(owned(&forced, "a"), Value::Null, "nothing is left to him");
    assert_eq!(owned(&forced, "b"), json!({"f:spec": {"f:paused": {}, "f:replicas": {}}}));
}

#[test]
fn updaters_are_named_with_their_version_and_subresource() {
    let created = update(None, config(json!({"replicas": 1})), "u");
    let error = apply(Some(&created), json!({"replicas": 2}), "a").unwrap_err();
    let text = "Apply failed with 1 conflict: conflict with \"u\" using apps/v1: .spec.replicas";
    assert_eq!(error.to_string(), text);
    let manager = Manager::updater("u", "apps/v1", "scale");
    assert_eq!(manager.describe(), "\"u\" with subresource \"scale\" using apps/v1");
}

#[test]
fn what_is_no_longer_applied_is_removed_unless_others_own_it() {
    let first = apply(None, json!({"replicas": 1, "paused": true, "minReadySeconds": 3}), "a").unwrap();
    let shared = apply(Some(&first), json!({"paused": true}), "b").unwrap();
    let less = apply(Some(&shared), json!({"minReadySeconds": 3}), "a").unwrap();
    assert_eq!(less["spec"].get("replicas"), None);
    assert_eq!(less["spec"]["paused"], true);
    assert_eq!(owned(&less, "a"), json!({"f:spec": {"f:minReadySeconds": {}}}));
    assert_eq!(owned(&less, "b"), json!({"f:spec": {"f:paused": {}}}));
}

#[test]
fn elements_go_with_their_last_owner() {
    let first = apply(None, containers(&["x", "y"]), "a").unwrap();
    let second = apply(Some(&first), containers(&["z"]), "b").unwrap();
    assert_eq!(names(&second), ["x", "y", "z"]);
    let third = apply(Some(&second), containers(&["y"]), "a").unwrap();
    assert_eq!(names(&third), ["y", "z"]);
    let fourth = apply(Some(&third), json!({}), "b").unwrap();
    assert_eq!(names(&fourth), ["y"]);
    assert_eq!(owned(&fourth, "b"), Value::Null);
}

#[test]
fn an_element_with_a_field_of_another_stays() {
    let first = apply(None, containers(&["x"]), "a").unwrap();
    let with_image = json!({"template": {"spec": {"containers": [{"name": "x", "image": "i"}]}}});
    let second = apply(Some(&first), with_image, "b").unwrap();
    let third = apply(Some(&second), json!({"replicas": 1}), "a").unwrap();
    assert_eq!(third["spec"]["template"]["spec"]["containers"], json!([{"name": "x", "image": "i"}]));
}

#[test]
fn what_an_updater_added_below_stays_when_the_rest_goes() {
    let first = apply(None, json!({"template": {"metadata": {"labels": {"a": "1"}}}}), "a").unwrap();
    let mut edited = first.clone();
    edited["spec"]["template"]["metadata"]["labels"]["b"] = json!("2");
    let edited = update(Some(&first), edited, "u");
    let less = apply(Some(&edited), json!({"replicas": 1}), "a").unwrap();
    assert_eq!(less["spec"]["template"]["metadata"]["labels"], json!({"b": "2"}));
}

#[test]
fn an_update_takes_what_it_changes() {
    let first = apply(None, json!({"replicas": 1, "paused": true}), "a").unwrap();
    let mut new = first.clone();
    new["spec"]["replicas"] = json!(5);
    new["spec"]["minReadySeconds"] = json!(1);
    new["spec"].as_object_mut().unwrap().remove("paused");
    new["status"] = json!({"replicas": 3});
    let updated = update(Some(&first), new, "u");
    assert_eq!(owned(&updated, "a"), Value::Null);
    assert_eq!(owned(&updated, "u"), json!({"f:spec": {"f:minReadySeconds": {}, "f:replicas": {}}}));

    let unchanged = update(Some(&first), first.clone(), "u");
    assert_eq!(unchanged, first, "who changes nothing owns nothing");
}

#[test]
fn objects_without_owners_have_none_until_someone_applies() {
    let live = config(json!({"replicas": 1}));
    let mut new = live.clone();
    new["spec"]["replicas"] = json!(2);
    let updated = update(Some(&live), new.clone(), "u");
    assert_eq!(updated, new);
    let error = apply(Some(&updated), json!({"replicas": 3}), "a").unwrap_err();
    let text =
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using apps/v1: .spec.replicas";
    assert_eq!(error.to_string(), text);
    let applied = apply(Some(&updated), json!({"replicas": 2}), "a").unwrap();
    assert_eq!(owned(&applied, "before-first-apply"), json!({"f:spec": {"f:replicas": {}}}));
}

#[test]
fn owners_can_be_taken_away_but_not_forgotten() {
    let first = apply(None, json!({"replicas": 1}), "a").unwrap();
    for reset in [json!([]), json!([{}])] {
        let mut new = first.clone();
        new["metadata"]["managedFields"] = reset;
        assert!(update(Some(&first), new, "u")["metadata"].get("managedFields").is_none());
    }
    for forgotten in [Value::Null, json!([{"manager": "x"}]), json!("x")] {
        let mut new = first.clone();
        new["metadata"]["managedFields"] = forgotten;
        assert_eq!(update(Some(&first), new, "u"), first);
    }
    let mut status = first.clone();
    status["metadata"]["managedFields"] = json!([]);
    let kept = on("status", |kind| kind.update(Some(&first), status, "u", LATER));
    assert_eq!(kept, first, "a subresource cannot take them away");
}

#[test]
fn a_subresource_has_owners_of_its_own() {
    let first = apply(None, json!({"replicas": 1}), "a").unwrap();
    let config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 9}, "status": {"replicas": 2}});
    let done = on("status", |kind| kind.apply(Some(&first), &config, "a", true, NOW)).unwrap();
    let entries = done["metadata"]["managedFields"].as_array().unwrap();
    let status = entries.iter().find(|entry| entry["subresource"] == "status").unwrap();
    assert_eq!(status["fieldsV1"], json!({"f:status": {"f:replicas": {}}}));
    assert_eq!(entries.len(), 2);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let refused =
        |config: &Value| on("", |kind| kind.apply(None, config, "a", false, NOW)).unwrap_err().to_string();
    let mut other = config(json!({}));
    other["kind"] = json!("Pod");
    assert_eq!(refused(&other), "invalid object type: apps/v1, Kind=Pod");
    let mut owned = config(json!({}));
    owned["metadata"]["managedFields"] = json!([]);
    assert_eq!(refused(&owned), "metadata.managedFields must be nil");
    assert_eq!(
        refused(&config(json!({"zz": 1}))),
        "failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.zz: field not declared in schema"
    );
}

#[test]
fn the_oldest_updaters_become_one() {
    let mut object = update(None, config(json!({"replicas": 1})), "u");
    for number in 0..13 {
        let mut new = object.clone();
        new["metadata"]["labels"][format!("l{number}")] = json!("x");
        let now = format!("2026-01-01T00:00:{number:02}Z");
        object = on("", |kind| kind.update(Some(&object), new, &format!("u{number}"), &now));
    }
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    assert!(entries.len() <= 10, "{}", entries.len());
    let all = Managed::of(&object).unwrap().owners.values().map(|owned| owned.set.len()).sum::<usize>();
    assert!(all >= 13);
    assert!(owned(&object, "ancient-changes")["f:metadata"]["f:labels"].get("f:l0").is_some());
}

#[test]
fn what_kubectl_applied_on_its_side_is_its_own() {
    let mut live = config(json!({"replicas": 1, "paused": true}));
    let before = config(json!({"replicas": 1})).to_string();
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": before});
    let live = update(None, live, "kubectl-client-side-apply");
    let error = apply(Some(&live), json!({"replicas": 2}), "other").unwrap_err();
    assert!(matches!(error, ApplyError::Conflicts(_)));
    let done = apply(Some(&live), json!({"replicas": 2}), "kubectl").unwrap();
    assert_eq!(done["spec"]["replicas"], 2);
    let kept =
        done["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(kept).unwrap(), config(json!({"replicas": 2})));
    let error = apply(Some(&live), json!({"replicas": 2, "paused": false}), "kubectl").unwrap_err();
    assert!(error.to_string().ends_with(": .spec.paused"), "{error}");
}

#[test]
fn a_write_that_changes_only_times_changes_nothing() {
    let first = apply(None, json!({"replicas": 1}), "a").unwrap();
    let mut later = first.clone();
    later["metadata"]["managedFields"][0]["time"] = json!(LATER);
    keep_times(&first, &mut later);
    assert_eq!(later, first);
    later["metadata"]["managedFields"][0]["time"] = json!(LATER);
    later["spec"]["replicas"] = json!(2);
    keep_times(&first, &mut later);
    assert_eq!(later["metadata"]["managedFields"][0]["time"], LATER);
}

#[test]
fn who_scales_takes_the_replicas() {
    let replicas = [Element::field("spec"), Element::field("replicas")];
    let path = |version: &str| (version == "apps/v1").then_some(&replicas[..]);
    let object = apply(None, json!({"replicas": 1, "paused": true}), "a").unwrap();
    let parent = Managed::of(&object).unwrap();
    let mut scale = to_scale(&parent, path);
    assert_eq!(scale.owners.len(), 1);
    let scaler = Manager::updater("s", "autoscaling/v1", "scale");
    scale.owners = [(
        scaler.clone(),
        Owned { set: FieldSet::of(&[&["spec", "replicas"]]), version: "autoscaling/v1".into() },
    )]
    .into();
    let after = from_scale(&parent, &scale, "apps/v1", path);
    assert_eq!(after.owners[&scaler].version, "apps/v1");
    assert_eq!(after.owners[&Manager::applier("a", "")].set, FieldSet::of(&[&["spec", "paused"]]));
}

/// A version that calls the replicas `minReadySeconds`, and the other way round.
struct Swapped;

impl Versions for Swapped {
    fn of(&self, api_version: &str) -> Option<Type<'_>> {
        (api_version == "apps/v9").then(|| Schema::builtin().kind("apps", "v1", "Deployment")).flatten()
    }

    fn convert(&self, object: &Value, from: &str, to: &str) -> Option<Value> {
        let mut object = object.clone();
        if from != to
            && let Some(spec) = object["spec"].as_object_mut()
        {
            let (replicas, seconds) = (spec.remove("replicas"), spec.remove("minReadySeconds"));
            let swapped = [("replicas", seconds), ("minReadySeconds", replicas)];
            spec.extend(swapped.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        Some(object)
    }
}

fn on_swapped<R>(version: &str, run: impl FnOnce(&Kind<'_>) -> R) -> R {
    let of = Schema::builtin().kind("apps", "v1", "Deployment").unwrap();
    let ignored = FieldSet::new();
    run(&Kind { of, version, kind: "Deployment", subresource: "", ignored: &ignored, versions: &Swapped })
}

#[test]
fn owners_of_another_version_own_the_same_field_by_its_other_name() {
    let mut in_v9 = config(json!({"minReadySeconds": 3, "paused": true}));
    in_v9["apiVersion"] = json!("apps/v9");
    let object = on_swapped("apps/v9", |kind| kind.apply(None, &in_v9, "a", false, NOW)).unwrap();
    let live = Swapped.convert(&object, "apps/v9", "apps/v1").unwrap();
    assert_eq!(live["spec"]["replicas"], 3);
    let change =
        |spec: Value| on_swapped("apps/v1", |kind| kind.apply(Some(&live), &config(spec), "b", false, NOW));
    let error = change(json!({"replicas": 4})).unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"a\": .spec.minReadySeconds");
    assert!(change(json!({"minReadySeconds": 4})).is_ok());

    // The same applier goes on in the other version, and gives the field up.
    let less = on_swapped("apps/v1", |kind| {
        kind.apply(Some(&live), &config(json!({"paused": true})), "a", false, NOW)
    });
    assert_eq!(less.unwrap()["spec"].get("replicas"), None);
}

#[test]
fn owners_of_versions_that_are_gone_are_forgotten() {
    let mut object = apply(None, json!({"replicas": 1}), "a").unwrap();
    object["metadata"]["managedFields"][0]["apiVersion"] = json!("apps/v0");
    let taken = apply(Some(&object), json!({"replicas": 2}), "b").unwrap();
    assert_eq!(owned(&taken, "a"), Value::Null);
}

fn element() -> impl Strategy<Value = Element> {
    let name = proptest::sample::select(vec!["a", "b", "c", "."]);
    let scalar = prop_oneof![
        (0i64..3).prop_map(Value::from),
        "[ab\"]".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    prop_oneof![
        name.prop_map(Element::field),
        scalar.clone().prop_map(|value| Element::Value(Scalar(value))),
        (0i64..3).prop_map(Element::Index),
        proptest::collection::btree_map("[ab]", scalar.prop_map(Scalar), 1..3)
            .prop_map(|keys| Element::Keys(keys.into_iter().collect())),
    ]
}

fn set() -> impl Strategy<Value = FieldSet> {
    proptest::collection::vec(proptest::collection::vec(element(), 0..4), 0..8).prop_map(|paths| {
        let mut set = FieldSet::new();
        paths.iter().for_each(|path| set.insert(path));
        set
    })
}

fn spec() -> impl Strategy<Value = Value> {
    let name = || proptest::sample::select(vec!["x", "y", "z"]);
    let labels =
        proptest::collection::btree_map(name().prop_map(str::to_owned), "[12]".prop_map(Value::from), 0..3);
    let container = (name(), proptest::option::of("[12]"), proptest::option::of(0i64..3));
    let containers = proptest::collection::vec(container, 0..4);
    (proptest::option::of(0i64..3), labels, containers).prop_map(|(replicas, labels, containers)| {
        let mut spec = json!({});
        if !labels.is_empty() {
            spec["template"]["metadata"]["labels"] = Value::Object(labels.into_iter().collect());
        }
        if let Some(replicas) = replicas {
            spec["replicas"] = replicas.into();
        }
        let mut seen = Vec::new();
        let mut list = Vec::new();
        for (name, image, port) in containers {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let mut container = json!({"name": name});
            if let Some(image) = image {
                container["image"] = image.into();
            }
            if let Some(port) = port {
                container["ports"] = json!([{"containerPort": port, "protocol": "TCP"}]);
            }
            list.push(container);
        }
        // An empty list that is applied is not owned, and so does not stay.
        if !list.is_empty() {
            spec["template"]["spec"] = json!({"containers": list});
        }
        spec
    })
}

/// Whether everything that was applied is in the object.
fn holds(object: &Value, applied: &Value) -> bool {
    match (object, applied) {
        (Value::Object(object), Value::Object(applied)) => {
            applied.iter().all(|(key, value)| object.get(key).is_some_and(|other| holds(other, value)))
        }
        (Value::Array(object), Value::Array(applied)) => {
            applied.iter().all(|item| object.iter().any(|other| holds(other, item)))
        }
        _ => object == applied,
    }
}

proptest! {
    #[test]
    fn sets_obey_their_laws(a in set(), b in set(), c in set()) {
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.intersection(&b.union(&c)), a.intersection(&b).union(&a.intersection(&c)));
        prop_assert_eq!(a.union(&a.intersection(&b)), a.clone());
        prop_assert_eq!(a.intersection(&a.union(&b)), a.clone());
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(a.difference(&b.union(&c)), a.difference(&b).difference(&c));
        prop_assert_eq!(a.len() + b.len(), a.union(&b).len() + a.intersection(&b).len());
        prop_assert!(a.without(&b).difference(&a.difference(&b)).is_empty());
        prop_assert_eq!(a.without(&b).without(&b), a.without(&b));
        prop_assert_eq!(a.is_empty(), a == FieldSet::new());
        let mut count = 0;
        a.for_each(&mut |path| count += usize::from(a.contains(path)));
        prop_assert_eq!(count, a.len());
    }

    #[test]
    fn sets_are_read_as_they_were_written(a in set()) {
        prop_assert_eq!(fields_v1::parse(&fields_v1::print(&a)).unwrap(), a);
    }

    #[test]
    fn any_text_is_an_element_or_not(text in "([fkvi]:)?.{0,12}") {
        if let Some(element) = Element::parse(&text) {
            prop_assert_eq!(Element::parse(&element.print()), Some(element));
        }
    }

    #[test]
    fn what_is_applied_is_there_and_applying_again_changes_nothing(a in spec(), b in spec(), c in spec()) {
        let first = apply(None, a, "a").unwrap();
        let second = force(&first, b, "b");
        let third = force(&second, c.clone(), "a");
        prop_assert!(c == json!({}) || holds(&third["spec"], &c), "{third} {c}");
        prop_assert_eq!(force(&third, c, "a"), third);
    }

    #[test]
    fn who_applies_alone_and_then_nothing_leaves_nothing(a in spec()) {
        let first = apply(None, a, "a").unwrap();
        let nothing = apply(Some(&first), json!({}), "a").unwrap();
        prop_assert!(nothing["metadata"].get("managedFields").is_none());
        let left = decode::normalise(Schema::builtin().kind("apps", "v1", "Deployment").unwrap(), &nothing).unwrap().value;
        prop_assert_eq!(names(&left), Vec::<&str>::new());
        prop_assert!(left["spec"].get("replicas").is_none());
    }

    #[test]
    fn appliers_of_the_same_agree(a in spec()) {
        let first = apply(None, a.clone(), "a").unwrap();
        let second = apply(Some(&first), a, "b").unwrap();
        prop_assert_eq!(owned(&second, "a"), owned(&second, "b"));
        prop_assert_eq!(&second["spec"], &first["spec"]);
    }

    #[test]
    fn entries_that_make_no_sense_are_refused(entries in proptest::collection::vec("(Apply|Update|x|)", 0..3), fields in ".{0,8}") {
        let entries: Value = entries.iter().map(|operation| json!({"manager": "m", "operation": operation,
            "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {fields.clone(): {}}})).collect();
        let _ = Managed::parse(&entries);
    }
}
