//! What only the embedded store answers for: its file.

use std::sync::Arc;

use control_plane::storage::{Change, Embedded, EmbeddedOptions, Expect, Range, Revision, Store, StoreError};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::backends::runtime;
use crate::disk::Disk;
use crate::suite::put;

fn on(disk: &Disk) -> Result<Embedded, StoreError> {
    let disk = disk.clone();
    Embedded::on_disk("test disk", move || disk.clone())
}

/// Writes until it fails; what was acknowledged, with what was tried last.
async fn write_until_it_fails(store: &Embedded) -> (Vec<(String, Revision)>, Option<String>) {
    let mut acknowledged = Vec::new();
    for n in 0..12 {
        let key = format!("/k/{n}");
        let value = vec![n as u8; 700 * (n + 1)];
        match store.write(&key, Expect::Absent, put(value)).await {
            Ok(revision) => acknowledged.push((key, revision)),
            Err(StoreError::Unavailable { .. }) => return (acknowledged, Some(key)),
            Err(e) => panic!("{e}"),
        }
    }
    (acknowledged, None)
}

/// The power fails after each single effect on the disk in turn, with different parts of what was not synced surviving.
#[test]
fn a_crash_at_any_write_to_the_disk_loses_nothing_acknowledged() {
    let runtime = runtime();
    runtime.block_on(async {
        let whole = Disk::default();
        let store = on(&whole).unwrap();
        let opened = whole.effects();
        let (acknowledged, failed) = write_until_it_fails(&store).await;
        assert_eq!((acknowledged.len(), failed), (12, None));
        let effects = whole.effects();
        assert!(effects > opened + 12);

        let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        for crash_at in opened..effects {
            for survivors in 0..3 {
                let disk = Disk::default();
                let store = on(&disk).unwrap();
                disk.crash_at(crash_at);
                let (acknowledged, tried) = write_until_it_fails(&store).await;
                let found = disk.after_crash(|| match survivors {
                    0 => false,
                    1 => true,
                    _ => random.next_u32().is_multiple_of(2),
                });
                let again = on(&found).unwrap_or_else(|e| panic!("crash at {crash_at}: {e}"));
                check(&again, &acknowledged, tried.as_deref()).await;
            }
        }
    });
}

/// All that was acknowledged is there, and beyond it at most the write that was under way; past and present agree.
async fn check(store: &Embedded, acknowledged: &[(String, Revision)], tried: Option<&str>) {
    let listed = store.list(Range::default()).await.unwrap();
    let found: Vec<(String, Revision)> =
        listed.what.entries.iter().map(|e| (e.key.clone(), e.modified)).collect();
    for known in acknowledged {
        assert!(found.contains(known), "{known:?} was acknowledged and is lost");
    }
    for (key, _) in &found {
        assert!(
            acknowledged.iter().any(|(known, _)| known == key) || tried == Some(key),
            "{key} was never tried"
        );
    }
    for entry in &listed.what.entries {
        let n: usize = entry.key["/k/".len()..].parse().unwrap();
        assert_eq!(entry.value.as_ref(), vec![n as u8; 700 * (n + 1)]);
    }
    let mut watch = store.watch("", 1).await.unwrap();
    let mut told = Vec::new();
    while told.len() < found.len() {
        told.extend(watch.next().await.unwrap().events.into_iter().map(|e| (e.key, e.revision)));
    }
    told.sort();
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!(told, sorted);
    let next = store.write("/next", Expect::Absent, put("")).await.unwrap();
    assert!(found.iter().all(|(_, revision)| *revision < next), "a revision was used twice");
}

#[test]
fn a_full_disk_fails_writes_clearly_and_is_forgiven() {
    runtime().block_on(async {
        let disk = Disk::default();
        let store = on(&disk).unwrap();
        let first = store.write("/first", Expect::Absent, put("1")).await.unwrap();
        disk.limit(Some(disk.used()));
        let mut n = 0;
        let refused = loop {
            n += 1;
            match store.write(&format!("/more/{n}"), Expect::Absent, put(vec![0; 100_000])).await {
                Ok(_) => assert!(n < 10_000, "the disk never gets full"),
                Err(e) => break e,
            }
        };
        let StoreError::Unavailable { reason, .. } = &refused else { panic!("{refused}") };
        assert!(reason.contains("free some space"), "{reason}");

        disk.limit(None);
        let second = store.write("/second", Expect::Absent, put("2")).await.unwrap();
        assert!(second > first);
        assert_eq!(store.get("/first").await.unwrap().what.unwrap().value.as_ref(), b"1");
        assert_eq!(store.get(&format!("/more/{n}")).await.unwrap().what, None, "a refused write happened");
        assert!(store.get(&format!("/more/{}", n - 1)).await.unwrap().what.is_some() || n == 1);
    });
}

