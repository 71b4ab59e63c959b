//! Which rules cover which others, rule by smallest rule.

use std::collections::BTreeSet;

use super::{Rule, covers_path};
use crate::apiserver::auth::quote::quoted_list;

/// What of `wanted` none of the rules in `held` covers, as rules of at most one verb, resource and name each.
pub(super) fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let single = wanted.iter().flat_map(broken_down);
    single.filter(|rule| !held.iter().any(|held| covers(held, rule))).collect()
}

/// A rule as the rules of one verb, one resource or path, and at most one name, that it is made of.
fn broken_down(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let mut single = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let plain = Rule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                let named = rule
                    .resource_names
                    .iter()
                    .map(|name| Rule { resource_names: one(name), ..plain.clone() });
                single.extend(named);
                if rule.resource_names.is_empty() {
                    single.push(plain);
                }
            }
        }
    }
    for url in &rule.non_resource_urls {
        for verb in &rule.verbs {
            single.push(Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() });
        }
    }
    single
}

/// Does `held` grant all that `rule`, one of [`broken_down`], grants?
fn covers(held: &Rule, rule: &Rule) -> bool {
    let all = |held: &[String], wanted: &[String]| {
        held.iter().any(|one| one == "*") || wanted.iter().all(|one| held.contains(one))
    };
    all(&held.verbs, &rule.verbs)
        && all(&held.api_groups, &rule.api_groups)
        && rule.resources.iter().all(|resource| covers_resource(&held.resources, resource))
        && (held.resource_names.is_empty()
            || !rule.resource_names.is_empty()
                && rule.resource_names.iter().all(|name| held.resource_names.contains(name)))
        && rule
            .non_resource_urls
            .iter()
            .all(|url| held.non_resource_urls.iter().any(|held| covers_path(held, url)))
}

fn covers_resource(held: &[String], resource: &str) -> bool {
    let subresource = resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
    held.iter().any(|one| one == "*" || one == resource || Some(one) == subresource.as_ref())
}

/// Rules of [`missing`] as a person reads them: those that differ by verb alone as one, sorted.
pub(super) fn described(rules: &[Rule]) -> Vec<String> {
    let mut compact: Vec<Rule> = Vec::new();
    for rule in rules {
        let same = |other: &&mut Rule| {
            let other = &**other;
            rule.non_resource_urls.is_empty()
                && (&other.api_groups, &other.resources, &other.resource_names, &other.non_resource_urls)
                    == (&rule.api_groups, &rule.resources, &rule.resource_names, &rule.non_resource_urls)
        };
        match compact.iter_mut().find(same) {
            Some(known) => known.verbs.extend(rule.verbs.iter().cloned()),
            None => compact.push(rule.clone()),
        }
    }
    let sorted: BTreeSet<_> = compact.iter().map(description).collect();
    sorted.into_iter().collect()
}

fn description(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.non_resource_urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    let set = parts.iter().filter(|(_, list)| !list.is_empty());
    let parts: Vec<_> = set.map(|(name, list)| format!("{name}:{}", quoted_list(list))).collect();
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(json: serde_json::Value) -> Vec<Rule> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_not_held_is_found_verb_by_verb() {
        let pods = |verbs: &[&str]| json!({"verbs": verbs, "apiGroups": [""], "resources": ["pods"]});
        let held = |list: serde_json::Value, wanted: serde_json::Value| {
            described(&missing(&rules(list), &rules(wanted)))
        };
        let none: [String; 0] = [];
        assert_eq!(held(json!([pods(&["get", "list"])]), json!([pods(&["get"])])), none);
        assert_eq!(held(json!([pods(&["*"])]), json!([pods(&["get", "x"])])), none);
        assert_eq!(
            held(json!([pods(&["get"])]), json!([pods(&["get", "list", "watch"])])),
            [r#"{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#]
        );
        // The star of verbs is held only by whoever holds the star.
        assert_eq!(held(json!([pods(&["get"])]), json!([pods(&["*"])])).len(), 1);
    }

    #[test]
    fn subresources_names_and_paths_are_covered_as_they_are_granted() {
        let rule = |resources: &[&str], names: &[&str]| json!([{"verbs": ["get"], "apiGroups": ["a"], "resources": resources, "resourceNames": names}]);
        let urls = |urls: &[&str]| json!([{"verbs": ["get"], "nonResourceURLs": urls}]);
        for (held, wanted, covered) in [
            (rule(&["*"], &[]), rule(&["x/status"], &[]), true),
            (rule(&["*/status"], &[]), rule(&["x/status"], &[]), true),
            (rule(&["*/status"], &[]), rule(&["x"], &[]), false),
            (rule(&["x"], &[]), rule(&["x/status"], &[]), false),
            (rule(&["x"], &[]), rule(&["x"], &["n"]), true),
            (rule(&["x"], &["n", "m"]), rule(&["x"], &["n"]), true),
            (rule(&["x"], &["n"]), rule(&["x"], &["m"]), false),
            (rule(&["x"], &["n"]), rule(&["x"], &[]), false),
            (urls(&["/a/*"]), urls(&["/a/b", "/a/b/*"]), true),
            (urls(&["/a"]), urls(&["/a/b"]), false),
            (urls(&["*"]), urls(&["/a/*"]), true),
            (rule(&["*"], &[]), urls(&["/a"]), false),
        ] {
            assert_eq!(
                missing(&rules(held.clone()), &rules(wanted.clone())).is_empty(),
                covered,
                "{held} {wanted}"
            );
        }
    }
}
