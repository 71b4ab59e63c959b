//! One watch of the store, given out to the caches of the kinds.

use std::sync::Arc;
use std::time::Duration;

use super::Caches;
use crate::storage::{Batch, Revision, StoreError};

/// The beginning of every object's key.
const ROOT: &str = "/registry/";
/// Between two tries to reach the store.
const RETRY: Duration = Duration::from_millis(200);

impl Caches {
    /// Keeps the caches up with the store. Ends with an error when what is stored can no longer be read.
    pub async fn feed(self: Arc<Self>) -> Result<(), StoreError> {
        loop {
            match self.start().await {
                Ok(from) => match self.follow(from).await {
                    StoreError::Compacted { .. } => {
                        tracing::warn!(
                            "the caches fell behind what the store remembers; listing everything again"
                        );
                        self.reset().await;
                    }
                    error @ StoreError::Damaged { .. } => return Err(error),
                    error => tracing::warn!(%error, "watching the store; trying again"),
                },
                Err(error) => tracing::warn!(%error, "watching the store; trying again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Where to watch from: on from where it was, and first from now.
    async fn start(&self) -> Result<Revision, StoreError> {
        let reached = *self.reached.borrow();
        match reached {
            None => Ok(self.store.stats().await?.revision),
            Some(reached) => Ok(reached),
        }
    }

    async fn follow(&self, from: Revision) -> StoreError {
        let mut watch = match self.store.watch(ROOT, from).await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        self.advance(from);
        loop {
            match watch.next().await {
                Ok(batch) => self.give_out(batch),
                Err(error) => return error,
            }
        }
    }

    fn give_out(&self, batch: Batch) {
        let mut touched: Vec<Arc<super::Cache>> = Vec::new();
        for event in batch.events {
            let Some(cache) = self.by_key(&event.key) else { continue };
            cache.apply(event);
            if !touched.iter().any(|other| Arc::ptr_eq(other, &cache)) {
                touched.push(cache);
            }
        }
        // First the events, then the word that they are all there.
        self.advance(batch.revision);
        touched.iter().for_each(|cache| cache.tell());
    }

    fn advance(&self, revision: Revision) {
        self.reached.send_if_modified(|reached| {
            let more = *reached < Some(revision);
            *reached = (*reached).max(Some(revision));
            more
        });
    }

    /// Begins anew after events were missed: the caches are filled again when they are asked for, from then on.
    async fn reset(&self) {
        if let Ok(stats) = self.store.stats().await {
            self.all().iter().for_each(|cache| cache.empty());
            self.reached.send_replace(Some(stats.revision));
        }
    }
}
