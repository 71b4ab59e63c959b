//! The index: the objects that controllers look at, by place, by owner and by identity.
//!
//! It follows the watch caches, kind by kind, and may be behind them; of each kind it knows up to which write it came.
//! Who wrote something and must not do it twice waits until the index has seen it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::item::Item;
use crate::client::{Gvr, Id};

/// What happened to an object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The object before; none when it came to be.
    pub old: Option<Arc<Item>>,
    /// The object now; none when it is gone.
    pub new: Option<Arc<Item>>,
}

impl Change {
    /// The object as it is, or was at last.
    pub fn item(&self) -> Option<&Arc<Item>> {
        self.new.as_ref().or(self.old.as_ref())
    }
}

/// The objects of all kinds that are followed.
#[derive(Debug, Default)]
pub struct Index {
    kinds: HashMap<Gvr, Objects>,
    uids: HashMap<String, Id>,
    owned: HashMap<String, BTreeMap<Id, Arc<Item>>>,
    /// The pods of nodes.
    placed: HashMap<String, BTreeMap<Id, Arc<Item>>>,
}

#[derive(Debug, Default)]
struct Objects {
    /// By namespace and name.
    all: BTreeMap<String, BTreeMap<String, Arc<Item>>>,
    /// Those that nobody manages.
    unmanaged: BTreeMap<String, BTreeSet<String>>,
    newest: u64,
    /// The kind was listed.
    listed: bool,
}

impl Index {
    /// An object.
    pub fn get(&self, kind: &Gvr, namespace: &str, name: &str) -> Option<&Arc<Item>> {
        self.kinds.get(kind)?.all.get(namespace)?.get(name)
    }

    /// The object at a place.
    pub fn at(&self, id: &Id) -> Option<&Arc<Item>> {
        self.get(&id.kind, &id.namespace, &id.name)
    }

    /// The object with an identity.
    pub fn by_uid(&self, uid: &str) -> Option<&Arc<Item>> {
        self.at(self.uids.get(uid)?)
    }

    /// All objects of a kind.
    pub fn all(&self, kind: &Gvr) -> impl Iterator<Item = &Arc<Item>> {
        self.kinds.get(kind).into_iter().flat_map(|objects| objects.all.values().flat_map(BTreeMap::values))
    }

    /// The objects of a kind in a namespace.
    pub fn in_namespace(&self, kind: &Gvr, namespace: &str) -> impl Iterator<Item = &Arc<Item>> {
        let objects = self.kinds.get(kind).and_then(|objects| objects.all.get(namespace));
        objects.into_iter().flat_map(BTreeMap::values)
    }

    /// The objects of a kind in a namespace that nobody manages.
    pub fn unmanaged(&self, kind: &Gvr, namespace: &str) -> impl Iterator<Item = &Arc<Item>> {
        let objects = self.kinds.get(kind);
        let names = objects.and_then(|objects| objects.unmanaged.get(namespace));
        names.into_iter().flatten().filter_map(move |name| objects?.all.get(namespace)?.get(name))
    }

    /// The objects that name an owner.
    pub fn owned(&self, uid: &str) -> impl Iterator<Item = &Arc<Item>> {
        self.owned.get(uid).into_iter().flat_map(BTreeMap::values)
    }

    /// The pods on a node, which need not be there itself.
    pub fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<Item>> {
        self.placed.get(node).into_iter().flat_map(BTreeMap::values)
    }

    /// The objects of a kind that an owner manages.
    pub fn managed(&self, kind: &Gvr, uid: &str) -> impl Iterator<Item = &Arc<Item>> {
        self.owned(uid).filter(move |item| {
            item.id.kind == *kind && item.controller().is_some_and(|owner| owner.uid == uid)
        })
    }

    /// The kinds that are followed.
    pub fn kinds(&self) -> impl Iterator<Item = &Gvr> {
        self.kinds.keys()
    }

    /// Up to which write everything of a kind is here.
    pub fn newest(&self, kind: &Gvr) -> u64 {
        self.kinds.get(kind).map_or(0, |objects| objects.newest)
    }

    /// Whether a kind was listed.
    pub fn is_listed(&self, kind: &Gvr) -> bool {
        self.kinds.get(kind).is_some_and(|objects| objects.listed)
    }

    /// Everything of a kind up to a write is here.
    pub fn complete(&mut self, kind: &Gvr, revision: u64) {
        let objects = self.kinds.entry(*kind).or_default();
        objects.newest = objects.newest.max(revision);
        objects.listed = true;
    }

    /// An object came to be or changed.
    pub fn put(&mut self, item: Arc<Item>) -> Change {
        let old = self.take(&item.id);
        let id = &item.id;
        self.uids.insert(item.uid.clone(), id.clone());
        for owner in &item.owners {
            self.owned.entry(owner.uid.clone()).or_default().insert(id.clone(), item.clone());
        }
        if let Some(facts) = item.pod.as_ref().filter(|facts| !facts.node.is_empty()) {
            self.placed.entry(facts.node.clone()).or_default().insert(id.clone(), item.clone());
        }
        let objects = self.kinds.entry(id.kind).or_default();
        objects.newest = objects.newest.max(item.revision);
        if item.controller().is_none() {
            objects.unmanaged.entry(id.namespace.clone()).or_default().insert(id.name.clone());
        }
        objects.all.entry(id.namespace.clone()).or_default().insert(id.name.clone(), item.clone());
        Change { old, new: Some(item) }
    }

