use super::*;
use crate::apiserver::kinds::Registry;
use crate::controllers::item::PODS;
use crate::controllers::replicaset::REPLICA_SETS;

static NODES: Gvr = Gvr::of("", "v1", "nodes");

fn collector() -> Garbage {
    let registry = Registry::builtin().unwrap();
    Garbage::new(Kinds::new(move || registry.table()))
}

fn put(index: &mut Index, kind: &Gvr, name: &str, change: impl FnOnce(&mut Value)) -> Change {
    let namespace = if *kind == NODES { "" } else { "n" };
    let mut object =
        json!({"metadata": {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "7"}});
    change(&mut object["metadata"]);
    index.put(Arc::new(Item::of(kind, &object).unwrap()))
}

fn owned(owners: &[&str]) -> impl FnOnce(&mut Value) + use<> {
    let reference = |name: &&str| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "blockOwnerDeletion": true});
    let owners: Vec<Value> = owners.iter().map(reference).collect();
    move |metadata| metadata["ownerReferences"] = owners.into()
}

fn going(finalizer: &str) -> impl FnOnce(&mut Value) + use<> {
    let finalizers = json!([finalizer]);
    move |metadata| {
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        metadata["finalizers"] = finalizers;
    }
}

fn steps(index: &Index, kind: &Gvr, name: &str) -> Vec<Step> {
    let namespace = if *kind == NODES { "" } else { "n" };
    collector().reconcile(index, &Id::new(kind, namespace, name), Timestamp::UNIX_EPOCH).steps
}

fn gone(name: &str) -> Vec<Guard> {
    vec![Guard::Gone(Id::new(&REPLICA_SETS, "n", name), name.to_owned())]
}

#[test]
fn what_has_an_owner_stays() {
    let mut index = Index::default();
    put(&mut index, &REPLICA_SETS, "a", |_| {});
    put(&mut index, &PODS, "p", owned(&["a"]));
    put(&mut index, &PODS, "free", |_| {});
    assert!(steps(&index, &PODS, "p").is_empty() && steps(&index, &PODS, "free").is_empty());
}

#[test]
fn what_lost_its_last_owner_goes() {
    let mut index = Index::default();
    put(&mut index, &PODS, "p", owned(&["a"]));
    let [Step::One(Effect::If(guards, effect))] = &steps(&index, &PODS, "p")[..] else {
        panic!("not deleted")
    };
    assert_eq!(*guards, gone("a"));
    assert!(
        matches!(&**effect, Effect::Delete { uid, revision: Some(7), propagation: Some("Background"), .. } if uid == "p")
    );

    // Another object of the owner's name is not the owner.
    put(&mut index, &REPLICA_SETS, "a", |metadata| metadata["uid"] = "another".into());
    assert_eq!(steps(&index, &PODS, "p").len(), 1);
}

#[test]
fn what_lost_one_of_its_owners_forgets_it() {
    let mut index = Index::default();
    put(&mut index, &REPLICA_SETS, "a", |_| {});
    put(&mut index, &PODS, "p", owned(&["a", "b"]));
    let [Step::One(Effect::If(guards, effect))] = &steps(&index, &PODS, "p")[..] else {
        panic!("nothing done")
    };
    assert_eq!(*guards, gone("b"));
    let Effect::Patch { patch, .. } = &**effect else { panic!("{effect:?}") };
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    let owners = patch["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!((owners.len(), &owners[0]["uid"]), (1, &json!("a")));
}

#[test]
fn what_cannot_be_told_is_left_alone() {
    let mut index = Index::default();
    put(&mut index, &PODS, "unknown", |metadata| {
        metadata["ownerReferences"] = json!([{"apiVersion": "x/v1", "kind": "Y", "name": "y", "uid": "y"}]);
    });
    put(&mut index, &NODES, "node", owned(&["a"]));
    assert!(steps(&index, &PODS, "unknown").is_empty() && steps(&index, &NODES, "node").is_empty());
}

#[test]
fn an_owner_in_the_foreground_waits_for_those_that_block_it() {
    let mut index = Index::default();
    put(&mut index, &REPLICA_SETS, "a", going(FOREGROUND));
    put(&mut index, &PODS, "p", owned(&["a"]));
    assert!(steps(&index, &REPLICA_SETS, "a").is_empty(), "it waits");
    let [Step::One(Effect::If(_, effect))] = &steps(&index, &PODS, "p")[..] else { panic!("the pod goes") };
    assert!(matches!(&**effect, Effect::Delete { .. }));

    put(&mut index, &PODS, "p", |metadata| {
        owned(&["a"])(metadata);
        metadata["ownerReferences"][0]["blockOwnerDeletion"] = false.into();
    });
    let [Step::One(Effect::Patch { patch, .. })] = &steps(&index, &REPLICA_SETS, "a")[..] else {
        panic!("it goes")
    };
    assert_eq!(patch["metadata"]["finalizers"], json!([]));
}

#[test]
fn what_waits_in_a_circle_is_unblocked() {
    let mut index = Index::default();
    put(&mut index, &REPLICA_SETS, "a", |metadata| {
        going(FOREGROUND)(metadata);
        owned(&["b"])(metadata);
    });
    put(&mut index, &REPLICA_SETS, "b", owned(&["a"]));
    let found = steps(&index, &REPLICA_SETS, "b");
    let [Step::One(Effect::If(_, first)), Step::One(Effect::If(_, second))] = &found[..] else {
        panic!("{found:?}")
    };
    let Effect::Patch { patch, .. } = &**first else { panic!("{first:?}") };
    assert_eq!(patch["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], false);
    assert!(matches!(&**second, Effect::Delete { propagation: Some("Foreground"), revision: None, .. }));
}

#[test]
fn orphans_are_told_before_their_owner_goes() {
    let mut index = Index::default();
    put(&mut index, &REPLICA_SETS, "a", going(ORPHAN));
    put(&mut index, &PODS, "p", owned(&["a"]));
    let found = steps(&index, &REPLICA_SETS, "a");
    let [Step::Together(free), Step::One(Effect::Patch { id, .. })] = &found[..] else { panic!("{found:?}") };
    let [Effect::Patch { patch, .. }] = &free[..] else { panic!("{free:?}") };
    assert_eq!((&patch["metadata"]["ownerReferences"], id.name.as_str()), (&json!([]), "a"));
}

#[test]
fn an_end_wakes_dependents_and_owners_that_wait() {
    let mut index = Index::default();
    let woken = |index: &Index, change: &Change| {
        let mut names = Vec::new();
        collector().wake(index, change, &mut |id| names.push(id.name));
        names
    };
    let change = put(&mut index, &REPLICA_SETS, "a", |_| {});
    assert_eq!(woken(&index, &change), [""; 0]);
    let change = put(&mut index, &PODS, "p", owned(&["a"]));
    assert_eq!(woken(&index, &change), ["p"]);
    let change = put(&mut index, &PODS, "p", owned(&["a"]));
    assert_eq!(woken(&index, &change), [""; 0], "nothing new");
    let change = put(&mut index, &REPLICA_SETS, "a", going(FOREGROUND));
    assert_eq!(woken(&index, &change), ["a", "p"]);
    let change = index.remove(&Id::new(&PODS, "n", "p"), 9).unwrap();
    assert_eq!(woken(&index, &change), ["a"]);
    put(&mut index, &PODS, "q", owned(&["a"]));
    let change = index.remove(&Id::new(&REPLICA_SETS, "n", "a"), 10).unwrap();
    assert_eq!(woken(&index, &change), ["q"]);
}
