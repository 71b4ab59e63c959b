use serde_json::json;

use super::*;

fn table() -> Arc<Table> {
    Registry::builtin().unwrap().table()
}

#[test]
fn every_builtin_kind_has_one_stored_version_and_a_prefix_of_its_own() {
    let table = table();
    assert!(table.kinds().len() > 60);
    for kind in table.kinds() {
        assert_eq!(kind.served.iter().filter(|s| s.conversion.is_none()).count(), 1, "{}", kind.kind);
        let same = table.kinds().iter().filter(|k| k.prefix.starts_with(&kind.prefix)).count();
        assert_eq!(same, 1, "{}", kind.prefix);
    }
}

/// The documentation says so. What is only asked, such as a review, is looked at by who answers.
#[test]
fn no_stored_kind_is_checked_by_its_schema_alone() {
    let table = table();
    let bare: Vec<String> = table
        .kinds()
        .iter()
        .flat_map(|kind| kind.served.iter().map(move |served| (served, &kind.kind)))
        .filter(|(served, _)| served.verbs.has("update"))
        .map(|(served, kind)| (&served.group, kind))
        .filter(|(group, kind)| api_objects::rules::of(group, kind).is_none())
        .map(|(group, kind)| format!("{group}/{kind}"))
        .collect();
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn keys_are_laid_out_as_etcd_users_know_them() {
    let table = table();
    let key = |g, r, ns, name| table.find(g, "v1", r).unwrap().kind.key(ns, name);
    assert_eq!(key("", "pods", Some("a"), Some("b")), "/registry/pods/a/b");
    assert_eq!(key("", "pods", Some("a"), None), "/registry/pods/a/");
    assert_eq!(key("", "pods", None, None), "/registry/pods/");
    assert_eq!(key("", "nodes", None, Some("n")), "/registry/minions/n");
    assert_eq!(key("", "services", Some("a"), Some("s")), "/registry/services/specs/a/s");
    assert_eq!(key("networking.k8s.io", "ingresses", Some("a"), None), "/registry/ingress/a/");
}

#[test]
fn one_object_is_served_under_two_versions() {
    let table = table();
    let core = table.find("", "v1", "events").unwrap();
    let own = table.find("events.k8s.io", "v1", "events").unwrap();
    assert!(Arc::ptr_eq(&core.kind, &own.kind));
    assert!(core.served().conversion.is_none() && own.served().conversion.is_some());
    // Both names mean the same field.
    let index = |r: &Resource, name: &str| r.served().labels.iter().find(|l| l.0 == name).map(|l| l.1);
    assert_eq!(index(core, "involvedObject.uid"), index(own, "regarding.uid"));
    assert_eq!(own.qualified(), "events.events.k8s.io");
    assert_eq!(table.find("autoscaling", "v2", "horizontalpodautoscalers").unwrap().kind.served.len(), 2);
}

#[test]
fn conversions_there_and_back_change_nothing() {
    let table = table();
    let convert = |group: &str, resource: &str| {
        table.find(group, "v1", resource).unwrap().served().conversion.clone().unwrap()
    };
    let event = json!({"metadata": {"name": "a"}, "involvedObject": {"kind": "Pod"}, "message": "m", "count": 2,
        "source": {"component": "c"}, "reportingComponent": "r", "type": "Normal"});
    let hooks = convert("events.k8s.io", "events");
    let mut there = event.clone();
    (hooks.serve)(&mut there);
    assert_eq!((&there["regarding"]["kind"], &there["note"]), (&json!("Pod"), &json!("m")));
    (hooks.store)(&mut there);
    assert_eq!(there, event);

    let scaler = json!({"metadata": {"name": "a"}, "spec": {"maxReplicas": 3, "behavior": {"scaleUp": {}}, "metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 5}}},
        {"type": "Pods", "pods": {"metric": {"name": "m"}}}]}});
    let hooks = convert("autoscaling", "horizontalpodautoscalers");
    let mut there = scaler.clone();
    (hooks.serve)(&mut there);
    assert_eq!(there["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 5}));
    (hooks.store)(&mut there);
    assert_eq!(there, scaler);
}

#[test]
fn kinds_come_and_go_at_run_time() {
    let registry = Registry::builtin().unwrap();
    let before = registry.table();
    let mut kind = Kind::clone(&before.find("", "v1", "configmaps").unwrap().kind);
    kind.prefix = "/registry/example.org/widgets/".to_owned();
    kind.resource = "widgets".to_owned();
    kind.served[0].group = "example.org".to_owned();
    registry.put(kind);
    assert!(registry.table().find("example.org", "v1", "widgets").is_some());
    assert!(registry.table().groups().iter().any(|g| g.name == "example.org"));
    assert!(before.find("example.org", "v1", "widgets").is_none());
    registry.remove("/registry/example.org/widgets/");
    assert_eq!(registry.table().groups(), before.groups());
}
