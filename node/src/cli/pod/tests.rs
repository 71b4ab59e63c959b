//! Names and summaries.

use serde_json::json;

use super::*;

fn pod(value: serde_json::Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

fn named(namespace: &str, name: &str) -> Pod {
    pod(json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"nodeName": "node1"}}))
}

#[test]
fn a_pod_is_found_by_its_name_its_manifests_name_and_its_namespace() {
    let pods = [named("default", "web-node1"), named("default", "db"), named("other", "db")];
    for (wanted, expected) in [
        ("web-node1", "default/web-node1"),
        ("web", "default/web-node1"),
        ("default/web", "default/web-node1"),
        ("other/db", "other/db"),
    ] {
        assert_eq!(find(&pods, None, wanted).unwrap().full_name(), expected, "{wanted}");
    }
}

#[test]
fn an_exact_name_goes_before_a_manifests_name() {
    let pods = [named("default", "web-node1"), named("default", "web")];
    assert_eq!(find(&pods, None, "web").unwrap().full_name(), "default/web");
}

#[test]
fn an_unknown_or_ambiguous_name_lists_what_is_there() {
    let pods = [named("default", "db"), named("other", "db")];
    let error = find(&pods, None, "db").unwrap_err().to_string();
    assert_eq!(error, "db may be any of default/db, other/db; say which by NAMESPACE/POD");
    let error = find(&pods, None, "web").unwrap_err().to_string();
    assert_eq!(error, "no pod web; there are default/db, other/db");
    assert_eq!(find(&[], None, "web").unwrap_err().to_string(), "no pod web: there are no pods");
    for nothing in ["", "default/"] {
        assert_eq!(find(&pods, None, nothing).unwrap_err().to_string(), format!("{nothing:?} names no pod"));
    }
}

#[test]
fn a_namespace_may_stand_beside_the_name() {
    let pods = [named("default", "db"), named("other", "db")];
    assert_eq!(find(&pods, Some("other"), "db").unwrap().full_name(), "other/db");
    assert_eq!(find(&pods, Some("other"), "other/db").unwrap().full_name(), "other/db");
    assert!(matches!(find(&pods, Some("default"), "other/db"), Err(Error::Usage(_))));
}

#[test]
fn a_container_is_chosen_and_the_choice_is_told() {
    let spec = json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]});
    let two = pod(json!({"metadata": {"namespace": "n", "name": "p"}, "spec": spec}));
    let (container, note) = two.container(None).unwrap();
    assert_eq!(
        (container.name.as_str(), note.as_deref()),
        ("a", Some("no -c given: using container a (others: i, b)"))
    );
    assert_eq!(two.container(Some("i")).unwrap().0.name, "i");
    let error = two.container(Some("x")).unwrap_err().to_string();
    assert_eq!(error, "pod n/p has no container x, but i, a, b");
    let annotations = json!({"kubectl.kubernetes.io/default-container": "b"});
    let annotated = pod(json!({"metadata": {"annotations": annotations}, "spec": spec}));
    assert_eq!(annotated.container(None).unwrap().0.name, "b");
}

#[test]
fn one_word_says_what_hinders_a_pod() {
    let waiting = |reason: &str| json!([{"name": "c", "state": {"waiting": {"reason": reason}}}]);
    let init = json!({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "c"}]});
    let running = json!({"running": {"startedAt": ""}});
    let ended = |code: i32| json!({"terminated": {"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }}});
    for (value, expected) in [
        (json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), "Terminating"),
        (json!({"status": {"phase": "Failed", "reason": "Evicted"}}), "Evicted"),
        (
            json!({"status": {"phase": "Running", "containerStatuses": waiting("CrashLoopBackOff")}}),
            "CrashLoopBackOff",
        ),
        (
            json!({"status": {"phase": "Pending", "containerStatuses": waiting("ErrImagePull")}}),
            "ErrImagePull",
        ),
        (
            json!({"status": {"phase": "Running", "containerStatuses": [{"name": "c", "state": running}]}}),
            "Running",
        ),
        (
            json!({"status": {"phase": "Succeeded", "containerStatuses": [{"name": "c", "state": ended(0)}]}}),
            "Completed",
        ),
        (
            json!({"status": {"phase": "Failed", "containerStatuses": [{"name": "c", "state": ended(1)}]}}),
            "Error",
        ),
        (json!({"spec": init, "status": {"phase": "Pending"}}), "Init:0/2"),
        (
            json!({"spec": init, "status": {"phase": "Pending", "initContainerStatuses": [
                {"name": "i", "state": ended(0)}, {"name": "j", "state": running}]}}),
            "Init:1/2",
        ),
        (
            json!({"spec": init, "status": {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": ended(1)}]}}),
            "Init:Error",
        ),
        (json!({}), "Unknown"),
    ] {
        assert_eq!(pod(value.clone()).summary(), expected, "{value}");
    }
}
