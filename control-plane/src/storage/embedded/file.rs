//! The redb database, and how it is had again after an I/O error.
//!
//! redb refuses everything after an I/O error until it is opened anew (it no longer knows what the file holds), so a
//! full disk would end the store for good. Here the next read or write opens it again.
//!
//! ```text
//!   open ──I/O error──▶ closed ──next use: opens──▶ open
//!                          └──fails: the user hears why, and the next one tries again
//! ```

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use redb::{Builder, Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use super::tables::{COMPACTED, EXPIRY, FORMAT, FORMAT_NOW, LOG, META, OBJECTS, REVISION, VALUES};
use crate::storage::StoreError;

/// Opens the database: the file's way, or a test's.
pub(super) type Opener = Box<dyn Fn(&Builder) -> Result<Database, redb::DatabaseError> + Send + Sync>;

/// Files below this size are not worth shrinking.
const SHRINK_FROM: u64 = 32 << 20;

/// Why something inside a transaction did not work.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database.
    Redb(redb::Error),
    /// What was read makes no sense.
    Damage(String),
    /// The answer is an error, the database is well.
    Answer(StoreError),
}

impl From<StoreError> for Fault {
    fn from(e: StoreError) -> Self {
        Self::Answer(e)
    }
}

macro_rules! from_redb {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Fault {
            fn from(e: $kind) -> Self {
                Self::Redb(e.into())
            }
        }
    )*};
}
from_redb!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::CompactionError
);

/// The database behind its lock: readers and the writer share it, reopening excludes them.
pub(super) struct File {
    name: String,
    open: Opener,
    cache: usize,
    slot: RwLock<Option<Database>>,
    /// Held while the database is opened again: a second one at the same time would find it in use.
    opening: Mutex<()>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("name", &self.name).finish_non_exhaustive()
    }
}

impl File {
    /// Opens the database, makes its tables when it is new, and shrinks it when more than half of it is unused.
    pub(super) fn open(name: String, cache: usize, open: Opener) -> Result<Self, StoreError> {
        let file = Self { name, open, cache, slot: RwLock::new(None), opening: Mutex::default() };
        let mut database = file.database().map_err(|e| file.error("open", e))?;
        file.shrink(&mut database).map_err(|e| file.error("shrink", e))?;
        file.put_back(database);
        Ok(file)
    }

    /// Runs `read` in a transaction: it sees one state, whatever is written meanwhile.
    pub(super) fn read<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.reopen().map_err(|e| self.error("open", e))?;
        let slot = self.slot();
        let Some(database) = slot.as_ref() else {
            return Err(self.closed(operation));
        };
        database
            .begin_read()
            .map_err(Fault::from)
            .and_then(|tx| read(&tx))
            .map_err(|e| self.error(operation, e))
    }

    /// Runs `write` in a transaction and commits it to disk. After an error of the disk all of it may be there or
    /// nothing.
    pub(super) fn write<T>(
        &self,
        operation: &'static str,
        write: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.reopen().map_err(|e| self.error("open", e))?;
        let done = {
            let slot = self.slot();
            let Some(database) = slot.as_ref() else {
                return Err(self.closed(operation));
            };
            database.begin_write().map_err(Fault::from).and_then(|tx| {
                let done = write(&tx)?;
                tx.commit()?;
                Ok(done)
            })
        };
        done.map_err(|e| {
            if matches!(e, Fault::Redb(_)) {
                self.close();
            }
            self.error(operation, e)
        })
    }

    fn slot(&self) -> RwLockReadGuard<'_, Option<Database>> {
        // The guarded value is replaced in one step: a panic elsewhere cannot have left half of one.
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, database: Database) {
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
    }

    fn close(&self) {
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn reopen(&self) -> Result<(), Fault> {
        if self.slot().is_some() {
            return Ok(());
        }
        let _alone = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.slot().is_none() {
            self.put_back(self.database()?);
            tracing::info!(store = self.name, "the store was opened again after an I/O error");
        }
        Ok(())
    }

    fn database(&self) -> Result<Database, Fault> {
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache);
        let database = (self.open)(&builder)?;
        let tx = database.begin_write()?;
        let fresh = {
            let mut meta = tx.open_table(META)?;
            let format = meta.get(FORMAT)?.map(|f| f.value());
            match format {
                Some(FORMAT_NOW) => false,
                Some(other) => {
                    let why = format!("its format is {other}, this version of Orlop knows {FORMAT_NOW}");
                    return Err(Fault::Damage(why));
                }
                None => {
                    // As in etcd, the empty store is revision 1: 0 means "any" to clients.
                    for (key, number) in [(FORMAT, FORMAT_NOW), (REVISION, 1), (COMPACTED, 1)] {
                        meta.insert(key, number)?;
                    }
                    tx.open_table(OBJECTS)?;
                    tx.open_table(VALUES)?;
                    tx.open_table(LOG)?;
                    tx.open_table(EXPIRY)?;
                    true
                }
            }
        };
        if fresh {
            tx.commit()?
        } else {
            tx.abort()?
        }
        Ok(database)
    }

    fn shrink(&self, database: &mut Database) -> Result<(), Fault> {
        let tx = database.begin_write()?;
        let stats = tx.stats()?;
        tx.abort()?;
        let used = stats.stored_bytes() + stats.metadata_bytes();
        let taken = Path::new(&self.name).metadata().map_or(0, |m| m.len());
        if taken >= SHRINK_FROM && used < taken / 2 {
            database.compact()?;
            let now = Path::new(&self.name).metadata().map_or(0, |m| m.len());
            tracing::info!(store = self.name, before = taken, after = now, "the store's file was shrunk");
        }
        Ok(())
    }

    fn closed(&self, operation: &'static str) -> StoreError {
        StoreError::Unavailable {
            operation,
            store: self.name.clone(),
            reason: "it was closed after an I/O error; the next use opens it again".to_owned(),
        }
    }

    fn error(&self, operation: &'static str, fault: Fault) -> StoreError {
        let store = self.name.clone();
        match fault {
            Fault::Answer(e) => e,
            Fault::Damage(reason) | Fault::Redb(redb::Error::Corrupted(reason)) => {
                StoreError::Damaged { store, reason }
            }
            Fault::Redb(redb::Error::Io(e)) => {
                let advice = match e.kind() {
                    std::io::ErrorKind::StorageFull => {
                        "; free some space on its disk, then it goes on by itself"
                    }
                    std::io::ErrorKind::InvalidData => "; is this a store of Orlop?",
                    _ => "",
                };
                StoreError::Unavailable { operation, store, reason: format!("{e}{advice}") }
            }
            Fault::Redb(redb::Error::DatabaseAlreadyOpen) => {
                StoreError::Unavailable { operation, store, reason: "another process has it open".to_owned() }
            }
            Fault::Redb(e) => StoreError::Unavailable { operation, store, reason: e.to_string() },
        }
    }
}
