//! What every store does.

use std::sync::Arc;
use std::time::Duration;

use control_plane::storage::{
    Change, DumpError, Embedded, Event, Expect, Range, Revision, Store, StoreError, Watch,
};
use control_plane::storage::{VALUE_LIMIT, dump, restore};

use crate::backends::{Backend, runtime};

pub(crate) fn put(value: impl Into<Vec<u8>>) -> Change {
    Change::Put { value: value.into().into(), ttl: None }
}

pub(crate) fn prefix(prefix: &str) -> Range {
    Range { prefix: prefix.to_owned(), ..Range::default() }
}

/// Events of a watch until `count` have come.
async fn events(watch: &mut Box<dyn Watch>, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        let batch = watch.next().await.unwrap();
        assert!(batch.events.iter().all(|e| e.revision <= batch.revision));
        events.extend(batch.events);
    }
    events
}

async fn newest(store: &Arc<dyn Store>) -> Revision {
    store.stats().await.unwrap().revision
}

pub(crate) async fn compare_and_swap(store: Arc<dyn Store>) {
    let key = "/registry/pods/default/web";
    let created = store.write(key, Expect::Absent, put("1")).await.unwrap();
    let Err(StoreError::Conflict { current, .. }) = store.write(key, Expect::Absent, put("x")).await else {
        panic!("a key was created twice")
    };
    let current = current.unwrap();
    assert_eq!((current.value.as_ref(), current.modified), (b"1".as_slice(), created));

    let changed = store.write(key, Expect::At(created), put("2")).await.unwrap();
    assert!(changed > created);
    for change in [put("x"), Change::Delete] {
        let stale = store.write(key, Expect::At(created), change).await;
        assert!(matches!(stale, Err(StoreError::Conflict { current: Some(_), .. })), "{stale:?}");
    }
    let got = store.get(key).await.unwrap();
    let entry = got.what.unwrap();
    assert_eq!((entry.value.as_ref(), entry.created, entry.modified), (b"2".as_slice(), created, changed));
    assert_eq!(got.revision, changed, "refused writes took a revision");

    let deleted = store.write(key, Expect::At(changed), Change::Delete).await.unwrap();
    assert!(deleted > changed);
    assert_eq!(store.get(key).await.unwrap().what, None);
    let gone = store.write(key, Expect::At(changed), put("x")).await;
    assert!(matches!(gone, Err(StoreError::Conflict { current: None, .. })), "{gone:?}");
    for (expect, change) in
        [(Expect::Absent, Change::Delete), (Expect::At(0), put("x")), (Expect::At(0), Change::Delete)]
    {
        let refused = store.write(key, expect, change).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict { current: None, .. })),
            "{expect:?}: {refused:?}"
        );
    }
    let again = store.write(key, Expect::Absent, put("3")).await.unwrap();
    assert_eq!(store.get(key).await.unwrap().what.unwrap().created, again);
}

