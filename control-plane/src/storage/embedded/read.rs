//! Reading: keys now, keys at an earlier revision, the log. Every read is short; nothing holds a transaction between
//! two pages, which would keep redb from reusing space.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::ReadTransaction;

use super::Fault;
use super::tables::{COMPACTED, LOG, META, OBJECTS, REVISION, Stored, VALUES, entry, text, value, within};
use crate::storage::{At, Entry, Event, Page, Range, Revision, prefix_end};

/// The newest revision and the oldest that can be listed.
pub(super) fn revisions(tx: &ReadTransaction) -> Result<(Revision, Revision), Fault> {
    let meta = tx.open_table(META)?;
    let number = |key| Ok::<_, Fault>(meta.get(key)?.map_or(0, |n| n.value()));
    Ok((number(REVISION)?, number(COMPACTED)?))
}

/// A key now.
pub(super) fn get(tx: &ReadTransaction, key: &str) -> Result<At<Option<Entry>>, Fault> {
    let (objects, values) = (tx.open_table(OBJECTS)?, tx.open_table(VALUES)?);
    let what = objects
        .get(key.as_bytes())?
        .map(|found| entry(key.as_bytes(), found.value(), &values))
        .transpose()?;
    Ok(At { what, revision: revisions(tx)?.0 })
}

/// A part of a prefix.
pub(super) fn list(tx: &ReadTransaction, range: &Range) -> Result<At<Page>, Fault> {
    let (newest, compacted) = revisions(tx)?;
    let at = range.at.unwrap_or(newest);
    within(at, compacted, newest)?;

    let end = prefix_end(&range.prefix);
    let begin = match &range.after {
        Some(after) if after.as_str() >= range.prefix.as_str() => Bound::Excluded(after.as_bytes()),
        _ => Bound::Included(range.prefix.as_bytes()),
    };
    let bounds = (begin, end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
    let changed = changed_since(tx, at, newest, bounds)?;
    let mut changed = changed.into_iter().peekable();

    let values = tx.open_table(VALUES)?;
    let limit = range.limit.unwrap_or(usize::MAX);
    let mut page = Page::default();
    let mut take = |key: &[u8], stored: Stored| -> Result<(), Fault> {
        if page.entries.len() < limit {
            page.entries.push(entry(key, stored, &values)?);
        } else {
            page.remaining += 1;
        }
        Ok(())
    };
    // `range` panics on an empty range whose ends cross: `after` may lie behind the prefix.
    let empty = matches!((begin, &end), (Bound::Excluded(after), Some(end)) if after >= end.as_slice());
    if !empty {
        let objects = tx.open_table(OBJECTS)?;
        for row in objects.range::<&[u8]>(bounds)? {
            let (key, stored) = row?;
            let key = key.value();
            // Two sequences in the order of keys, merged; where both have a key, the past is what was asked for.
            while let Some((other, then)) = changed.next_if(|(other, _)| other.as_slice() < key) {
                then.map_or(Ok(()), |then| take(&other, then))?;
            }
            match changed.next_if(|(other, _)| other == key) {
                Some((_, then)) => then.map_or(Ok(()), |then| take(key, then))?,
                None => take(key, stored.value())?,
            }
        }
    }
    for (key, then) in changed {
        then.map_or(Ok(()), |then| take(&key, then))?;
    }
    Ok(At { what: page, revision: at })
}

/// What was known then of the keys that were written after `at`, taken from the log: the first write after it says what it
/// replaced.
fn changed_since(
    tx: &ReadTransaction,
    at: Revision,
    newest: Revision,
    bounds: (Bound<&[u8]>, Bound<&[u8]>),
) -> Result<BTreeMap<Vec<u8>, Option<Stored>>, Fault> {
    let mut changed = BTreeMap::new();
    if at == newest {
        return Ok(changed);
    }
    for row in tx.open_table(LOG)?.range(at + 1..)? {
        let (_, logged) = row?;
        let (key, _, previous) = logged.value();
        if std::ops::RangeBounds::<[u8]>::contains(&bounds, key) {
            changed.entry(key.to_vec()).or_insert(previous);
        }
    }
    Ok(changed)
}

/// The events of a prefix after a revision, from at most `limit` rows of the log, and up to where they reach.
pub(super) fn log(
    tx: &ReadTransaction,
    prefix: &str,
    after: Revision,
    limit: usize,
) -> Result<(Vec<Event>, Revision), Fault> {
    let (newest, compacted) = revisions(tx)?;
    within(after, compacted, newest)?;
    let values = tx.open_table(VALUES)?;
    let mut events = Vec::new();
    let mut reached = after;
    for row in tx.open_table(LOG)?.range(after + 1..)?.take(limit) {
        let (revision, logged) = row?;
        let (key, deleted, previous) = logged.value();
        reached = revision.value();
        if key.starts_with(prefix.as_bytes()) {
            events.push(Event {
                key: text(key)?,
                revision: reached,
                value: if deleted { None } else { Some(value(reached, &values)?) },
                previous: previous
                    .map(|(_, modified, _)| Ok::<_, Fault>((modified, value(modified, &values)?)))
                    .transpose()?,
            });
        }
    }
    Ok((events, reached))
}
