//! The watch cache: the objects of each kind, encoded, and what happened to them last.
//!
//! ```text
//!   store ──one watch──▶ feed ──▶ cache of a kind ──▶ get, list
//!                          │        objects, ring ──▶ watches, each at its own place in the ring
//!                          └─▶ reached: every event up to this revision is in the caches
//! ```
//!
//! One watch of the store feeds all kinds: it says of every revision whose events have come, so a read that must see
//! all earlier writes waits until the store's newest revision is reached, also where the kind itself was not written,
//! and also on an etcd that does not tell of progress. A kind is listed when it is first asked for. A watch holds no
//! events: it reads on from where it is, so a slow one costs nothing; one that falls out of the ring is over.

mod event;
mod feed;
mod follow;
mod kind;
mod object;
mod read;
mod ring;
mod scan;
#[cfg(test)]
mod tests;
mod watcher;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

pub use event::{Event, Type, head};
pub use follow::{Change, follow};
pub use kind::{Cache, Keys, Snapshot};
pub use object::{Body, NoObject, Object};
pub use read::{Listed, Page, When};
pub use watcher::{Begin, Notice, Watcher};

use super::kinds::Kind;
use crate::storage::{Revision, Store, StoreError};

/// So long a request waits for a revision that it names.
pub const NAMED_WITHIN: Duration = Duration::from_secs(3);
/// So long a read waits for the newest revision before it goes to the store instead. They are usually microseconds
/// apart; on an etcd that others write to as well, the newest revision may be none that is told here.
const LATEST_WITHIN: Duration = Duration::from_millis(250);

/// The caches of all kinds.
pub struct Caches {
    store: Arc<dyn Store>,
    kinds: RwLock<HashMap<String, Arc<Cache>>>,
    /// Every event up to this revision is in the caches; none before the feed has begun.
    reached: watch::Sender<Option<Revision>>,
}

impl Caches {
    /// Caches above a store. [`Caches::feed`] must run for them to be of use.
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { store, kinds: RwLock::default(), reached: watch::Sender::new(None) })
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The cache of a kind, filled.
    pub async fn of(&self, kind: &Arc<Kind>) -> Result<Arc<Cache>, StoreError> {
        let found = {
            let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
            kinds.get(&kind.prefix).filter(|cache| Arc::ptr_eq(cache.kind(), kind)).cloned()
        };
        let cache = found.unwrap_or_else(|| {
            let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
            let there = kinds.entry(kind.prefix.clone()).or_insert_with(|| Cache::new(kind.clone()));
            // The kind was replaced by one that keeps its objects under the same keys: who watches the old one must
            // begin anew.
            if !Arc::ptr_eq(there.kind(), kind) {
                std::mem::replace(there, Cache::new(kind.clone())).empty();
            }
            there.clone()
        });
        if !cache.is_filled() {
            // A list before the feed has begun could miss what is written between the two.
            if tokio::time::timeout(NAMED_WITHIN, self.wait_for(None)).await.is_err() {
                // Why it has not is the store's to say.
                self.store.stats().await?;
                return Err(StoreError::Unavailable {
                    operation: "follow",
                    store: "below the watch cache".to_owned(),
                    reason: "it is not followed yet".to_owned(),
                });
            }
            cache.fill(&*self.store).await?;
        }
        Ok(cache)
    }

    /// Up to where the caches know everything.
    pub fn reached(&self) -> Revision {
        self.reached.borrow().unwrap_or(0)
    }

    /// The feed has begun.
    pub fn is_fed(&self) -> bool {
        self.reached.borrow().is_some()
    }

    /// Waits for a revision, or for the feed's begin.
    async fn wait_for(&self, revision: Option<Revision>) {
        let mut reached = self.reached.subscribe();
        // The sender is `self`'s: it does not go away while this waits.
        let _ = reached.wait_for(|reached| reached.is_some() && *reached >= revision).await;
    }

    /// Waits until the caches know everything up to a revision; false when they did not come to within a while.
    pub async fn reach(&self, revision: Revision) -> bool {
        self.reach_within(revision, NAMED_WITHIN).await
    }

    async fn reach_within(&self, revision: Revision, within: Duration) -> bool {
        self.reached() >= revision
            || tokio::time::timeout(within, self.wait_for(Some(revision))).await.is_ok()
    }

    /// Waits until the caches know every write that was acknowledged before. False says that they did not come to: the
    /// store must be read itself.
    pub async fn fresh(&self) -> Result<bool, StoreError> {
        let newest = self.store.stats().await?.revision;
        Ok(self.reach_within(newest, LATEST_WITHIN).await)
    }

    /// The newest write to a kind that is known here; none while the kind is not cached.
    pub fn newest(&self, kind: &Kind) -> Option<Revision> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).get(&kind.prefix)?.newest()
    }

    fn all(&self) -> Vec<Arc<Cache>> {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The cache whose objects have such keys: `/registry/pods/…`, `/registry/services/specs/…`.
    fn by_key(&self, key: &str) -> Option<Arc<Cache>> {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let slashes = key.match_indices('/').map(|(at, _)| at).skip(2);
        slashes.take(2).find_map(|at| kinds.get(&key[..=at]).cloned())
    }
}
