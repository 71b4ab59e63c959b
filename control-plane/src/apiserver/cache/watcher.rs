//! A watch: a place in the events of a kind that moves on.
//!
//! ```text
//!   initial objects ──▶ history ──▶ live ──▶ over
//!   (those selected)    (the store's  (the ring; waits for more)
//!                        log, up to
//!                        where the ring begins)
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Caches;
use super::event::{Event, Type};
use super::kind::{Cache, Keys};
use super::object::Object;
use crate::apiserver::status::Status;
use crate::storage::{Event as Stored, Revision, StoreError, Watch};

/// Events that are looked at in one turn.
const TURN: usize = 256;

/// Something that a watch tells.
#[derive(Debug)]
pub enum Notice {
    /// An object that was there when the watch began.
    Initial(Arc<Object>),
    /// What happened to an object.
    Event(Type, Arc<Object>, Arc<Event>),
    /// Everything up to this revision was told; `initial` ends the initial objects.
    Bookmark {
        /// The revision.
        revision: Revision,
        /// It is the first one, which stands behind the initial objects.
        initial: bool,
    },
    /// The watch is over for this reason.
    Error(Status),
}

/// How a watch begins.
#[derive(Debug, Clone)]
pub enum Begin {
    /// With the objects that there are; `None` asks for all acknowledged writes, else for those up to a revision.
    Objects(Option<Revision>),
    /// With what happened after this revision.
    After(Revision),
}

enum Phase {
    History(Box<dyn Watch>),
    Live,
    Over,
}

/// A watch of some of a kind's objects.
pub struct Watcher<S> {
    caches: Arc<Caches>,
    cache: Arc<Cache>,
    prefix: String,
    selects: S,
    phase: Phase,
    /// Everything up to here was told or is in `waiting`.
    cursor: Revision,
    waiting: VecDeque<Notice>,
    changes: watch::Receiver<u64>,
    bookmarks: Option<Bookmarks>,
    ends: Instant,
    lasts: Duration,
}

/// A watch that takes bookmarks gets one so often, and one at its end if it lasted as long.
struct Bookmarks {
    every: Duration,
    next: Instant,
}

impl<S: Fn(&Object) -> bool + Send> Watcher<S> {
    /// A watch of the objects whose keys begin with `prefix` and that are selected. It lasts for `lasts`; where it is to
    /// have bookmarks, `bookmarks` says how often.
    pub async fn start(
        caches: Arc<Caches>,
        cache: Arc<Cache>,
        prefix: String,
        selects: S,
        begin: Begin,
        bookmarks: Option<Duration>,
        lasts: Duration,
    ) -> Self {
        let now = Instant::now();
        let changes = cache.changes();
        let mut watcher = Self {
            caches,
            cache,
            prefix,
            selects,
            phase: Phase::Live,
            cursor: 0,
            waiting: VecDeque::new(),
            changes,
            bookmarks: bookmarks.map(|every| Bookmarks { every, next: now + every }),
            ends: now + lasts,
            lasts,
        };
        let begun = match begin {
            Begin::Objects(least) => watcher.begin_with_objects(least).await,
            Begin::After(revision) => watcher.begin_after(revision).await,
        };
        if let Err(status) = begun {
            watcher.fail(status);
        }
        watcher
    }

    async fn begin_with_objects(&mut self, least: Option<Revision>) -> Result<(), Status> {
        let least = match least {
            Some(revision) => revision,
            None => self.caches.store().stats().await?.revision,
        };
        reach(&self.caches, least).await?;
        let reached = self.caches.reached();
        let keys = Keys { prefix: &self.prefix, after: None };
        let Some(snapshot) = self.cache.snapshot(keys, reached) else {
            return Err(Status::unavailable("the watch cache is being filled"));
        };
        let selected = snapshot.objects.into_iter().filter(|object| (self.selects)(object));
        self.waiting.extend(selected.map(Notice::Initial));
        self.cursor = snapshot.revision;
        if self.bookmarks.is_some() {
            self.waiting.push_back(Notice::Bookmark { revision: self.cursor, initial: true });
        }
        Ok(())
    }

    async fn begin_after(&mut self, revision: Revision) -> Result<(), Status> {
        reach(&self.caches, revision).await?;
        self.cursor = revision;
        if self.cache.events(revision, 0).is_none() {
            // Before what the cache remembers: the store may remember more.
            match self.caches.store().watch(&self.prefix, revision).await {
                Ok(watch) => self.phase = Phase::History(watch),
                Err(error) => return Err(self.too_old(error)),
            }
        }
        Ok(())
    }

