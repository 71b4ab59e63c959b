use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::apiserver::kinds::Registry;
use crate::storage::{Change, Embedded, Expect};

struct World {
    caches: Arc<Caches>,
    kind: Arc<Kind>,
    feed: tokio::task::JoinHandle<Result<(), StoreError>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.feed.abort();
    }
}

const LONG: Duration = Duration::from_secs(60);

impl World {
    fn new() -> Self {
        Self::above(Arc::new(Embedded::in_memory().unwrap()))
    }

    /// An empty store is at revision 1, so the first write makes 2.
    fn above(store: Arc<dyn Store>) -> Self {
        let table = Registry::builtin().unwrap().table();
        let kind = table.find("", "v1", "configmaps").unwrap().kind.clone();
        let caches = Caches::new(store);
        let feed = tokio::spawn(caches.clone().feed());
        Self { caches, kind, feed }
    }

    fn key(name: &str) -> String {
        format!("/registry/configmaps/ns/{name}")
    }

    async fn put(&self, name: &str, label: &str) -> Revision {
        let key = Self::key(name);
        let there = self.caches.store().get(&key).await.unwrap().what;
        let expect = there.map_or(Expect::Absent, |entry| Expect::At(entry.modified));
        let value = json!({"metadata": {"name": name, "labels": {"l": label}}}).to_string().into();
        self.caches.store().write(&key, expect, Change::Put { value, ttl: None }).await.unwrap()
    }

    async fn delete(&self, name: &str) -> Revision {
        let key = Self::key(name);
        let there = self.caches.store().get(&key).await.unwrap().what.unwrap();
        self.caches.store().write(&key, Expect::At(there.modified), Change::Delete).await.unwrap()
    }

    async fn list(&self, when: When, limit: usize, after: Option<&str>) -> Listed {
        let keys = Keys { prefix: "/registry/configmaps/ns/", after };
        let page = Page { keys, when, limit, everything: true };
        self.caches.list(&self.kind, page, |_| true).await.unwrap()
    }

    async fn names(&self, when: When) -> Vec<String> {
        let listed = self.list(when, 0, None).await;
        listed.objects.iter().map(|o| o.field(0).to_owned()).collect()
    }

    async fn watch(
        &self,
        begin: Begin,
        label: Option<&'static str>,
    ) -> Watcher<impl Fn(&Object) -> bool + Send> {
        let cache = self.caches.of(&self.kind).await.unwrap();
        let selects = move |object: &Object| label.is_none_or(|label| object.label("l") == Some(label));
        let prefix = "/registry/configmaps/".to_owned();
        Watcher::start(self.caches.clone(), cache, prefix, selects, begin, Some(LONG), LONG).await
    }
}

/// `ADDED a 3`
fn told(notice: Option<Notice>) -> String {
    match notice {
        Some(Notice::Initial(object)) => format!("INITIAL {} {}", object.field(0), object.revision),
        Some(Notice::Event(told, object, _)) => {
            format!("{} {} {}", told.name(), object.field(0), object.revision)
        }
        Some(Notice::Bookmark { revision, initial }) => format!("BOOKMARK {revision} {initial}"),
        Some(Notice::Error(status)) => format!("ERROR {} {}", status.code.as_u16(), status.message),
        None => "over".to_owned(),
    }
}

#[tokio::test]
async fn a_read_sees_every_write_that_was_acknowledged_before() {
    let world = World::new();
    assert!(world.names(When::Latest).await.is_empty());
    for round in 0..200 {
        let name = format!("c{:03}", round % 10);
        let revision = world.put(&name, "x").await;
        let object = world.caches.get(&world.kind, &World::key(&name), When::Latest).await.unwrap().unwrap();
        assert_eq!(object.revision, revision);
        assert!(world.list(When::Latest, 0, None).await.revision >= revision);
    }
    world.delete("c000").await;
    assert_eq!(world.names(When::Latest).await.len(), 9);
}

