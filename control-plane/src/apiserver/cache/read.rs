//! Reads: from a kind's cache where it knows what is asked for, from the store where it does not.

use std::sync::Arc;

use serde_json::Value;

use super::Caches;
use super::kind::{Keys, Snapshot};
use super::object::Object;
use crate::apiserver::kinds::Kind;
use crate::apiserver::status::Status;
use crate::storage::{Entry, Range, Revision};

/// Entries that are read from the store at once where it is not known how many of them are selected.
const CHUNK: usize = 500;

/// How new what is read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every write that was acknowledged is seen.
    Latest,
    /// Whatever is at hand.
    Any,
    /// This revision or a later one.
    NotOlderThan(Revision),
    /// This revision.
    Exact(Revision),
}

/// A part of a list.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Which keys.
    pub keys: Keys<'a>,
    /// How new.
    pub when: When,
    /// So many objects at most; 0 is all.
    pub limit: usize,
    /// Every object is selected, so that those left over can be counted.
    pub everything: bool,
}

/// What was listed.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// The selected objects in the order of their keys.
    pub objects: Vec<Arc<Object>>,
    /// They are what there was after this write.
    pub revision: Revision,
    /// There are keys behind the last object.
    pub more: bool,
    /// How many, where every object is selected.
    pub remaining: Option<u64>,
}

impl Caches {
    /// An object and the revision at which it was read.
    pub async fn get(&self, kind: &Arc<Kind>, key: &str, when: When) -> Result<Option<Arc<Object>>, Status> {
        let cache = self.of(kind).await?;
        if self.know(when).await?
            && let Some(found) = cache.get(key)
        {
            return Ok(found);
        }
        let entry = self.store().get(key).await?.what;
        Ok(entry.and_then(|entry| decode(kind, &entry)))
    }

    /// A part of a list of the objects that are selected.
    pub async fn list(
        &self,
        kind: &Arc<Kind>,
        page: Page<'_>,
        selects: impl Fn(&Object) -> bool,
    ) -> Result<Listed, Status> {
        let cache = self.of(kind).await?;
        if self.know(page.when).await? {
            let found = match page.when {
                When::Exact(at) => cache.snapshot_at(page.keys, at),
                _ => cache.snapshot(page.keys, self.reached()),
            };
            if let Some(snapshot) = found {
                return Ok(cut(snapshot, &page, selects));
            }
        }
        self.list_store(kind, page, selects).await
    }

    /// All objects of a kind as they are stored, of one namespace where one is named.
    pub async fn values(
        &self,
        kind: &Arc<Kind>,
        namespace: Option<&str>,
        when: When,
    ) -> Result<Vec<Value>, Status> {
        let prefix = kind.key(namespace, None);
        let keys = Keys { prefix: &prefix, after: None };
        let page = Page { keys, when, limit: 0, everything: true };
        let listed = self.list(kind, page, |_| true).await?;
        Ok(listed.objects.iter().map(|object| object.value()).collect())
    }

    /// Waits for what is asked for; false says that the cache does not come to know it.
    async fn know(&self, when: When) -> Result<bool, Status> {
        match when {
            When::Any => Ok(true),
            When::Latest => Ok(self.fresh().await?),
            When::NotOlderThan(revision) | When::Exact(revision) => match self.reach(revision).await {
                true => Ok(true),
                false => Err(Status::future(revision, self.reached())),
            },
        }
    }

    async fn list_store(
        &self,
        kind: &Arc<Kind>,
        page: Page<'_>,
        selects: impl Fn(&Object) -> bool,
    ) -> Result<Listed, Status> {
        let at = match page.when {
            When::Exact(at) => Some(at),
            _ => None,
        };
        let chunk = match page.limit {
            0 => CHUNK,
            limit if page.everything => limit,
            limit => limit.max(CHUNK),
        };
        let mut range = Range {
            prefix: page.keys.prefix.to_owned(),
            after: page.keys.after.map(str::to_owned),
            limit: Some(chunk),
            at,
        };
        let mut listed = Listed::default();
        loop {
            let found = self.store().list(range.clone()).await?;
            (listed.revision, range.at) = (found.revision, Some(found.revision));
            range.after = found.what.entries.last().map(|entry| entry.key.clone());
            let count = found.what.entries.len();
            for (index, entry) in found.what.entries.iter().enumerate() {
                let Some(object) = decode(kind, entry).filter(|object| selects(object)) else { continue };
                listed.objects.push(object);
                if listed.objects.len() == page.limit {
                    let left = found.what.remaining + u64::try_from(count - index - 1).unwrap_or(0);
                    listed.more = left > 0;
                    listed.remaining = page.everything.then_some(left);
                    return Ok(listed);
                }
            }
            if found.what.remaining == 0 {
                return Ok(listed);
            }
        }
    }
}

fn decode(kind: &Arc<Kind>, entry: &Entry) -> Option<Arc<Object>> {
    match Object::decode(kind, &entry.key, entry.modified, &entry.value) {
        Ok(object) => Some(Arc::new(object)),
        Err(error) => {
            tracing::error!(%error, "an object is left out");
            None
        }
    }
}

/// The selected objects up to the limit. There is more when keys are left behind the last one, selected or not.
fn cut(snapshot: Snapshot, page: &Page<'_>, selects: impl Fn(&Object) -> bool) -> Listed {
    let Snapshot { mut objects, revision } = snapshot;
    if page.limit == 0 {
        if !page.everything {
            objects.retain(|object| selects(object));
        }
        return Listed { objects, revision, more: false, remaining: None };
    }
    let total = objects.len();
    let selected = objects.iter().enumerate().filter(|(_, object)| page.everything || selects(object));
    let selected: Vec<usize> = selected.map(|(index, _)| index).take(page.limit).collect();
    let end = if selected.len() == page.limit { selected.last().map_or(0, |last| last + 1) } else { total };
    let left = total - end;
    let objects = selected.into_iter().map(|index| objects[index].clone()).collect();
    Listed {
        objects,
        revision,
        more: left > 0,
        remaining: (page.everything && left > 0).then(|| u64::try_from(left).unwrap_or(u64::MAX)),
    }
}
