use super::super::{Verdict, node, rbac};
use super::*;

/// Allows `get pods` with the fields that are asked for, and the path `/healthz`.
struct Fake;

impl Authorizer for Fake {
    fn authorize(&self, user: &User, action: &Action<'_>) -> Verdict {
        let allowed = match action.target {
            Target::Path(path) => path == "/healthz",
            Target::Resource(on) => {
                let bound = on.fields.iter().any(|(field, value)| field == "spec.nodeName" && value == "n");
                action.verb == "get" && on.resource == "pods" || bound
            }
        };
        if allowed { Verdict::allow(format!("for {}", user.name)) } else { Verdict::refuse("") }
    }
}

fn on(attributes: Value) -> Value {
    json!({"spec": {"user": "bob", "resourceAttributes": attributes}})
}

#[test]
fn an_access_review_says_whether_and_why() {
    let me = User::new("me", &[]);
    let get = on(json!({"verb": "get", "resource": "pods"}));
    assert_eq!(
        subject_access_review(&get, &Fake).unwrap()["status"],
        json!({"allowed": true, "reason": "for bob"})
    );
    let own = self_subject_access_review(&get, &me, &Fake).unwrap();
    assert_eq!(own["status"], json!({"allowed": true, "reason": "for me"}));
    assert_eq!((&own["kind"], &own["metadata"]), (&json!("SelfSubjectAccessReview"), &json!({})));
    let list = on(json!({"verb": "list", "resource": "pods"}));
    assert_eq!(subject_access_review(&list, &Fake).unwrap()["status"], json!({"allowed": false}));
    let path =
        json!({"spec": {"groups": ["g"], "nonResourceAttributes": {"verb": "get", "path": "/healthz"}}});
    assert_eq!(subject_access_review(&path, &Fake).unwrap()["status"]["allowed"], true);
}

#[test]
fn a_field_selector_counts_as_far_as_it_is_understood() {
    for (selector, allowed, error) in [
        (json!({"rawSelector": "spec.nodeName=n"}), true, None),
        (json!({"rawSelector": "a!=b,spec.nodeName==n"}), true, None),
        (json!({"rawSelector": "spec.nodeName!=n"}), false, None),
        (json!({"rawSelector": "nonsense"}), false, Some("ignored")),
        (json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n"]}]}), true, None),
        (
            json!({"requirements": [{"key": "spec.nodeName", "operator": "NotIn", "values": ["n"]}]}),
            false,
            None,
        ),
        (json!({"requirements": [{"key": "a", "operator": "Exists"}]}), false, Some("ignored")),
        (
            json!({"requirements": [{"key": "a", "operator": "Exists"}, {"key": "spec.nodeName", "operator": "In", "values": ["n"]}]}),
            true,
            Some("partially ignored"),
        ),
    ] {
        let review = on(json!({"verb": "list", "resource": "pods", "fieldSelector": selector}));
        let status = &subject_access_review(&review, &Fake).unwrap()["status"];
        let error = error
            .map(|part| json!(format!("spec.resourceAttributes.fieldSelector {part} due to parse error")));
        assert_eq!(
            (&status["allowed"], status.get("evaluationError")),
            (&json!(allowed), error.as_ref()),
            "{review}"
        );
    }
}

#[test]
fn a_review_that_breaks_a_rule_names_the_field() {
    let attributes = json!({"verb": "get", "resource": "pods"});
    let with = |key: &str, value: Value| {
        let mut attributes = attributes.clone();
        attributes[key] = value;
        on(attributes)
    };
    let both =
        json!({"spec": {"user": "u", "resourceAttributes": {}, "nonResourceAttributes": {"path": "/"}}});
    for (review, field) in [
        (json!({"spec": {"user": "u"}}), Some("spec.resourceAttributes")),
        (both, Some("spec.nonResourceAttributes")),
        (json!({"spec": {"resourceAttributes": {}}}), Some("spec.user")),
        (
            json!({"metadata": {"name": "x"}, "spec": {"user": "u", "resourceAttributes": {}}}),
            Some("metadata"),
        ),
        (
            json!({"metadata": {"name": "", "managedFields": [1]}, "spec": {"user": "u", "resourceAttributes": {}}}),
            None,
        ),
        (with("fieldSelector", json!({})), Some("spec.resourceAttributes.fieldSelector.requirements")),
        (
            with("labelSelector", json!({"rawSelector": "a=b", "requirements": [{"key": "a"}]})),
            Some("spec.resourceAttributes.labelSelector.rawSelector"),
        ),
        (with("labelSelector", json!({"rawSelector": "a=b"})), None),
    ] {
        let refusal = subject_access_review(&review, &Fake).err();
        let found = refusal.as_ref().map(|refusal| &refusal.causes()[0].field[..]);
        assert_eq!(found, field, "{review}");
    }
}

#[test]
fn a_local_review_stays_in_its_namespace() {
    let review = |namespace: &str, of: &str| {
        json!({"metadata": {"namespace": namespace},
               "spec": {"user": "u", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": of}}})
    };
    let path = json!({"spec": {"user": "u", "nonResourceAttributes": {"path": "/healthz"}}});
    let check = |review: &Value| local_subject_access_review(review, "ns", &Fake);
    assert_eq!(check(&review("", "ns")).unwrap()["metadata"]["namespace"], "ns");
    assert_eq!(check(&review("ns", "ns")).unwrap()["status"]["allowed"], true);
    assert_eq!(check(&review("ns", "x")).unwrap_err().causes()[0].field, "spec.resourceAttributes.namespace");
    assert_eq!(check(&review("x", "x")).unwrap_err().code, 400);
    assert_eq!(check(&path).unwrap_err().causes()[0].field, "spec.nonResourceAttributes");
}

#[test]
fn rules_are_told_apart_by_what_they_are_about() {
    let (graph, mut index) = (node::Graph::default(), rbac::Index::default());
    for (kind, object) in rbac::standard::objects() {
        index.insert(kind, &object).unwrap();
    }
    let chain = Chain { node: &graph, rbac: &index };
    let review = json!({"spec": {"namespace": "ns"}});
    let answer =
        self_subject_rules_review(&review, &User::new("a", &["system:authenticated"]), &chain).unwrap();
    let status = &answer["status"];
    assert!(status["resourceRules"].as_array().unwrap().iter().all(|rule| rule["resources"].is_array()));
    assert!(
        status["nonResourceRules"].as_array().unwrap().iter().all(|rule| rule["nonResourceURLs"].is_array())
    );
    assert_eq!((&status["incomplete"], status.get("evaluationError")), (&json!(false), None));
    assert_eq!(self_subject_rules_review(&json!({}), &User::anonymous(), &chain).unwrap_err().code, 400);
}
