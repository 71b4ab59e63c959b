//! What a transaction does: compare and swap, ends of lives, compaction. No clock: the time is an argument.

use bytes::Bytes;
use redb::{ReadableTable as _, Table, WriteTransaction};

use super::Fault;
use super::tables::{
    COMPACTED, EXPIRY, HISTORY_BYTES, LOG, Logged, META, OBJECTS, REVISION, Stored, VALUES, entry, text,
    value, within,
};
use crate::storage::{Change, Event, Expect, Revision, StoreError, VALUE_LIMIT};

/// So many ends of lives or rows of the log go into one transaction at most, so that writers never wait long.
const SLICE: usize = 512;

/// Writes that share one transaction and so one sync of the disk. Each has a revision of its own.
pub(super) struct Group<'t> {
    objects: Table<'t, &'static [u8], Stored>,
    values: Table<'t, u64, &'static [u8]>,
    log: Table<'t, u64, Logged<'static>>,
    expiry: Table<'t, (u64, &'static [u8]), u64>,
    meta: Table<'t, &'static str, u64>,
    /// What to tell when the transaction is on disk.
    pub(super) told: Told,
}

/// The state after a group, and what happened in it.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) events: Vec<Event>,
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    pub(super) history_bytes: u64,
    /// When the next key ends by itself, in ms since 1970.
    pub(super) next_expiry: Option<u64>,
    /// Rows of the log below [`Told::compacted`] are left.
    pub(super) untrimmed: bool,
}

impl<'t> Group<'t> {
    pub(super) fn begin(tx: &'t WriteTransaction) -> Result<Self, Fault> {
        let meta = tx.open_table(META)?;
        let number = |key| Ok::<_, Fault>(meta.get(key)?.map_or(0, |n| n.value()));
        let told = Told {
            revision: number(REVISION)?,
            compacted: number(COMPACTED)?,
            history_bytes: number(HISTORY_BYTES)?,
            ..Told::default()
        };
        Ok(Self {
            objects: tx.open_table(OBJECTS)?,
            values: tx.open_table(VALUES)?,
            log: tx.open_table(LOG)?,
            expiry: tx.open_table(EXPIRY)?,
            meta,
            told,
        })
    }

    /// One compare-and-swap. The outer error ends the group, the inner one is this writer's answer.
    pub(super) fn write(
        &mut self,
        key: &str,
        expect: Expect,
        change: &Change,
        now: u64,
    ) -> Result<Result<Revision, StoreError>, Fault> {
        let (value, expires) = match change {
            Change::Put { value, .. } if value.len() > VALUE_LIMIT => {
                return Ok(Err(StoreError::TooLarge { key: key.to_owned(), size: value.len() }));
            }
            Change::Put { value, ttl } => (Some(value), ttl.map_or(0, |t| now + t.as_secs().max(1) * 1000)),
            Change::Delete => (None, 0),
        };
        let current = self.objects.get(key.as_bytes())?.map(|found| found.value());
        let as_expected = match (expect, current) {
            // Deleting what must not exist would be a write without an effect.
            (Expect::Absent, None) => value.is_some(),
            (Expect::At(revision), Some((_, modified, _))) => modified == revision,
            _ => false,
        };
        if !as_expected {
            let current = current
                .map(|stored| entry(key.as_bytes(), stored, &self.values).map(Box::new))
                .transpose()?;
            return Ok(Err(StoreError::Conflict { key: key.to_owned(), current }));
        }
        self.set(key, current, value, expires)?;
        Ok(Ok(self.told.revision))
    }

    /// Deletes keys whose time has come, the longest due first.
    pub(super) fn expire(&mut self, now: u64) -> Result<(), Fault> {
        let due: Vec<String> = self
            .expiry
            .range(..=(now, [0xff].as_slice()))?
            .take(SLICE)
            .map(|row| text(row?.0.value().1))
            .collect::<Result<_, Fault>>()?;
        for key in due {
            let current = self.objects.get(key.as_bytes())?.map(|found| found.value());
            self.set(&key, current, None, 0)?;
        }
        Ok(())
    }

    /// Gives a key its next value, or none, under the next revision.
    fn set(
        &mut self,
        key: &str,
        previous: Option<Stored>,
        next: Option<&Bytes>,
        expires: u64,
    ) -> Result<(), Fault> {
        let bytes = key.as_bytes();
        let revision = self.told.revision + 1;
        let superseded = match previous {
            Some((_, modified, _)) => Some((modified, value(modified, &self.values)?)),
            None => None,
        };
        if let Some((_, _, old @ 1..)) = previous {
            self.expiry.remove((old, bytes))?;
        }
        match next {
            Some(next) => {
                let created = previous.map_or(revision, |(created, ..)| created);
                self.objects.insert(bytes, (created, revision, expires))?;
                self.values.insert(revision, next.as_ref())?;
            }
            None => drop(self.objects.remove(bytes)?),
        }
        if expires != 0 {
            self.expiry.insert((expires, bytes), revision)?;
        }
        self.log.insert(revision, (bytes, next.is_none(), previous))?;
        self.told.history_bytes += (bytes.len() + superseded.as_ref().map_or(0, |(_, v)| v.len())) as u64;
        self.told.revision = revision;
        self.told.events.push(Event {
            key: key.to_owned(),
            revision,
            value: next.cloned(),
            previous: superseded,
        });
        Ok(())
    }

    /// Makes everything before `to` unreadable; [`Group::trim`] then frees its space.
    pub(super) fn compact(&mut self, to: Revision) -> Result<(), StoreError> {
        within(to, self.told.compacted, self.told.revision)?;
        self.told.compacted = to;
        Ok(())
    }

    /// Goes on after `revision`, with nothing before it readable.
    pub(super) fn start_after(&mut self, revision: Revision) {
        self.told.revision = self.told.revision.max(revision);
        self.told.compacted = self.told.revision;
    }

    /// Frees the oldest rows of the log that were compacted away, and the values that they superseded.
    pub(super) fn trim(&mut self) -> Result<(), Fault> {
        let mut rows = Vec::new();
        for row in self.log.range(..=self.told.compacted)?.take(SLICE) {
            let (revision, logged) = row?;
            let (key, _, previous) = logged.value();
            rows.push((revision.value(), key.len(), previous));
        }
        for (revision, key, previous) in rows {
            self.log.remove(revision)?;
            let mut freed = key;
            if let Some((_, modified, _)) = previous {
                freed += self.values.remove(modified)?.map_or(0, |old| old.value().len());
            }
            self.told.history_bytes = self.told.history_bytes.saturating_sub(freed as u64);
        }
        Ok(())
    }

    /// Writes the numbers down; the transaction can be committed.
    pub(super) fn end(mut self) -> Result<Told, Fault> {
        let told = &mut self.told;
        for (key, number) in
            [(REVISION, told.revision), (COMPACTED, told.compacted), (HISTORY_BYTES, told.history_bytes)]
        {
            self.meta.insert(key, number)?;
        }
        told.next_expiry = self.expiry.first()?.map(|(key, _)| key.value().0);
        told.untrimmed = self.log.first()?.is_some_and(|(first, _)| first.value() <= told.compacted);
        Ok(self.told)
    }
}