    fn too_old(&self, error: StoreError) -> Status {
        match error {
            StoreError::Compacted { oldest, .. } => {
                Status::expired(format!("too old resource version: {} ({oldest})", self.cursor))
            }
            other => other.into(),
        }
    }

    fn fail(&mut self, status: Status) {
        self.waiting.push_back(Notice::Error(status));
        self.phase = Phase::Over;
    }

    /// The next thing to tell; none when the watch is over. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            if let Some(notice) = self.waiting.pop_front() {
                return Some(notice);
            }
            if matches!(self.phase, Phase::Over) {
                return None;
            }
            if Instant::now() >= self.ends {
                return self.end();
            }
            match &mut self.phase {
                Phase::Over => return None,
                Phase::History(watch) => match watch.next().await {
                    Ok(batch) => {
                        batch.events.into_iter().for_each(|event| self.told_by_the_store(event));
                        self.cursor = batch.revision;
                        if self.cache.events(self.cursor, 0).is_some() {
                            self.phase = Phase::Live;
                        }
                    }
                    Err(error) => {
                        let status = self.too_old(error);
                        self.fail(status);
                    }
                },
                Phase::Live => {
                    if !self.read_on() {
                        // It fell out of the ring, or the cache had to begin anew: the client begins anew as well.
                        self.phase = Phase::Over;
                        return None;
                    }
                    if self.waiting.is_empty() {
                        self.wait().await;
                    }
                }
            }
        }
    }

    /// What can be told without waiting.
    pub fn ready(&mut self) -> Option<Notice> {
        if self.waiting.is_empty() && matches!(self.phase, Phase::Live) {
            self.read_on();
        }
        self.waiting.pop_front()
    }

    /// Takes events from the ring; false when the place in it is gone.
    fn read_on(&mut self) -> bool {
        self.changes.borrow_and_update();
        // Asked before the events are taken: all up to here are among them.
        let reached = self.caches.reached();
        let Some(events) = self.cache.events(self.cursor, TURN) else { return false };
        let all = events.len() < TURN;
        for event in events {
            self.cursor = event.revision;
            if event.object.key.starts_with(&self.prefix)
                && let Some((told, object)) = event.told(&self.selects)
            {
                self.waiting.push_back(Notice::Event(told, object, event));
            }
        }
        if all {
            self.cursor = self.cursor.max(reached);
        }
        true
    }

    fn told_by_the_store(&mut self, stored: Stored) {
        let kind = self.cache.kind();
        let object = |revision, value: &[u8]| match Object::decode(kind, &stored.key, revision, value) {
            Ok(object) => Some(Arc::new(object)),
            Err(error) => {
                tracing::error!(%error, "an event is left out");
                None
            }
        };
        let previous = stored.previous.as_ref().and_then(|(revision, value)| object(*revision, value));
        let event = match (&stored.value, previous) {
            (Some(value), previous) => {
                let Some(object) = object(stored.revision, value) else { return };
                Event::put(object, previous)
            }
            (None, Some(previous)) => Event::delete(previous, stored.revision),
            (None, None) => return,
        };
        if let Some((told, object)) = event.told(&self.selects) {
            self.waiting.push_back(Notice::Event(told, object, Arc::new(event)));
        }
    }

    /// Until there is something new, a bookmark is due or the time is up.
    async fn wait(&mut self) {
        let due = self.bookmarks.as_ref().map(|bookmarks| bookmarks.next);
        let until = due.map_or(self.ends, |due| self.ends.min(due));
        let more = tokio::time::timeout_at(until, self.changes.changed()).await.is_ok();
        if more || Some(until) != due {
            return;
        }
        if let Some(bookmarks) = &mut self.bookmarks {
            bookmarks.next = until + bookmarks.every;
        }
        // Nothing happened to the kind, but revisions went by.
        if self.read_on() && self.waiting.is_empty() {
            self.waiting.push_back(Notice::Bookmark { revision: self.cursor, initial: false });
        }
    }

    /// At its end a long watch says how far it came, so that the next one can go on from there.
    fn end(&mut self) -> Option<Notice> {
        let long = self.bookmarks.as_ref().is_some_and(|bookmarks| self.lasts >= bookmarks.every);
        let last = long && matches!(self.phase, Phase::Live);
        self.phase = Phase::Over;
        last.then_some(Notice::Bookmark { revision: self.cursor, initial: false })
    }
}

async fn reach(caches: &Caches, revision: Revision) -> Result<(), Status> {
    if caches.reach(revision).await { Ok(()) } else { Err(Status::future(revision, caches.reached())) }
}
