//! What holds of ownership whatever is applied.

use super::*;

/// Everything that somebody owns by applying.
fn set_of(object: &Value, manager: &str) -> FieldSet {
    let owner = Manager::applier(manager, "");
    Managed::of(object).unwrap().owners.get(&owner).map(|owned| owned.set.clone()).unwrap_or_default()
}

/// The fields of what is applied, without those that nobody owns.
fn fields(spec: &Value) -> FieldSet {
    set_of(&apply(None, spec.clone(), "x").unwrap(), "x")
}

/// Who owns what, without when they wrote.
fn owners(object: &Value) -> std::collections::BTreeMap<Manager, Owned> {
    Managed::of(object).unwrap().owners
}

/// Anything that may stand where a field set is to.
fn foreign() -> impl Strategy<Value = Value> {
    let key =
        prop_oneof!["[fkvi.]:?[a-z{}\":,0-9]{0,8}", Just(".".to_owned()), "k:\\{\"[ab]\":[0-3]\\}", "f:[ab]"];
    let leaf = prop_oneof![
        Just(json!({})),
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        Just(json!([{}]))
    ];
    leaf.prop_recursive(6, 40, 4, move |inner| {
        proptest::collection::btree_map(key.clone(), inner, 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    })
}

proptest! {
    #[test]
    fn who_forces_owns_all_that_he_applied_and_others_nothing_that_he_changed(a in spec(), b in spec()) {
        let first = apply(None, a.clone(), "a").unwrap();
        let second = force(&first, b.clone(), "b");
        prop_assert_eq!(set_of(&second, "b"), fields(&b));
        // What is left to the other is his from before, and what both have has one value.
        let left = set_of(&second, "a");
        prop_assert!(left.difference(&fields(&a)).is_empty());
        let again = apply(Some(&second), b.clone(), "b");
        prop_assert_eq!(again.as_ref(), Ok(&second), "who owns his fields meets no conflict");
        // The other conflicts exactly where something was taken from him.
        let taken = fields(&a).difference(&left);
        match apply(Some(&second), a, "a") {
            Ok(_) => prop_assert!(taken.is_empty()),
            Err(ApplyError::Conflicts(conflicts)) => {
                for conflict in conflicts {
                    prop_assert!(taken.contains(&conflict.path), "{}", conflict.field());
                }
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }

    #[test]
    fn a_conflict_changes_nothing_and_force_is_what_it_takes(a in spec(), b in spec()) {
        let first = apply(None, a, "a").unwrap();
        match apply(Some(&first), b.clone(), "b") {
            Ok(second) => {
                let forced = on("", |kind| kind.apply(Some(&first), &config(b), "b", true, NOW)).unwrap();
                prop_assert_eq!(forced, second, "force does nothing where there is no conflict");
            }
            Err(ApplyError::Conflicts(conflicts)) => {
                prop_assert!(!conflicts.is_empty());
                let owned = set_of(&first, "a");
                for conflict in conflicts {
                    prop_assert!(owned.contains(&conflict.path) && fields(&b).contains(&conflict.path));
                }
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }

    #[test]
    fn those_who_agree_come_in_any_order(a in spec(), b in spec()) {
        let in_order = |first: &Value, one, second: &Value, two| {
            let object = apply(None, first.clone(), one).unwrap();
            apply(Some(&object), second.clone(), two)
        };
        // Where one order conflicts so does the other.
        match (in_order(&a, "a", &b, "b"), in_order(&b, "b", &a, "a")) {
            (Ok(one), Ok(other)) => prop_assert_eq!(owners(&one), owners(&other)),
            (one, other) => prop_assert!(one.is_err() && other.is_err(), "{one:?} {other:?}"),
        }
    }

    #[test]
    fn an_update_that_changes_nothing_takes_nothing(a in spec(), b in spec()) {
        let first = force(&apply(None, a, "a").unwrap(), b, "b");
        let mut updated = update(Some(&first), first.clone(), "u");
        keep_times(&first, &mut updated);
        prop_assert_eq!(updated, first);
    }

    #[test]
    fn who_updates_takes_from_all_what_he_changes_and_nothing_else(a in spec(), replicas in 5_i64..9) {
        // Where nobody owns anything, nothing is tracked.
        prop_assume!(!fields(&a).is_empty());
        let first = apply(None, a.clone(), "a").unwrap();
        let mut new = first.clone();
        new["spec"]["replicas"] = replicas.into();
        let second = update(Some(&first), new, "u");
        let changed = FieldSet::of(&[&["spec", "replicas"]]);
        prop_assert_eq!(set_of(&second, "a"), fields(&a).difference(&changed));
        let updater = Manager::updater("u", "apps/v1", "");
        prop_assert!(owners(&second)[&updater].set.contains(&[Element::field("spec"), Element::field("replicas")]));
    }

    #[test]
    fn any_field_set_is_read_or_refused_and_what_is_read_can_be_written(value in foreign()) {
        if let Ok(set) = fields_v1::parse(&value) {
            let written = fields_v1::print(&set);
            prop_assert_eq!(&fields_v1::parse(&written).unwrap(), &set);
            prop_assert_eq!(set.is_empty(), written == json!({}));
            // An owner of whatever it is hinders nobody's apply from being answered.
            let mut live = apply(None, json!({"replicas": 1}), "a").unwrap();
            live["metadata"]["managedFields"][0]["fieldsV1"] = value;
            let _ = apply(Some(&live), json!({"replicas": 2}), "b");
            let _ = apply(Some(&live), json!({"paused": true}), "a");
            let _ = update(Some(&live), config(json!({"replicas": 3})), "u");
        }
    }
}