    /// An object went with a write. None when it was not here.
    pub fn remove(&mut self, id: &Id, revision: u64) -> Option<Change> {
        let objects = self.kinds.entry(id.kind).or_default();
        objects.newest = objects.newest.max(revision);
        self.take(id).map(|old| Change { old: Some(old), new: None })
    }

    fn take(&mut self, id: &Id) -> Option<Arc<Item>> {
        let objects = self.kinds.get_mut(&id.kind)?;
        let old =
            take_from(&mut objects.all, &id.namespace, |names| (names.remove(&id.name), names.is_empty()))?;
        take_from(&mut objects.unmanaged, &id.namespace, |names| {
            names.remove(&id.name);
            (None::<()>, names.is_empty())
        });
        // Another object of this name may have come between, under its own identity.
        if self.uids.get(&old.uid) == Some(id) {
            self.uids.remove(&old.uid);
        }
        for owner in &old.owners {
            drop_from(&mut self.owned, &owner.uid, id);
        }
        if let Some(facts) = &old.pod {
            drop_from(&mut self.placed, &facts.node, id);
        }
        Some(old)
    }
}

/// Takes an object out of what belongs to somebody, and their entry with it once nothing does.
fn drop_from(of: &mut HashMap<String, BTreeMap<Id, Arc<Item>>>, whose: &str, id: &Id) {
    if let Some(theirs) = of.get_mut(whose) {
        theirs.remove(id);
        if theirs.is_empty() {
            of.remove(whose);
        }
    }
}

/// Takes something out of what a namespace has, and the namespace's entry with it once it is empty.
fn take_from<T, R>(
    of: &mut BTreeMap<String, T>,
    namespace: &str,
    take: impl FnOnce(&mut T) -> (Option<R>, bool),
) -> Option<R> {
    let (taken, empty) = take(of.get_mut(namespace)?);
    if empty {
        of.remove(namespace);
    }
    taken
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    static THINGS: Gvr = Gvr::of("", "v1", "things");

    fn item(name: &str, uid: &str, revision: u64, owners: Value) -> Arc<Item> {
        let object = json!({"metadata": {"name": name, "namespace": "n", "uid": uid,
            "resourceVersion": revision.to_string(), "ownerReferences": owners}});
        Arc::new(Item::of(&THINGS, &object).unwrap())
    }

    fn names<'a>(items: impl Iterator<Item = &'a Arc<Item>>) -> Vec<&'a str> {
        items.map(|item| item.id.name.as_str()).collect()
    }

    #[test]
    fn objects_are_found_by_place_identity_and_owner() {
        let mut index = Index::default();
        index.put(item("a", "1", 5, json!([{"uid": "o", "controller": true}])));
        index.put(item("b", "2", 6, json!([{"uid": "o"}])));
        index.put(item("c", "3", 7, Value::Null));
        assert_eq!(names(index.owned("o")), ["a", "b"]);
        assert_eq!(names(index.managed(&THINGS, "o")), ["a"]);
        assert_eq!(names(index.unmanaged(&THINGS, "n")), ["b", "c"]);
        assert_eq!(index.by_uid("3").unwrap().id.name, "c");
        assert_eq!(index.newest(&THINGS), 7);

        let change = index.put(item("a", "1", 8, Value::Null));
        assert_eq!(change.old.unwrap().revision, 5);
        assert_eq!((names(index.owned("o")), index.newest(&THINGS)), (vec!["b"], 8));
        assert!(index.remove(&Id::new(&THINGS, "n", "b"), 9).is_some());
        assert!(index.remove(&Id::new(&THINGS, "n", "b"), 9).is_none());
        assert_eq!(
            (names(index.owned("o")).len(), names(index.in_namespace(&THINGS, "n"))),
            (0, vec!["a", "c"])
        );
    }

    #[test]
    fn pods_are_found_by_their_node() {
        let mut index = Index::default();
        let pod = |node: &str| {
            let pod =
                json!({"metadata": {"name": "p", "namespace": "n", "uid": "p"}, "spec": {"nodeName": node}});
            Arc::new(Item::of(&crate::controllers::item::PODS, &pod).unwrap())
        };
        index.put(pod(""));
        assert_eq!(names(index.on_node("")).len(), 0);
        index.put(pod("a"));
        assert_eq!(names(index.on_node("a")), ["p"]);
        index.remove(&pod("a").id, 1);
        assert_eq!((names(index.on_node("a")).len(), index.placed.len()), (0, 0));
    }

    #[test]
    fn a_kind_is_known_up_to_its_newest_write() {
        let mut index = Index::default();
        index.put(item("a", "1", 5, Value::Null));
        assert_eq!((index.is_listed(&THINGS), index.newest(&THINGS)), (false, 5));
        index.complete(&THINGS, 9);
        assert_eq!((index.is_listed(&THINGS), index.newest(&THINGS)), (true, 9));
    }
}
