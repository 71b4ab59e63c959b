//! How the store lies in redb's tables.

use bytes::Bytes;
use redb::{ReadableTable, TableDefinition};

use super::Fault;
use crate::storage::{Entry, Revision, StoreError};

/// What is known of a key: the writes that created and modified it, when it ends (ms since 1970, 0 is never).
pub(super) type Stored = (u64, u64, u64);

/// What the log says of a write: the key, whether it deleted it, what was there before.
pub(super) type Logged<'a> = (&'a [u8], bool, Option<Stored>);

/// The present: key → what is known of it. Apart from the values, so that counting keys reads little.
pub(super) const OBJECTS: TableDefinition<&[u8], Stored> = TableDefinition::new("objects");
/// The value that each write gave its key. One that was superseded stays as long as the write that did it is in [`LOG`].
pub(super) const VALUES: TableDefinition<u64, &[u8]> = TableDefinition::new("values");
/// The history: revision → write. A row for every revision above [`COMPACTED`].
pub(super) const LOG: TableDefinition<u64, Logged> = TableDefinition::new("log");
/// What ends by itself: (ms since 1970, key) → the write that said so.
pub(super) const EXPIRY: TableDefinition<(u64, &[u8]), u64> = TableDefinition::new("expiry");
/// The numbers below.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The layout of these tables; a file of another one is refused.
pub(super) const FORMAT: &str = "format";
/// The present [`FORMAT`].
pub(super) const FORMAT_NOW: u64 = 1;
/// The newest revision.
pub(super) const REVISION: &str = "revision";
/// The oldest revision that can be listed.
pub(super) const COMPACTED: &str = "compacted";
/// Bytes of the keys in [`LOG`] and of the values that were superseded.
pub(super) const HISTORY_BYTES: &str = "history_bytes";

/// A key with its value, which was read from [`VALUES`].
pub(super) fn entry(
    key: &[u8],
    stored: Stored,
    values: &impl ReadableTable<u64, &'static [u8]>,
) -> Result<Entry, Fault> {
    let (created, modified, expires) = stored;
    Ok(Entry { key: text(key)?, value: value(modified, values)?, created, modified, transient: expires != 0 })
}

/// The value that a write gave its key.
pub(super) fn value(
    revision: Revision,
    values: &impl ReadableTable<u64, &'static [u8]>,
) -> Result<Bytes, Fault> {
    match values.get(revision)? {
        Some(found) => Ok(Bytes::copy_from_slice(found.value())),
        None => Err(Fault::Damage(format!("the value of revision {revision} is missing"))),
    }
}

/// A key as text, which it was when it was written.
pub(super) fn text(key: &[u8]) -> Result<String, Fault> {
    String::from_utf8(key.to_vec())
        .map_err(|e| Fault::Damage(format!("a key is no UTF-8: {}", e.utf8_error())))
}

/// Whether revision `at` can still be listed at or watched from.
pub(super) fn within(at: Revision, compacted: Revision, newest: Revision) -> Result<(), StoreError> {
    if at < compacted {
        return Err(StoreError::Compacted { revision: at, oldest: compacted });
    }
    if at > newest {
        return Err(StoreError::Future { revision: at, newest });
    }
    Ok(())
}
