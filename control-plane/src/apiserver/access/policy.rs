//! The rules at the moment: roles and bindings, and what leads to which node, followed in the watch cache.
//!
//! Rules come a moment after the write that made them. So that nobody is refused what they were granted before they
//! asked, a refusal counts only when it was said by rules as new as the store; permission taken away may last for that
//! moment, as with every server that caches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::apiserver::auth::{Chain, node, rbac};
use crate::apiserver::cache::{Caches, Change, Object, follow};
use crate::apiserver::kinds::{Kind, Registry, RowError};
use crate::apiserver::status::Status;

/// So long a refusal waits for the rules to become as new as the store.
const WITHIN: Duration = Duration::from_millis(500);

#[derive(Clone, Copy)]
enum Part {
    Rbac(rbac::Kind),
    Node(node::Kind),
}

const PARTS: [(&str, &str, Part); 8] = [
    (rbac::GROUP, "roles", Part::Rbac(rbac::Kind::Role)),
    (rbac::GROUP, "clusterroles", Part::Rbac(rbac::Kind::ClusterRole)),
    (rbac::GROUP, "rolebindings", Part::Rbac(rbac::Kind::RoleBinding)),
    (rbac::GROUP, "clusterrolebindings", Part::Rbac(rbac::Kind::ClusterRoleBinding)),
    ("", "pods", Part::Node(node::Kind::Pod)),
    ("", "persistentvolumes", Part::Node(node::Kind::Volume)),
    ("storage.k8s.io", "volumeattachments", Part::Node(node::Kind::Attachment)),
    ("resource.k8s.io", "resourceslices", Part::Node(node::Kind::ResourceSlice)),
];

/// Who may do what.
pub struct Policy {
    rules: RwLock<Rules>,
    followed: Vec<Followed>,
    advanced: Notify,
}

#[derive(Default)]
struct Rules {
    node: node::Graph,
    rbac: rbac::Index,
}

struct Followed {
    kind: Arc<Kind>,
    part: Part,
    /// The rules know of every write to the kind up to this revision.
    seen: AtomicU64,
}

impl Policy {
    pub(super) fn new(kinds: &Registry) -> Result<Arc<Self>, RowError> {
        let followed = PARTS.map(|(group, name, part)| {
            let kind = kinds.known(group, "v1", name)?.kind;
            Ok(Followed { kind, part, seen: AtomicU64::new(0) })
        });
        let followed = followed.into_iter().collect::<Result<_, RowError>>()?;
        Ok(Arc::new(Self { rules: RwLock::default(), followed, advanced: Notify::new() }))
    }

    /// Asks the rules as they are now.
    pub fn ask<R>(&self, question: impl FnOnce(&Chain<'_>) -> R) -> R {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        question(&Chain { node: &rules.node, rbac: &rules.rbac })
    }

    /// Keeps the rules up with the store, until it is told to end.
    pub async fn follow(self: Arc<Self>, caches: Arc<Caches>, closing: CancellationToken) {
        let all = self.followed.iter().map(|followed| {
            follow(caches.clone(), followed.kind.clone(), |change| self.take(followed, change))
        });
        tokio::select! {
            _ = futures_util::future::join_all(all) => {}
            () = closing.cancelled() => {}
        }
    }

    fn take(&self, followed: &Followed, change: Change<'_>) {
        let (revision, object) = match &change {
            Change::Put(object) | Change::Gone(object) => (object.revision, Some(object)),
            Change::Complete(revision) => (*revision, None),
        };
        if let Some(object) = object {
            let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
            rules.take(followed.part, object, matches!(change, Change::Gone(_)));
        }
        followed.seen.fetch_max(revision, Ordering::Release);
        self.advanced.notify_waiters();
    }

    /// Whether the rules know every write that the caches know.
    fn follows(&self, caches: &Caches) -> bool {
        self.followed.iter().all(|followed| {
            let newest = caches.newest(&followed.kind);
            newest.is_some_and(|newest| followed.seen.load(Ordering::Acquire) >= newest)
        })
    }

    /// Whether the rules are as new as the store.
    pub(super) async fn is_current(&self, caches: &Caches) -> bool {
        let reached = caches.store().stats().await.is_ok_and(|stats| stats.revision <= caches.reached());
        reached && self.follows(caches)
    }

    /// Waits until the rules are as new as the store.
    pub async fn catch_up(&self, caches: &Caches) -> Result<(), Status> {
        caches.fresh().await?;
        let current = async {
            loop {
                let advanced = self.advanced.notified();
                if self.follows(caches) {
                    return;
                }
                advanced.await;
            }
        };
        // Later, the refusal stands as it is.
        let _ = tokio::time::timeout(WITHIN, current).await;
        Ok(())
    }
}

impl Rules {
    fn take(&mut self, part: Part, object: &Object, gone: bool) {
        let value = object.value();
        let [namespace, name] =
            ["namespace", "name"].map(|key| value["metadata"][key].as_str().unwrap_or_default());
        match (part, gone) {
            (Part::Node(kind), true) => self.node.remove(kind, namespace, name),
            (Part::Node(kind), false) => self.node.insert(kind, &value),
            (Part::Rbac(kind), true) => self.rbac.remove(kind, namespace, name),
            (Part::Rbac(kind), false) => {
                if let Err(error) = self.rbac.insert(kind, &value) {
                    tracing::error!(key = %object.key, %error, "a rule that cannot be read grants nothing");
                }
            }
        }
    }
}
