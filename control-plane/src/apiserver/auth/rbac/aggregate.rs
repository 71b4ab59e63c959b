//! ClusterRoles whose rules are those of other ClusterRoles, chosen by label.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Rule, null_is_empty};

#[derive(Deserialize)]
struct Role {
    metadata: Meta,
    #[serde(default, deserialize_with = "null_is_empty")]
    rules: Vec<Rule>,
    #[serde(default, rename = "aggregationRule")]
    aggregation: Option<Aggregation>,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Aggregation {
    #[serde(default, rename = "clusterRoleSelectors", deserialize_with = "null_is_empty")]
    selectors: Vec<Selector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    #[serde(default)]
    match_labels: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "null_is_empty")]
    match_expressions: Vec<Requirement>,
}

#[derive(Deserialize)]
struct Requirement {
    key: String,
    operator: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    values: Vec<String>,
}

impl Selector {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.match_labels.iter().flatten().all(equal)
            && self.match_expressions.iter().all(|one| one.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match &self.operator[..] {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // Validation admits no other; one that slipped through chooses nothing.
            _ => false,
        }
    }
}

/// The aggregated ClusterRoles whose rules are not what they should be, with the rules that they should have.
///
/// One aggregated role may take in another (`admin` takes in `edit`): that is followed to its end. A role that does
/// not parse is passed over.
pub fn stale_rules<'a>(cluster_roles: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, Vec<Rule>> {
    let mut roles: BTreeMap<String, Role> = BTreeMap::new();
    for object in cluster_roles {
        if let Ok(role) = Role::deserialize(object) {
            roles.insert(role.metadata.name.clone(), role);
        }
    }
    let mut stale = BTreeMap::new();
    // Each round settles at least one more link of a chain, and no chain is longer than there are roles.
    for _ in 0..=roles.len() {
        let changed: Vec<_> = roles
            .values()
            .filter_map(|role| {
                Some((role, gathered(role.aggregation.as_ref()?, &role.metadata.name, &roles)))
            })
            .filter(|(role, rules)| *rules != role.rules)
            .map(|(role, rules)| (role.metadata.name.clone(), rules))
            .collect();
        if changed.is_empty() {
            break;
        }
        for (name, rules) in changed {
            if let Some(role) = roles.get_mut(&name) {
                role.rules.clone_from(&rules);
            }
            stale.insert(name, rules);
        }
    }
    stale
}

fn gathered(aggregation: &Aggregation, own: &str, roles: &BTreeMap<String, Role>) -> Vec<Rule> {
    let none = BTreeMap::new();
    let mut rules: Vec<Rule> = Vec::new();
    for selector in &aggregation.selectors {
        for role in roles.values() {
            let labels = role.metadata.labels.as_ref().unwrap_or(&none);
            if role.metadata.name == own || !selector.matches(labels) {
                continue;
            }
            for rule in &role.rules {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(name: &str, label: &str, selects: Option<&str>, resource: Option<&str>) -> Value {
        let rules = resource.map(|r| json!([{"verbs": ["get"], "apiGroups": [""], "resources": [r]}]));
        let rule = selects.map(|l| json!({"clusterRoleSelectors": [{"matchLabels": {l: "true"}}]}));
        json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": rules, "aggregationRule": rule})
    }

    fn resources(rules: &[Rule]) -> Vec<&str> {
        rules.iter().map(|rule| &rule.resources[0][..]).collect()
    }

    #[test]
    fn an_aggregated_role_takes_in_what_its_labels_choose_also_through_others() {
        let roles = [
            role("admin", "x", Some("to-admin"), None),
            role("edit", "to-admin", Some("to-edit"), None),
            role("one", "to-edit", None, Some("pods")),
            role("two", "to-admin", None, Some("roles")),
            role("three", "y", None, Some("nodes")),
        ];
        let stale = stale_rules(&roles);
        assert_eq!(stale.keys().collect::<Vec<_>>(), ["admin", "edit"]);
        assert_eq!(resources(&stale["admin"]), ["pods", "roles"]);
        assert_eq!(resources(&stale["edit"]), ["pods"]);
    }

    #[test]
    fn a_role_that_is_right_is_left_alone_and_one_that_has_too_much_is_not() {
        let chosen = role("one", "to", None, Some("pods"));
        let mut right = role("all", "x", Some("to"), Some("pods"));
        assert!(stale_rules([&chosen, &right]).is_empty());
        right["rules"][0]["resources"] = json!(["nodes"]);
        assert_eq!(resources(&stale_rules([&chosen, &right])["all"]), ["pods"]);
    }

    #[test]
    fn roles_that_take_in_each_other_come_to_rest() {
        let roles = [role("a", "to-b", Some("to-a"), Some("x")), role("b", "to-a", Some("to-b"), Some("y"))];
        stale_rules(&roles);
    }

    #[test]
    fn expressions_choose_as_selectors_do() {
        let labels: BTreeMap<_, _> = [("a".to_owned(), "1".to_owned())].into();
        for (operator, key, values, chosen) in [
            ("In", "a", vec!["1", "2"], true),
            ("In", "b", vec!["1"], false),
            ("NotIn", "a", vec!["1"], false),
            ("NotIn", "b", vec!["1"], true),
            ("Exists", "a", vec![], true),
            ("DoesNotExist", "a", vec![], false),
            ("Other", "a", vec![], false),
        ] {
            let selector =
                json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
            let selector: Selector = serde_json::from_value(selector).unwrap();
            assert_eq!(selector.matches(&labels), chosen, "{operator} {key}");
        }
    }
}