#[tokio::test]
async fn pages_are_of_one_revision_though_objects_change() {
    let world = World::new();
    for name in ["a", "b", "c", "d", "e"] {
        world.put(name, "x").await;
    }
    let first = world.list(When::Latest, 2, None).await;
    assert_eq!((first.objects.len(), first.more, first.remaining), (2, true, Some(3)));
    world.delete("c").await;
    world.put("cc", "x").await;
    let last = first.objects[1].key.to_string();
    let second = world.list(When::Exact(first.revision), 2, Some(&last)).await;
    let names: Vec<_> = second.objects.iter().map(|o| o.field(0)).collect();
    assert_eq!((names, second.remaining, second.revision), (vec!["c", "d"], Some(1), first.revision));
    let rest = world.list(When::Exact(first.revision), 2, Some(&World::key("d"))).await;
    assert_eq!((rest.objects.len(), rest.more, rest.remaining), (1, false, None));
    assert_eq!(world.names(When::Latest).await, ["a", "b", "cc", "d", "e"]);
}

#[tokio::test]
async fn what_was_forgotten_is_expired_and_the_future_is_too_large() {
    let world = World::new();
    let first = world.put("a", "x").await;
    let last = world.put("a", "y").await;
    assert_eq!(world.names(When::Latest).await, ["a"]);
    world.caches.store().compact(last).await.unwrap();
    let keys = Keys { prefix: "/registry/configmaps/", after: None };
    let page = |when| Page { keys, when, limit: 0, everything: true };
    let list = async |when| world.caches.list(&world.kind, page(when), |_| true).await;
    assert_eq!(list(When::Exact(first)).await.unwrap_err().reason, "Expired");
    let status = list(When::NotOlderThan(last + 100)).await.unwrap_err();
    assert_eq!(
        status.message,
        format!("Timeout: Too large resource version: {}, current: {last}", last + 100)
    );
}

#[tokio::test]
async fn a_watch_tells_what_its_selection_sees() {
    let world = World::new();
    world.put("a", "x").await;
    let mut all = world.watch(Begin::Objects(None), None).await;
    let mut some = world.watch(Begin::Objects(None), Some("y")).await;
    assert_eq!(told(all.next().await), "INITIAL a 2");
    assert_eq!(told(all.next().await), "BOOKMARK 2 true");
    assert_eq!(told(some.next().await), "BOOKMARK 2 true");
    world.put("a", "y").await;
    world.put("a", "y").await;
    world.put("a", "z").await;
    world.put("b", "y").await;
    world.delete("b").await;
    for expected in ["MODIFIED a 3", "MODIFIED a 4", "MODIFIED a 5", "ADDED b 6", "DELETED b 7"] {
        assert_eq!(told(all.next().await), expected);
    }
    // What leaves the selection is deleted for this watch, with the revision of what made it leave.
    for expected in ["ADDED a 3", "MODIFIED a 4", "DELETED a 5", "ADDED b 6", "DELETED b 7"] {
        assert_eq!(told(some.next().await), expected);
    }
}

#[tokio::test]
async fn a_watch_goes_on_from_before_the_cache_was_filled() {
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory().unwrap());
    let before = World::above(store.clone());
    for label in ["x", "y"] {
        before.put("a", label).await;
    }
    before.put("b", "x").await;
    let world = World::above(store);
    // The cache is filled at 4 and remembers nothing before.
    assert_eq!(world.names(When::Latest).await, ["a", "b"]);
    let mut watch = world.watch(Begin::After(2), None).await;
    world.put("c", "x").await;
    for expected in ["MODIFIED a 3", "ADDED b 4", "ADDED c 5"] {
        assert_eq!(told(watch.next().await), expected);
    }
    world.caches.store().compact(5).await.unwrap();
    let mut late = world.watch(Begin::After(2), None).await;
    assert_eq!(told(late.next().await), "ERROR 410 too old resource version: 2 (5)");
    assert_eq!(told(late.next().await), "over");
}

