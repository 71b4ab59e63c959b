//! A watch: a place in the history that moves on.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch::Receiver;

use super::Fault;
use super::file::File;
use super::read;
use super::tables::within;
use super::tail::Tail;
use crate::storage::{Batch, Revision, Stats, StoreError, Watch};

/// Events of one batch at most, and rows of the log read at once.
const BATCH_LIMIT: usize = 1024;

/// Follows the writes of a prefix. It holds no events: it reads on from where it is, so a slow follower costs nothing
/// but its own delay.
pub(super) struct Follow {
    file: Arc<File>,
    tail: Arc<Tail>,
    stats: Receiver<Stats>,
    prefix: String,
    reached: Revision,
}

impl Follow {
    pub(super) fn new(
        file: Arc<File>,
        tail: Arc<Tail>,
        prefix: String,
        after: Revision,
    ) -> Result<Self, StoreError> {
        let stats = tail.stats();
        let now = *stats.borrow();
        within(after, now.compacted, now.revision)?;
        Ok(Self { file, tail, stats, prefix, reached: after })
    }

    async fn read_on(&mut self) -> Result<Batch, StoreError> {
        loop {
            let newest = self.stats.borrow_and_update().revision;
            if newest > self.reached {
                break;
            }
            self.stats.changed().await.map_err(|_| StoreError::Unavailable {
                operation: "watch",
                store: "the store's writer".to_owned(),
                reason: "it has ended".to_owned(),
            })?;
        }
        let (events, revision) = match self.tail.read(&self.prefix, self.reached, BATCH_LIMIT) {
            Some(read) => read,
            None => {
                let (prefix, after) = (self.prefix.clone(), self.reached);
                read_file(self.file.clone(), "watch", move |tx| read::log(tx, &prefix, after, BATCH_LIMIT))
                    .await?
            }
        };
        self.reached = revision;
        Ok(Batch { events, revision })
    }
}

impl Watch for Follow {
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, StoreError>> {
        Box::pin(self.read_on())
    }
}

/// Reads the file on a thread for what blocks.
pub(super) async fn read_file<T: Send + 'static>(
    file: Arc<File>,
    operation: &'static str,
    read: impl FnOnce(&redb::ReadTransaction) -> Result<T, Fault> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(move || file.read(operation, read)).await {
        Ok(done) => done,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Unavailable {
                operation,
                store: "the store's readers".to_owned(),
                reason: "the process is ending".to_owned(),
            }),
        },
    }
}
