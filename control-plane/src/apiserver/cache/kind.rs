//! The cache of one kind.
//!
//! ```text
//!   empty ──fill──▶ filling ──listed──▶ filled ──the store forgot what was missed──▶ empty
//!                   events wait         events are applied
//! ```

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Mutex, watch};

use super::event::Event;
use super::object::Object;
use super::ring::Ring;
use crate::apiserver::kinds::Kind;
use crate::storage::{Event as Stored, Range, Revision, Store, StoreError};

/// Objects that are listed at once when a cache is filled.
const PAGE: usize = 2000;

/// The objects of a kind and the newest events.
pub struct Cache {
    kind: Arc<Kind>,
    state: RwLock<State>,
    /// One fills, the others wait for it.
    filling: Mutex<()>,
    /// Counts up when there are new events.
    changes: watch::Sender<u64>,
}

enum State {
    Empty,
    Filling(Vec<Stored>),
    Filled(Filled),
}

struct Filled {
    objects: BTreeMap<Arc<str>, Arc<Object>>,
    ring: Ring,
}

/// Objects at a revision, in the order of their keys.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The objects.
    pub objects: Vec<Arc<Object>>,
    /// They are what there was after this write.
    pub revision: Revision,
}

/// Which keys.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// Those that begin with this,
    pub prefix: &'a str,
    /// and come after this one.
    pub after: Option<&'a str>,
}

impl Cache {
    pub(super) fn new(kind: Arc<Kind>) -> Arc<Self> {
        Arc::new(Self {
            kind,
            state: RwLock::new(State::Empty),
            filling: Mutex::new(()),
            changes: watch::Sender::new(0),
        })
    }

    /// The kind whose objects these are.
    pub fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_filled(&self) -> bool {
        matches!(*self.read(), State::Filled(_))
    }

    /// Lists the kind, unless somebody did. Events that come meanwhile are applied after it.
    pub(super) async fn fill(&self, store: &dyn Store) -> Result<(), StoreError> {
        let _one = self.filling.lock().await;
        if self.is_filled() {
            return Ok(());
        }
        *self.write() = State::Filling(Vec::new());
        let _undo = Undo(self);
        let (objects, listed) = self.list(store).await?;
        let mut filled = Filled { objects, ring: Ring::new(listed) };
        {
            let mut state = self.write();
            if let State::Filling(waiting) = std::mem::replace(&mut *state, State::Empty) {
                for event in waiting.into_iter().filter(|event| event.revision > listed) {
                    filled.apply(&self.kind, event);
                }
                *state = State::Filled(filled);
            }
        }
        Ok(())
    }

    async fn list(
        &self,
        store: &dyn Store,
    ) -> Result<(BTreeMap<Arc<str>, Arc<Object>>, Revision), StoreError> {
        let mut objects = BTreeMap::new();
        let mut range = Range { prefix: self.kind.prefix.clone(), limit: Some(PAGE), ..Range::default() };
        loop {
            let page = store.list(range.clone()).await?;
            range.at = Some(page.revision);
            range.after = page.what.entries.last().map(|entry| entry.key.clone());
            for entry in page.what.entries {
                match Object::decode(&self.kind, &entry.key, entry.modified, &entry.value) {
                    Ok(object) => drop(objects.insert(object.key.clone(), Arc::new(object))),
                    Err(error) => tracing::error!(%error, "an object is left out"),
                }
            }
            if page.what.remaining == 0 {
                return Ok((objects, page.revision));
            }
        }
    }

    /// Forgets everything; the next who asks fills it again. Watches find their place gone and end.
    pub(super) fn empty(&self) {
        *self.write() = State::Empty;
        self.tell();
    }

    pub(super) fn apply(&self, event: Stored) {
        match &mut *self.write() {
            State::Empty => {}
            State::Filling(waiting) => waiting.push(event),
            State::Filled(filled) => filled.apply(&self.kind, event),
        }
    }

    /// Wakes the watches.
    pub(super) fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// An object now. None when the cache was emptied; that there is no such object is `Some(None)`.
    pub fn get(&self, key: &str) -> Option<Option<Arc<Object>>> {
        match &*self.read() {
            State::Filled(filled) => Some(filled.objects.get(key).cloned()),
            _ => None,
        }
    }

    /// The newest write that is known; none when the cache was emptied.
    pub(super) fn newest(&self) -> Option<Revision> {
        match &*self.read() {
            State::Filled(filled) => Some(filled.ring.newest()),
            _ => None,
        }
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        match &*self.read() {
            State::Filled(filled) => filled.objects.len(),
            _ => 0,
        }
    }

    /// The objects now. `reached` is up to where the caches were known to be before. None when it was emptied.
    pub(super) fn snapshot(&self, keys: Keys<'_>, reached: Revision) -> Option<Snapshot> {
        let state = self.read();
        let State::Filled(filled) = &*state else { return None };
        Some(Snapshot { objects: filled.range(keys), revision: reached.max(filled.ring.newest()) })
    }

    /// The objects as they were after an earlier write, if none was written since. None when that is not known.
    pub(super) fn snapshot_at(&self, keys: Keys<'_>, at: Revision) -> Option<Snapshot> {
        let state = self.read();
        let State::Filled(filled) = &*state else { return None };
        let known = filled.ring.after() <= at && filled.ring.newest() <= at;
        known.then(|| Snapshot { objects: filled.range(keys), revision: at })
    }

    /// At most `limit` events after a revision; none when some of them are no longer here.
    pub(super) fn events(&self, after: Revision, limit: usize) -> Option<Vec<Arc<Event>>> {
        match &*self.read() {
            State::Filled(filled) => filled.ring.read(after, limit),
            _ => None,
        }
    }
}

/// Who fills and does not come to its end, because it failed or nobody waits for it any more, leaves nothing behind in
/// which events would gather.
struct Undo<'a>(&'a Cache);

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let mut state = self.0.write();
        if matches!(*state, State::Filling(_)) {
            *state = State::Empty;
        }
    }
}

impl Filled {
    fn apply(&mut self, kind: &Arc<Kind>, event: Stored) {
        if event.revision <= self.ring.newest() {
            return;
        }
        let previous = self.objects.get(event.key.as_str()).cloned();
        let event = match (event.value, previous) {
            (Some(value), previous) => match Object::decode(kind, &event.key, event.revision, &value) {
                Ok(object) => {
                    let object = Arc::new(object);
                    self.objects.insert(object.key.clone(), object.clone());
                    Event::put(object, previous)
                }
                Err(error) => return tracing::error!(%error, "an event is left out"),
            },
            (None, Some(previous)) => {
                self.objects.remove(event.key.as_str());
                Event::delete(previous, event.revision)
            }
            (None, None) => return,
        };
        self.ring.push(Arc::new(event));
    }

    fn range(&self, keys: Keys<'_>) -> Vec<Arc<Object>> {
        let begin = match keys.after {
            Some(after) if after >= keys.prefix => Bound::Excluded(after),
            _ => Bound::Included(keys.prefix),
        };
        let all = self.objects.range::<str, _>((begin, Bound::Unbounded));
        all.take_while(|(key, _)| key.starts_with(keys.prefix)).map(|(_, object)| object.clone()).collect()
    }
}
