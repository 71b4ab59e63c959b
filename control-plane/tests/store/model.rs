//! Random histories, compared with a model that keeps every state there ever was.

use std::collections::BTreeMap;

use control_plane::storage::{Change, Entry, Event, Expect, Range, Revision, Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::backends::{Backend, runtime};
use crate::suite::put;

#[derive(Debug, Clone)]
enum Step {
    /// Writes a key, with the right expectation or a stale one.
    Put {
        key: usize,
        value: u8,
        right: bool,
    },
    Delete {
        key: usize,
        right: bool,
    },
    /// Lists all pages of a prefix as it was `back` writes ago.
    List {
        prefix: usize,
        limit: usize,
        back: usize,
    },
    /// Forgets all but the last `keep` writes.
    Compact {
        keep: usize,
    },
    /// Watches a prefix from `back` writes ago to now.
    Watch {
        prefix: usize,
        back: usize,
    },
}

const KEYS: [&str; 7] = ["/a", "/a/1", "/a/2", "/a/2/x", "/a0", "/b/1", "/b/é"];
const PREFIXES: [&str; 5] = ["", "/a/", "/a", "/b/", "/c"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..KEYS.len(), any::<u8>(), prop::bool::weighted(0.9))
            .prop_map(|(key, value, right)| Step::Put { key, value, right }),
        2 => (0..KEYS.len(), prop::bool::weighted(0.9)).prop_map(|(key, right)| Step::Delete { key, right }),
        3 => (0..PREFIXES.len(), 1..4usize, 0..12usize)
            .prop_map(|(prefix, limit, back)| Step::List { prefix, limit, back }),
        1 => (0..8usize).prop_map(|keep| Step::Compact { keep }),
        2 => (0..PREFIXES.len(), 0..12usize).prop_map(|(prefix, back)| Step::Watch { prefix, back }),
    ]
}

/// Every revision with the state after it, and the event that led there.
struct Model {
    states: Vec<(Revision, BTreeMap<String, Entry>)>,
    events: Vec<Event>,
    /// Index into `states` of the oldest that can be had.
    oldest: usize,
}

impl Model {
    fn newest(&self) -> &(Revision, BTreeMap<String, Entry>) {
        self.states.last().unwrap()
    }

    fn back(&self, back: usize) -> usize {
        self.states.len() - 1 - back.min(self.states.len() - 1)
    }

    fn record(&mut self, key: &str, revision: Revision, value: Option<Vec<u8>>) {
        let mut state = self.newest().1.clone();
        let before = state.remove(key);
        if let Some(value) = &value {
            state.insert(
                key.to_owned(),
                Entry {
                    key: key.to_owned(),
                    value: value.clone().into(),
                    created: before.as_ref().map_or(revision, |b| b.created),
                    modified: revision,
                    transient: false,
                },
            );
        }
        self.states.push((revision, state));
        self.events.push(Event {
            key: key.to_owned(),
            revision,
            value: value.map(Into::into),
            previous: before.map(|b| (b.modified, b.value)),
        });
    }
}

/// Runs random histories on the backend; each starts from what the one before left.
pub(crate) fn agrees(backend: &impl Backend) {
    let runtime = runtime();
    let store = backend.open(&runtime);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(step(), 1..60), |steps| {
            runtime.block_on(async {
                let start = store.list(Range::default()).await.unwrap();
                let state = start.what.entries.into_iter().map(|e| (e.key.clone(), e)).collect();
                let mut model =
                    Model { states: vec![(start.revision, state)], events: Vec::new(), oldest: 0 };
                for step in steps {
                    check(&*store, &mut model, step).await;
                }
            });
            Ok(())
        })
        .unwrap();
}

async fn check(store: &dyn Store, model: &mut Model, step: Step) {
    match step {
        Step::Put { key, value, right } => write(store, model, KEYS[key], Some(vec![value]), right).await,
        Step::Delete { key, right } => write(store, model, KEYS[key], None, right).await,
        Step::List { prefix, limit, back } => list(store, model, PREFIXES[prefix], limit, back).await,
        Step::Compact { keep } => {
            let to = model.back(keep);
            let revision = model.states[to].0;
            match store.compact(revision).await {
                Ok(()) => model.oldest = model.oldest.max(to),
                // Twice at one place is refused by etcd and has no effect elsewhere.
                Err(StoreError::Compacted { .. }) => assert!(to <= model.oldest),
                Err(e) => panic!("{e}"),
            }
        }
        Step::Watch { prefix, back } => watch(store, model, PREFIXES[prefix], back).await,
    }
}

async fn write(store: &dyn Store, model: &mut Model, key: &str, value: Option<Vec<u8>>, right: bool) {
    let current = model.newest().1.get(key).cloned();
    let expect = match (&current, right) {
        (Some(entry), true) => Expect::At(entry.modified),
        (None, true) if value.is_some() => Expect::Absent,
        (None, _) => Expect::At(model.newest().0),
        (Some(_), false) => Expect::Absent,
    };
    let change = value.clone().map_or(Change::Delete, put);
    match store.write(key, expect, change).await {
        Ok(revision) => {
            assert!(right && revision > model.newest().0);
            model.record(key, revision, value);
        }
        Err(StoreError::Conflict { current: found, .. }) => {
            assert!(!right || current.is_none());
            assert_eq!(found.map(|f| *f), current);
        }
        Err(e) => panic!("{e}"),
    }
}

async fn list(store: &dyn Store, model: &Model, prefix: &str, limit: usize, back: usize) {
    let at = model.back(back);
    let (revision, state) = &model.states[at];
    let mut range = Range { prefix: prefix.to_owned(), limit: Some(limit), at: Some(*revision), after: None };
    let expected: Vec<&Entry> = state.values().filter(|e| e.key.starts_with(prefix)).collect();
    let mut found = Vec::new();
    loop {
        match store.list(range.clone()).await {
            Ok(page) => {
                assert_eq!(page.revision, *revision);
                range.after = page.what.entries.last().map(|e| e.key.clone()).or(range.after);
                found.extend(page.what.entries);
                assert_eq!(found.len() as u64 + page.what.remaining, expected.len() as u64);
                if page.what.remaining == 0 {
                    break;
                }
            }
            Err(StoreError::Compacted { .. }) => return assert!(at < model.oldest),
            Err(e) => panic!("{e}"),
        }
    }
    assert!(at >= model.oldest);
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
}

async fn watch(store: &dyn Store, model: &Model, prefix: &str, back: usize) {
    let from = model.back(back);
    if from < model.oldest {
        return;
    }
    let expected: Vec<&Event> = model.events[from..].iter().filter(|e| e.key.starts_with(prefix)).collect();
    let mut watch = store.watch(prefix, model.states[from].0).await.unwrap();
    let mut found = Vec::new();
    while found.len() < expected.len() {
        let batch = watch.next().await.unwrap();
        found.extend(batch.events);
    }
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
}
