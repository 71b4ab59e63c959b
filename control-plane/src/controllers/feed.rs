//! From the watch caches into the index: one task follows one kind.

use std::sync::Arc;

use super::index::{Change, Index};
use super::item::Item;
use crate::apiserver::cache::{self, Caches, Object};
use crate::apiserver::kinds::Kind;
use crate::client::Gvr;

/// What is to be done with an index.
pub(super) type Step<'a> = &'a mut dyn FnMut(&mut Index) -> Option<Change>;

/// The group-version in which a kind is stored, and so indexed.
pub(super) fn stored(kind: &Kind) -> Gvr {
    let stored = kind.stored();
    Gvr::named(&stored.group, &stored.version, &kind.resource)
}

/// Follows a kind for ever.
pub(super) async fn follow(caches: Arc<Caches>, kind: Arc<Kind>, mut step: impl FnMut(Step<'_>) + Send) {
    let gvr = stored(&kind);
    let told = |change: cache::Change<'_>| match change {
        cache::Change::Put(object) => {
            if let Some(item) = item(&gvr, object) {
                // It may be told again, and is no change then.
                let known =
                    |index: &Index| index.at(&item.id).is_some_and(|old| old.revision == item.revision);
                step(&mut |index| if known(index) { None } else { Some(index.put(item.clone())) });
            }
        }
        cache::Change::Gone(object) => {
            if let Some(item) = item(&gvr, object) {
                step(&mut |index| index.remove(&item.id, item.revision));
            }
        }
        cache::Change::Complete(revision) => step(&mut |index| {
            index.complete(&gvr, revision);
            None
        }),
    };
    cache::follow(caches, kind.clone(), told).await;
}

fn item(gvr: &Gvr, object: &Object) -> Option<Arc<Item>> {
    let body = object.stored();
    match Item::read(gvr, body.json.clone(), &body.metadata()) {
        Ok(item) => Some(Arc::new(item)),
        Err(error) => {
            tracing::error!(%error, key = %object.key, "an object is left out");
            None
        }
    }
}
