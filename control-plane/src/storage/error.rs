//! What a store can answer instead of what it was asked for.

use super::{Entry, Revision, VALUE_LIMIT};

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The key was not as the writer expected; nothing was written.
    #[error("{key}: the key is not as expected, it {}", there(.current.as_deref()))]
    Conflict {
        /// The key.
        key: String,
        /// What is there now.
        current: Option<Box<Entry>>,
    },
    /// That revision was forgotten (410 Expired in the API).
    #[error("revision {revision} was compacted away; the oldest one is {oldest}")]
    Compacted {
        /// The revision asked for.
        revision: Revision,
        /// The oldest that can be had.
        oldest: Revision,
    },
    /// That revision was not reached yet (504 with ResourceVersionTooLarge in the API).
    #[error("revision {revision} lies in the future; the newest one is {newest}")]
    Future {
        /// The revision asked for.
        revision: Revision,
        /// The newest there is.
        newest: Revision,
    },
    /// The value is longer than [`VALUE_LIMIT`].
    #[error("{key}: a value of {size} bytes is too large, the limit is {VALUE_LIMIT}")]
    TooLarge {
        /// The key.
        key: String,
        /// Its length in bytes.
        size: usize,
    },
    /// The store cannot do it now. A write that ends so may have happened, unless the store says otherwise.
    #[error("{operation}: the store {store} does not answer: {reason}")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// The file or the addresses.
        store: String,
        /// Why.
        reason: String,
    },
    /// What is on disk cannot be read.
    #[error("{store} is damaged: {reason}; move it away and restore a snapshot of it")]
    Damaged {
        /// The file.
        store: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn there(current: Option<&Entry>) -> String {
    match current {
        Some(entry) => format!("was last written at {}", entry.modified),
        None => "does not exist".to_owned(),
    }
}