pub(crate) async fn contention(store: Arc<dyn Store>) {
    const TASKS: usize = 8;
    const EACH: usize = 25;
    let key = "/counter";
    let first = store.write(key, Expect::Absent, put("0")).await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut done = Vec::new();
                while done.len() < EACH {
                    let entry = store.get(key).await.unwrap().what.unwrap();
                    let count: usize = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                    match store.write(key, Expect::At(entry.modified), put((count + 1).to_string())).await {
                        Ok(revision) => done.push((revision, count + 1)),
                        Err(StoreError::Conflict { .. }) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
                done
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    acknowledged.sort_unstable();
    let counts: Vec<usize> = acknowledged.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, (1..=TASKS * EACH).collect::<Vec<_>>(), "an acknowledged step was lost or done twice");

    let mut watch = store.watch("/", first).await.unwrap();
    let told: Vec<(Revision, usize)> = events(&mut watch, TASKS * EACH)
        .await
        .iter()
        .map(|e| (e.revision, std::str::from_utf8(e.value.as_ref().unwrap()).unwrap().parse().unwrap()))
        .collect();
    assert_eq!(told, acknowledged);
}

pub(crate) async fn slow_watch(store: Arc<dyn Store>) {
    // More than any store keeps at hand for watches that keep up.
    const WRITES: usize = 6000;
    let begin = newest(&store).await;
    let mut watch = store.watch("/mine/", begin).await.unwrap();
    let writes: Vec<_> = (0..WRITES)
        .map(|n| {
            let store = store.clone();
            async move {
                let key = format!("/{}/{n}", if n % 2 == 0 { "mine" } else { "other" });
                store.write(&key, Expect::Absent, put(n.to_string())).await.unwrap()
            }
        })
        .collect();
    futures_util::future::join_all(writes).await;
    let told = events(&mut watch, WRITES / 2).await;
    assert_eq!(told.len(), WRITES / 2);
    assert!(told.windows(2).all(|pair| pair[0].revision < pair[1].revision));
    assert!(told.iter().all(|e| e.key.starts_with("/mine/") && e.previous.is_none()));
}

pub(crate) async fn dropped_wait(store: Arc<dyn Store>) {
    let mut watch = store.watch("/a/", newest(&store).await).await.unwrap();
    let mut told = Vec::new();
    for n in 0..50 {
        store.write(&format!("/a/{n}"), Expect::Absent, put("")).await.unwrap();
        if let Ok(batch) = tokio::time::timeout(Duration::from_micros(n * 20), watch.next()).await {
            told.extend(batch.unwrap().events);
        }
    }
    let missing = 50 - told.len();
    told.extend(events(&mut watch, missing).await);
    let keys: Vec<String> = told.into_iter().map(|e| e.key).collect();
    assert_eq!(keys, (0..50).map(|n| format!("/a/{n}")).collect::<Vec<_>>());
}

pub(crate) async fn compaction(store: Arc<dyn Store>) {
    let mut at = Vec::new();
    for n in 0..20 {
        at.push(store.write(&format!("/k/{n:02}"), Expect::Absent, put("old")).await.unwrap());
    }
    let mut behind = store.watch("/k/", at[2]).await.unwrap();
    store.write("/k/00", Expect::At(at[0]), put("new")).await.unwrap();
    store.compact(at[10]).await.unwrap();

    let list = |revision| store.list(Range { at: Some(revision), ..prefix("/k/") });
    assert!(matches!(list(at[9]).await, Err(StoreError::Compacted { .. })));
    let page = list(at[10]).await.unwrap();
    assert_eq!(page.what.entries.len(), 11);
    assert_eq!(page.what.entries[0].value.as_ref(), b"old", "a past that is kept changed");
    assert!(matches!(store.compact(at[9]).await, Err(StoreError::Compacted { .. })));

    // A watch that begins in what is gone fails, at once or with its first answer.
    let failed = match store.watch("/k/", at[3]).await {
        Ok(mut watch) => watch.next().await.map(drop),
        Err(e) => Err(e),
    };
    assert!(matches!(failed, Err(StoreError::Compacted { .. })), "{failed:?}");
    let mut watch = store.watch("/k/", at[10]).await.unwrap();
    assert_eq!(events(&mut watch, 10).await.len(), 10);
    // One that began before either has the events at hand or says that they are gone.
    match behind.next().await {
        Ok(batch) => assert_eq!(batch.events[0].key, "/k/03"),
        Err(e) => assert!(matches!(e, StoreError::Compacted { .. }), "{e}"),
    }
}

pub(crate) async fn future(store: Arc<dyn Store>) {
    let newest = newest(&store).await;
    let listed = store.list(Range { at: Some(newest + 1000), ..prefix("/") }).await;
    assert!(matches!(listed, Err(StoreError::Future { newest: n, .. }) if n == newest), "{listed:?}");
    let watched = store.watch("/", newest + 1000).await.map(drop);
    assert!(matches!(watched, Err(StoreError::Future { .. })), "{watched:?}");
    let compacted = store.compact(newest + 1000).await;
    assert!(matches!(compacted, Err(StoreError::Future { .. })), "{compacted:?}");
}

pub(crate) async fn time_to_live(store: Arc<dyn Store>) {
    let short =
        |value: &str| Change::Put { value: value.to_owned().into(), ttl: Some(Duration::from_secs(1)) };
    let mut watch = store.watch("/events/", newest(&store).await).await.unwrap();
    let ends = store.write("/events/ends", Expect::Absent, short("e")).await.unwrap();
    let stays = store.write("/events/stays", Expect::Absent, short("s")).await.unwrap();
    assert!(store.get("/events/ends").await.unwrap().what.unwrap().transient);
    store.write("/events/stays", Expect::At(stays), put("s")).await.unwrap();

    let told = events(&mut watch, 4).await;
    let end = &told[3];
    assert_eq!((end.key.as_str(), &end.value), ("/events/ends", &None));
    assert_eq!(end.previous, Some((ends, "e".into())));
    let left = store.list(prefix("/events/")).await.unwrap().what.entries;
    assert_eq!(
        left.iter().map(|e| (e.key.as_str(), e.transient)).collect::<Vec<_>>(),
        [("/events/stays", false)]
    );
}

pub(crate) async fn too_large(store: Arc<dyn Store>) {
    let before = newest(&store).await;
    let refused = store.write("/large", Expect::Absent, put(vec![b'x'; VALUE_LIMIT + 1])).await;
    assert!(
        matches!(refused, Err(StoreError::TooLarge { size, .. }) if size == VALUE_LIMIT + 1),
        "{refused:?}"
    );
    assert_eq!(newest(&store).await, before);
    store.write("/large", Expect::Absent, put(vec![b'x'; VALUE_LIMIT])).await.unwrap();
    assert_eq!(store.get("/large").await.unwrap().what.unwrap().value.len(), VALUE_LIMIT);
}

pub(crate) async fn dump_and_restore(store: Arc<dyn Store>) {
    for n in 0..1200 {
        store.write(&format!("/registry/{n}"), Expect::Absent, put(vec![n as u8; 10])).await.unwrap();
    }
    let event = Change::Put { value: "e".into(), ttl: Some(Duration::from_secs(3600)) };
    store.write("/registry/events/e", Expect::Absent, event).await.unwrap();
    let last = newest(&store).await;
    let mut file = Vec::new();
    assert_eq!(dump(&*store, &mut file).await.unwrap(), 1200);

    let copy: Arc<dyn Store> = Arc::new(Embedded::in_memory().unwrap());
    assert_eq!(restore(&*copy, &mut file.as_slice()).await.unwrap(), 1200);
    let of = async |store: &Arc<dyn Store>| -> Vec<_> {
        let entries = store.list(prefix("/")).await.unwrap().what.entries;
        entries.into_iter().filter(|e| !e.transient).map(|e| (e.key, e.value)).collect()
    };
    assert_eq!(of(&copy).await, of(&store).await);
    // What clients remember from before the restore is recognised as the past.
    let known = copy.watch("/", last).await.map(drop);
    assert!(known.is_ok() || matches!(known, Err(StoreError::Compacted { .. })), "{known:?}");
    assert!(newest(&copy).await > last);

    let onto_data = restore(&*store, &mut file.as_slice()).await;
    assert!(matches!(onto_data, Err(DumpError::NotEmpty { .. })), "{onto_data:?}");

    // Every way of being torn is noticed before anything is written.
    let empty: Arc<dyn Store> = Arc::new(Embedded::in_memory().unwrap());
    let lines: Vec<&[u8]> = file.split_inclusive(|b| *b == b'\n').collect();
    let torn: [Vec<u8>; 4] = [
        file[..file.len() / 2].to_vec(),
        lines[..lines.len() - 1].concat(),
        [&lines[..5], &lines[6..]].concat().concat(),
        lines[1..].concat(),
    ];
    for torn in torn {
        let refused = restore(&*empty, &mut torn.as_slice()).await;
        assert!(matches!(refused, Err(DumpError::Content { .. })), "{refused:?}");
    }
    assert!(of(&empty).await.is_empty());
}

/// What was acknowledged is there after the server was killed, and a watch goes on from where a client was.
pub(crate) fn restart(backend: &mut impl Backend) {
    let (first, second);
    {
        let runtime = runtime();
        let store = backend.open(&runtime);
        (first, second) = runtime.block_on(async {
            let first = store.write("/a", Expect::Absent, put("1")).await.unwrap();
            (first, store.write("/a", Expect::At(first), put("2")).await.unwrap())
        });
    }
    backend.restart();
    backend.run(async |store| {
        let entry = store.get("/a").await.unwrap().what.unwrap();
        assert_eq!((entry.created, entry.modified, entry.value.as_ref()), (first, second, b"2".as_slice()));
        let mut watch = store.watch("/", first).await.unwrap();
        let third = store.write("/a", Expect::At(second), Change::Delete).await.unwrap();
        let told = events(&mut watch, 2).await;
        assert_eq!(told[0].previous, Some((first, "1".into())));
        assert_eq!((told[1].revision, &told[1].value), (third, &None));
        let then = store.list(Range { at: Some(first), ..prefix("/") }).await.unwrap();
        assert_eq!(then.what.entries[0].value.as_ref(), b"1");
    });
}
