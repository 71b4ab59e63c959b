//! What to write at start so that the standard roles and bindings are there.
//!
//! What was added by a person stays; what is missing comes back, also after an upgrade brought new rules. An object
//! with the annotation `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::cover::missing;
use super::{Kind, Rule, null_is_empty, standard};

/// A write that is due.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is not there.
    Create(Kind, Value),
    /// Something is missing from it; the object carries the resourceVersion that was read.
    Update(Kind, Value),
    /// It binds another role, which cannot be changed: delete the one with this uid, then create.
    Recreate {
        /// Which kind of binding.
        kind: Kind,
        /// The uid of the one to delete.
        uid: String,
        /// What to create.
        object: Value,
    },
}

/// The writes that are due, in an order in which they can be made. `existing` finds an object by kind, namespace
/// (empty for the cluster's own) and name.
pub fn plan(existing: impl Fn(Kind, &str, &str) -> Option<Value>) -> Vec<Step> {
    let due = standard::objects().filter_map(|(kind, wanted)| {
        let meta = &wanted["metadata"];
        let [namespace, name] = ["namespace", "name"].map(|key| meta[key].as_str().unwrap_or_default());
        match existing(kind, namespace, name) {
            None => Some(Step::Create(kind, wanted)),
            Some(found) => reconciled(kind, &found, wanted),
        }
    });
    due.collect()
}

#[derive(Deserialize, Default)]
struct Rules {
    #[serde(default, deserialize_with = "null_is_empty")]
    rules: Vec<Rule>,
}

fn reconciled(kind: Kind, found: &Value, wanted: Value) -> Option<Step> {
    if found["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] == "false" {
        return None;
    }
    if !found["metadata"].is_object() {
        return None;
    }
    let mut object = found.clone();
    for field in ["labels", "annotations"] {
        let Some(wanted) = wanted["metadata"][field].as_object() else { continue };
        if !object["metadata"][field].is_object() {
            object["metadata"][field] = Value::Object(Map::new());
        }
        for (key, value) in wanted {
            if object["metadata"][field].get(key).is_none() {
                object["metadata"][field][key] = value.clone();
            }
        }
    }
    match kind {
        Kind::Role | Kind::ClusterRole => {
            let rules = |of: &Value| Rules::deserialize(of).unwrap_or_default().rules;
            let lacks = missing(&rules(found), &rules(&wanted));
            extend(&mut object, &["rules"], lacks.iter().map(|rule| json!(rule)));
            if wanted["aggregationRule"].is_object() {
                let path = ["aggregationRule", "clusterRoleSelectors"];
                let lacks = lacking(found, &wanted, &path);
                extend(&mut object, &path, lacks);
            } else if let Some(fields) = object.as_object_mut() {
                fields.remove("aggregationRule");
            }
        }
        Kind::RoleBinding | Kind::ClusterRoleBinding => {
            if found["roleRef"] != wanted["roleRef"] {
                let uid = found["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                return Some(Step::Recreate { kind, uid, object: wanted });
            }
            let lacks = lacking(found, &wanted, &["subjects"]);
            extend(&mut object, &["subjects"], lacks);
        }
    }
    (object != *found).then_some(Step::Update(kind, object))
}

fn at<'a>(object: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(object, |value, field| &value[*field])
}

/// The elements of a list that are wanted and not there.
fn lacking(found: &Value, wanted: &Value, path: &[&str]) -> Vec<Value> {
    let there = at(found, path).as_array();
    let wanted = at(wanted, path).as_array().into_iter().flatten();
    wanted.filter(|one| !there.is_some_and(|list| list.contains(one))).cloned().collect()
}

/// Adds to a list, which is made when it is not there.
fn extend(object: &mut Value, path: &[&str], with: impl IntoIterator<Item = Value>) {
    let mut with = with.into_iter().peekable();
    if with.peek().is_none() {
        return;
    }
    let list = path.iter().fold(object, |value, field| &mut value[*field]);
    match list {
        Value::Array(list) => list.extend(with),
        other => *other = Value::Array(with.collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(kind: Kind, name: &str) -> Value {
        let found = standard::objects().find(|(k, o)| *k == kind && o["metadata"]["name"] == name);
        found.unwrap().1
    }

    /// The plan when everything but the one object is as it should be.
    fn plan_with(kind: Kind, changed: &Value) -> Vec<Step> {
        let name = changed["metadata"]["name"].clone();
        plan(|k, namespace, n| {
            let same = |o: &Value| o["metadata"]["namespace"].as_str().unwrap_or_default() == namespace;
            if k == kind && n == name {
                return Some(changed.clone());
            }
            standard::objects()
                .find(|(kind, o)| *kind == k && o["metadata"]["name"] == n && same(o))
                .map(|o| o.1)
        })
    }

    #[test]
    fn an_empty_cluster_gets_everything_once_and_nothing_the_second_time() {
        let first = plan(|_, _, _| None);
        assert_eq!(first.len(), standard::objects().count());
        assert!(first.iter().all(|step| matches!(step, Step::Create(..))));
        assert_eq!(plan_with(Kind::ClusterRole, &wanted(Kind::ClusterRole, "view")), []);
    }

    #[test]
    fn what_is_missing_comes_back_and_what_was_added_stays() {
        let mut role = wanted(Kind::ClusterRole, "system:discovery");
        let own = json!({"verbs": ["get"], "nonResourceURLs": ["/own"]});
        role["rules"] = json!([own]);
        role["metadata"]["labels"] = json!({"mine": "x"});
        role["metadata"]["resourceVersion"] = json!("7");
        let steps = plan_with(Kind::ClusterRole, &role);
        let [Step::Update(Kind::ClusterRole, object)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(object["rules"][0], own);
        assert!(object["rules"].as_array().unwrap().len() > 5);
        assert_eq!(object["metadata"]["labels"]["mine"], "x");
        assert_eq!(object["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
        assert_eq!(object["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn a_selector_or_a_subject_that_is_missing_comes_back() {
        let mut role = wanted(Kind::ClusterRole, "admin");
        role["aggregationRule"] = Value::Null;
        let steps = plan_with(Kind::ClusterRole, &role);
        let [Step::Update(_, object)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(object["aggregationRule"]["clusterRoleSelectors"].as_array().unwrap().len(), 1);

        let mut binding = wanted(Kind::ClusterRoleBinding, "system:discovery");
        binding["subjects"] = json!([{"kind": "User", "apiGroup": super::super::GROUP, "name": "me"}]);
        let steps = plan_with(Kind::ClusterRoleBinding, &binding);
        let [Step::Update(_, object)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(object["subjects"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_protected_object_is_left_alone() {
        let mut role = wanted(Kind::ClusterRole, "view");
        role["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = json!("false");
        role["rules"] = json!([]);
        role["aggregationRule"] = Value::Null;
        assert_eq!(plan_with(Kind::ClusterRole, &role), []);
    }

    #[test]
    fn a_binding_of_another_role_is_made_anew() {
        let mut binding = wanted(Kind::ClusterRoleBinding, "cluster-admin");
        binding["roleRef"]["name"] = json!("view");
        binding["metadata"]["uid"] = json!("u");
        let steps = plan_with(Kind::ClusterRoleBinding, &binding);
        let object = wanted(Kind::ClusterRoleBinding, "cluster-admin");
        assert_eq!(steps, [Step::Recreate { kind: Kind::ClusterRoleBinding, uid: "u".into(), object }]);
    }
}