#[tokio::test]
async fn a_watch_that_falls_out_of_the_ring_is_over_and_holds_nobody_up() {
    let world = World::new();
    world.put("a", "0").await;
    let mut slow = world.watch(Begin::Objects(None), None).await;
    let mut quick = world.watch(Begin::Objects(None), None).await;
    for watch in [&mut slow, &mut quick] {
        assert_eq!(told(watch.next().await), "INITIAL a 2");
        assert_eq!(told(watch.next().await), "BOOKMARK 2 true");
    }
    let mut seen = 0;
    for round in 0..9000 {
        world.put("a", "1").await;
        if round % 100 == 99 {
            for _ in 0..100 {
                assert!(told(quick.next().await).starts_with("MODIFIED"));
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 9000);
    assert_eq!(told(slow.next().await), "over");
}

#[tokio::test]
async fn the_time_of_a_watch_runs_out_and_bookmarks_say_how_far_it_came() {
    let world = World::new();
    world.put("a", "x").await;
    let cache = world.caches.of(&world.kind).await.unwrap();
    let (prefix, short) = ("/registry/configmaps/".to_owned(), Duration::from_millis(50));
    let begin = Begin::After(2);
    let mut watch = Watcher::start(
        world.caches.clone(),
        cache,
        prefix,
        |_: &Object| true,
        begin,
        Some(short),
        short * 20,
    )
    .await;
    // Another kind is written: nothing is told but the revision goes on.
    let change = Change::Put { value: "{\"metadata\":{}}".into(), ttl: None };
    let revision = world.caches.store().write("/registry/pods/ns/p", Expect::Absent, change).await.unwrap();
    assert!(world.caches.reach(revision).await);
    // One by and by, and one at the end.
    let bookmark = format!("BOOKMARK {revision} false");
    let mut heard = Vec::new();
    while let Some(notice) = watch.next().await {
        heard.push(told(Some(notice)));
    }
    assert!(heard.len() >= 2 && heard.iter().all(|told| *told == bookmark), "{heard:?}");
}

#[tokio::test]
async fn many_watches_share_the_bytes_of_an_event() {
    let world = World::new();
    world.put("a", "x").await;
    let table = Registry::builtin().unwrap().table();
    let resource = table.find("", "v1", "configmaps").unwrap().clone();
    let mut frames = Vec::new();
    let mut watches = Vec::new();
    for _ in 0..10 {
        watches.push(world.watch(Begin::After(2), None).await);
    }
    world.put("a", "y").await;
    for watch in &mut watches {
        let Some(Notice::Event(told, object, event)) = watch.next().await else { panic!("no event") };
        frames.push(event.frame(told, &object, &resource));
    }
    assert!(frames.iter().all(|frame| frame.as_ptr() == frames[0].as_ptr()));
    let text = std::str::from_utf8(&frames[0]).unwrap();
    assert!(
        text.starts_with("{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",")
    );
    assert!(text.ends_with("}\n") && serde_json::from_str::<serde_json::Value>(text).is_ok());
}

/// Whatever is written, a watch that began with the objects ends up with the objects that a list shows.
#[tokio::test]
async fn a_watch_and_a_list_agree() {
    let world = World::new();
    let mut watch = world.watch(Begin::Objects(None), Some("1")).await;
    // A fixed sequence that visits all transitions.
    let mut seed = 7u32;
    for _ in 0..500 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let name = format!("c{}", (seed >> 8) % 5);
        let there = world.caches.store().get(&World::key(&name)).await.unwrap().what.is_some();
        match (seed >> 16) % 4 {
            0 if there => world.delete(&name).await,
            n => world.put(&name, if n % 2 == 0 { "0" } else { "1" }).await,
        };
    }
    let listed = world.list(When::Latest, 0, None).await;
    let wanted: BTreeMap<String, Revision> = listed
        .objects
        .iter()
        .filter(|o| o.label("l") == Some("1"))
        .map(|o| (o.field(0).to_owned(), o.revision))
        .collect();
    let mut seen = BTreeMap::new();
    let mut newest = 0;
    while let Some(notice) = watch.ready() {
        let Notice::Event(told, object, _) = notice else { continue };
        assert!(object.revision > newest, "in order and once");
        newest = object.revision;
        let name = object.field(0).to_owned();
        let was = match told {
            Type::Deleted => seen.remove(&name),
            Type::Added | Type::Modified => seen.insert(name, object.revision),
        };
        assert_eq!(was.is_some(), told != Type::Added, "{told:?}");
    }
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn a_watch_of_a_kind_that_was_replaced_is_over() {
    let world = World::new();
    world.put("a", "x").await;
    let mut watch = world.watch(Begin::After(2), None).await;
    let replaced = Arc::new(Kind::clone(&world.kind));
    let listed = world.caches.get(&replaced, &World::key("a"), When::Latest).await.unwrap();
    assert!(listed.is_some());
    assert_eq!(told(watch.next().await), "over");
}
