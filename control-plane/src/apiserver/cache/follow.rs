//! Follows a kind: what there is, then what happens to it, for as long as anybody asks. What went while nobody could
//! look is told as gone once it is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Begin, Caches, Notice, Object, Type, Watcher};
use crate::apiserver::kinds::Kind;
use crate::storage::Revision;

/// Watches end some day; the next one begins at once.
const LASTS: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two tries to watch.
const RETRY: Duration = Duration::from_millis(100);

/// What became of a kind's objects.
#[derive(Debug)]
pub enum Change<'a> {
    /// It is there, as it is now; it may be told again though nothing changed.
    Put(&'a Arc<Object>),
    /// It went; this is what it was last.
    Gone(&'a Arc<Object>),
    /// Everything that there was at this revision has been told.
    Complete(Revision),
}

/// Tells of a kind's objects. It does not end by itself.
pub async fn follow(caches: Arc<Caches>, kind: Arc<Kind>, mut told: impl FnMut(Change<'_>) + Send) {
    let mut known: HashMap<Arc<str>, Arc<Object>> = HashMap::new();
    loop {
        let cache = match caches.of(&kind).await {
            Ok(cache) => cache,
            Err(error) => {
                tracing::warn!(%error, resource = kind.resource, "following a kind; trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let (prefix, begin) = (kind.prefix.clone(), Begin::Objects(None));
        let watch = Watcher::start(caches.clone(), cache, prefix, |_| true, begin, Some(LASTS), LASTS);
        let mut watch = watch.await;
        let mut before = std::mem::take(&mut known);
        while let Some(notice) = watch.next().await {
            match notice {
                Notice::Initial(object) => {
                    before.remove(&object.key);
                    known.insert(object.key.clone(), object.clone());
                    told(Change::Put(&object));
                }
                Notice::Bookmark { revision, initial } => {
                    if initial {
                        before.drain().for_each(|(_, object)| told(Change::Gone(&object)));
                    }
                    told(Change::Complete(revision));
                }
                Notice::Event(Type::Deleted, object, _) => {
                    known.remove(&object.key);
                    told(Change::Gone(&object));
                }
                Notice::Event(_, object, _) => {
                    known.insert(object.key.clone(), object.clone());
                    told(Change::Put(&object));
                }
                Notice::Error(status) => {
                    tracing::warn!(%status, resource = kind.resource, "following a kind; beginning anew");
                }
            }
        }
        // What was not told of again before the watch broke is not known to be gone.
        known.extend(before);
        tokio::time::sleep(RETRY).await;
    }
}