#[test]
fn a_second_process_and_a_foreign_file_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Embedded::open(&path, &EmbeddedOptions::default()).unwrap();
    let second = Embedded::open(&path, &EmbeddedOptions::default()).unwrap_err().to_string();
    assert!(second.contains("another process has it open") && second.contains("store.redb"), "{second}");
    store.close();
    Embedded::open(&path, &EmbeddedOptions::default()).unwrap().close();

    std::fs::write(&path, "{\"not\": \"a store\"}".repeat(1000)).unwrap();
    let foreign = Embedded::open(&path, &EmbeddedOptions::default()).unwrap_err().to_string();
    assert!(foreign.contains("store.redb") && foreign.contains("is this a store of Orlop?"), "{foreign}");
}

#[test]
fn a_damaged_file_is_named_and_what_to_do() {
    let disk = Disk::default();
    let store = on(&disk).unwrap();
    runtime().block_on(store.write("/a", Expect::Absent, put("1"))).unwrap();
    store.close();
    disk.spoil();
    let damaged = on(&disk).unwrap_err();
    assert!(matches!(damaged, StoreError::Damaged { .. } | StoreError::Unavailable { .. }), "{damaged:?}");
    assert!(damaged.to_string().contains("test disk"), "{damaged}");
}

#[test]
fn compaction_frees_the_space_of_the_past() {
    runtime().block_on(async {
        let disk = Disk::default();
        let store = Arc::new(on(&disk).unwrap());
        let mut at = store.write("/k", Expect::Absent, put("0")).await.unwrap();
        let mut sizes = Vec::new();
        for round in 0..4 {
            for n in 0..200_u32 {
                at = store.write("/k", Expect::At(at), put(vec![n as u8; 10_000])).await.unwrap();
            }
            store.compact(at).await.unwrap();
            // The rows go by and by; a write waits behind at most a slice of them.
            let left = store.write(&format!("/round/{round}"), Expect::Absent, put("")).await;
            left.unwrap();
            while store.stats().await.unwrap().history_bytes.unwrap() > 30_000 {
                tokio::task::yield_now().await;
            }
            sizes.push(disk.used());
        }
        assert_eq!(sizes[3], sizes[1], "the file grows though only one value lives: {sizes:?}");
        store.write("/k", Expect::At(at), Change::Delete).await.unwrap();
    });
}

/// A commit can fail and be on disk all the same: then its events come with the next ones, and none twice.
#[test]
fn a_watch_misses_nothing_of_a_commit_that_failed_and_happened() {
    runtime().block_on(async {
        let mut happened = 0;
        for sync in 0..4 {
            let disk = Disk::default();
            let store = on(&disk).unwrap();
            let first = store.write("/k/first", Expect::Absent, put("1")).await.unwrap();
            let mut watch = store.watch("/k/", first).await.unwrap();
            disk.lie_at_sync(Some(sync));
            let doubtful = store.write("/k/doubtful", Expect::Absent, put("2")).await;
            disk.lie_at_sync(None);
            store.write("/k/last", Expect::Absent, put("3")).await.unwrap();

            let entries = store
                .list(Range { prefix: "/k/".to_owned(), ..Range::default() })
                .await
                .unwrap()
                .what
                .entries;
            let mut expected: Vec<_> = entries
                .into_iter()
                .map(|e| (e.modified, e.key))
                .filter(|(revision, _)| *revision > first)
                .collect();
            expected.sort();
            let mut told = Vec::new();
            while told.last().is_none_or(|(_, key)| key != "/k/last") {
                told.extend(watch.next().await.unwrap().events.into_iter().map(|e| (e.revision, e.key)));
            }
            assert_eq!(told, expected, "sync {sync}: {doubtful:?}");
            happened += usize::from(doubtful.is_err() && expected.len() == 2);
        }
        assert!(happened > 0, "no commit failed and happened");
    });
}
