//! The objects that tokens are about, as the watch cache has them.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::apiserver::auth::Lookup;
use crate::apiserver::auth::token::{Bound, Live};
use crate::apiserver::cache::{Cache, Caches};
use crate::apiserver::kinds::{Kind, Registry, RowError};
use crate::apiserver::status::Status;

const KINDS: [(Bound, &str); 4] = [
    (Bound::ServiceAccount, "serviceaccounts"),
    (Bound::Pod, "pods"),
    (Bound::Secret, "secrets"),
    (Bound::Node, "nodes"),
];

/// The kinds that tokens are bound to.
pub(super) struct Accounts(Vec<(Bound, Arc<Kind>)>);

/// Their objects, as new as every acknowledged write.
#[derive(Default)]
pub(super) struct Now(Vec<(Bound, Arc<Cache>)>);

impl Accounts {
    pub(super) fn new(kinds: &Registry) -> Result<Self, RowError> {
        let found = KINDS.map(|(bound, name)| kinds.core(name).map(|resource| (bound, resource.kind)));
        Ok(Self(found.into_iter().collect::<Result<_, _>>()?))
    }

    pub(super) async fn now(&self, caches: &Arc<Caches>) -> Result<Now, Status> {
        let mut now = Vec::with_capacity(self.0.len());
        for (bound, kind) in &self.0 {
            now.push((*bound, caches.of(kind).await?));
        }
        caches.fresh().await?;
        Ok(Now(now))
    }
}

impl Now {
    fn find(&self, kind: Bound, namespace: &str, name: &str) -> Option<Value> {
        let (_, cache) = self.0.iter().find(|(bound, _)| *bound == kind)?;
        let object = cache.get(&cache.kind().key(Some(namespace), Some(name)))??;
        Some(object.value())
    }
}

impl Lookup for Now {
    fn live(&self, kind: Bound, namespace: &str, name: &str) -> Option<Live> {
        let object = self.find(kind, namespace, name)?;
        let metadata = &object["metadata"];
        let deletion = metadata["deletionTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        Some(Live { uid: metadata["uid"].as_str()?.to_owned(), deletion })
    }

    fn bootstrap_secret(&self, name: &str) -> Option<Value> {
        self.find(Bound::Secret, "kube-system", name)
    }
}
