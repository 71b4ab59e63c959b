//! Where objects are kept: keys and bytes under one store-wide revision, as etcd has them.
//!
//! ```text
//!   write ──▶ Store ──▶ revision n ──▶ get, list (at n or at an earlier revision)
//!                            └───────▶ watch (every write after a revision, in order, once)
//!                            └───────▶ compact (earlier revisions are forgotten)
//! ```
//!
//! Two implementations: [`Embedded`] keeps a redb file (or, for tests and tools, memory), [`Etcd`] speaks to an etcd of
//! 3.4 or later. Both pass one suite of tests (`tests/store`). Keys are laid out as etcd's users know them:
//! `/registry/{group/}resource/namespace/name`. The values are opaque here.

mod dump;
mod embedded;
mod error;
mod etcd;
mod retention;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use dump::{DumpError, dump, restore};
pub use embedded::{Embedded, EmbeddedOptions};
pub use error::StoreError;
pub use etcd::{Etcd, EtcdOptions};
pub use retention::{Retention, keep_compacted};

/// The number of a write. One sequence for the whole store, rising by at least one with each write; never reused.
pub type Revision = u64;

/// The longest value in bytes that a store takes. etcd's own default limit of a request, so that what one backend
/// takes the other takes as well.
pub const VALUE_LIMIT: usize = 1_500_000;

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// The write that made the key after it was last absent.
    pub created: Revision,
    /// The write that made this value.
    pub modified: Revision,
    /// It was written with a time to live.
    pub transient: bool,
}

/// What a key must be for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no such key.
    Absent,
    /// The key's value was made by this write.
    At(Revision),
}

/// What a write does to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Give it a value.
    Put {
        /// The value, at most [`VALUE_LIMIT`] bytes.
        value: Bytes,
        /// After this time, in whole seconds, the store deletes the key by itself unless it was written again.
        ttl: Option<Duration>,
    },
    /// Remove it.
    Delete,
}

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: String,
    /// The write; for a deletion, the deletion's own.
    pub revision: Revision,
    /// The new value; none says that the key was deleted.
    pub value: Option<Bytes>,
    /// The value before, with the write that made it; none says that the key was created.
    pub previous: Option<(Revision, Bytes)>,
}

/// Events in the order of their revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The events; possibly none, when only other keys were written.
    pub events: Vec<Event>,
    /// Every event of the watched keys up to this revision was given out.
    pub revision: Revision,
}

/// An answer, and the store's revision when it was true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The answer.
    pub what: T,
    /// The revision.
    pub revision: Revision,
}

/// Which keys to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// Keys that begin with this.
    pub prefix: String,
    /// Only keys that come after this one in the order of their bytes.
    pub after: Option<String>,
    /// At most so many; none is all.
    pub limit: Option<usize>,
    /// As they were after this write; none is now.
    pub at: Option<Revision>,
}

/// A part of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries in the order of their keys' bytes.
    pub entries: Vec<Entry>,
    /// How many more there are behind the last one.
    pub remaining: u64,
}

/// Figures about a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// The newest write.
    pub revision: Revision,
    /// The oldest revision that can still be listed.
    pub compacted: Revision,
    /// Bytes that earlier revisions take up, where the store knows.
    pub history_bytes: Option<u64>,
}

/// A store. Writes are compare-and-swap and linearizable; once acknowledged they are on disk (on a majority's, with
/// several etcd members).
pub trait Store: Send + Sync + 'static {
    /// Changes a key if it is as expected; else [`StoreError::Conflict`] with what is there.
    fn write<'a>(
        &'a self,
        key: &'a str,
        expect: Expect,
        change: Change,
    ) -> BoxFuture<'a, Result<Revision, StoreError>>;

    /// The key's value now.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<At<Option<Entry>>, StoreError>>;

    /// A part of the keys of a prefix. The revision is the one listed at: pages of one listing name that of the first.
    fn list(&self, range: Range) -> BoxFuture<'_, Result<At<Page>, StoreError>>;

    /// Every event of the keys of a prefix after a revision, each once, in order. A revision that was compacted away
    /// makes [`Watch::next`] fail with [`StoreError::Compacted`], at once or when its turn comes.
    fn watch<'a>(
        &'a self,
        prefix: &'a str,
        after: Revision,
    ) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>>;

    /// Forgets what was before a revision: it can then be neither listed at nor watched from.
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Figures, the newest revision among them, which no acknowledged write is above.
    fn stats(&self) -> BoxFuture<'_, Result<Stats, StoreError>>;

    /// Makes an empty store go on after this revision, where it can (etcd cannot): so that revisions that clients hold
    /// from before a restore are known to be of the past.
    fn start_after(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// The events of a watch.
pub trait Watch: Send {
    /// The next events, when there are some. Dropping the future loses none. After an error the watch is over.
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, StoreError>>;
}

/// The first key behind all keys that begin with `prefix`; none when every key does.
fn prefix_end(prefix: &str) -> Option<Vec<u8>> {
    let (last, rest) = prefix.as_bytes().split_last()?;
    // No byte of UTF-8 is 0xff.
    Some([rest, &[last + 1]].concat())
}
