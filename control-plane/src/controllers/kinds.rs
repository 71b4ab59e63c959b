//! What controllers that deal with every kind need to know of kinds.

use std::sync::Arc;

use super::feed::stored;
use crate::apiserver::kinds::Table;
use crate::client::Gvr;

/// A kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindFacts {
    /// As it is indexed.
    pub gvr: Gvr,
    /// Its objects live in namespaces.
    pub namespaced: bool,
    /// All its objects in a namespace can be deleted at once.
    pub deletes_collections: bool,
}

/// Says which kinds there are now.
#[derive(Clone)]
pub struct Kinds(Arc<dyn Fn() -> Arc<Table> + Send + Sync>);

impl Kinds {
    /// The kinds of a table that may change.
    pub fn new(table: impl Fn() -> Arc<Table> + Send + Sync + 'static) -> Self {
        Self(Arc::new(table))
    }

    /// The kind that an owner reference means.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<KindFacts> {
        let table = (self.0)();
        let found = table.kinds().iter().find(|found| {
            found.kind == kind && found.served.iter().any(|served| served.api_version() == api_version)
        });
        found.map(|found| facts(found))
    }

    /// The kinds whose objects live in namespaces and can be deleted.
    pub fn deletable(&self) -> Vec<KindFacts> {
        let table = (self.0)();
        let kinds = table.kinds().iter();
        let kinds = kinds.filter(|kind| kind.namespaced && kind.stored().verbs.has("delete"));
        kinds.map(|kind| facts(kind)).collect()
    }
}

fn facts(kind: &crate::apiserver::kinds::Kind) -> KindFacts {
    let deletes_collections = kind.stored().verbs.has("deletecollection");
    KindFacts { gvr: stored(kind), namespaced: kind.namespaced, deletes_collections }
}
