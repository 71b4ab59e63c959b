//! The working copy of a Deployment's ReplicaSets.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::numbers::Numbers;
use crate::client::Id;
use crate::controllers::item::Item;

/// How often the template changed before this one.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// The revisions that a ReplicaSet had before.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The pods asked for when the ReplicaSet was last scaled,
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// and how many there might be.
const MAX: &str = "deployment.kubernetes.io/max-replicas";
/// A ReplicaSet has none of these from its Deployment.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
/// The history is no longer than this.
const HISTORY_BYTES: usize = 2000;

/// A ReplicaSet.
#[derive(Debug, Clone)]
pub(super) struct Set {
    /// Its place.
    pub id: Id,
    /// Its identity; empty where it is still to be made.
    pub uid: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// It is going.
    pub deleting: bool,
    /// What is asked of it changed so often.
    pub generation: i64,
    /// As it is to be.
    pub object: Value,
    /// It is to be written.
    pub changed: bool,
    /// The pods asked for before it was scaled now.
    pub before: i64,
}

impl Set {
    pub(super) fn of(item: &Arc<Item>) -> Self {
        let object = item.value();
        let before = object["spec"]["replicas"].as_i64().unwrap_or(1);
        Self {
            id: item.id.clone(),
            uid: item.uid.clone(),
            created: item.created,
            deleting: item.deleting,
            generation: item.generation,
            object,
            changed: false,
            before,
        }
    }

    pub(super) fn replicas(&self) -> i64 {
        self.object["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    /// A number of its status.
    pub(super) fn status(&self, field: &str) -> i64 {
        self.object["status"][field].as_i64().unwrap_or(0)
    }

    /// Its controller has done what is asked of it, or said why not.
    pub(super) fn is_seen(&self) -> bool {
        self.status("observedGeneration") >= self.generation
    }

    /// Pods that are there or about to be.
    pub(super) fn pods(&self) -> i64 {
        self.replicas().max(self.status("replicas"))
    }

    /// Pods that are available and asked for. Those beyond are going as soon as its controller sees that they are too
    /// many, and nobody may count on them.
    pub(super) fn available(&self) -> i64 {
        self.status("availableReplicas").min(self.replicas())
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.object["metadata"]["annotations"][name].as_str()
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.annotation(name)?.parse().ok()
    }

    /// The pods asked for of the Deployment when it was last scaled.
    pub(super) fn desired(&self) -> Option<i64> {
        self.number(DESIRED)
    }

    /// How many there might be then.
    pub(super) fn most(&self) -> Option<i64> {
        self.number(MAX)
    }

    /// The revision that its template was last.
    pub(super) fn revision(&self) -> i64 {
        self.number(REVISION).unwrap_or(0)
    }

    fn annotate(&mut self, name: &str, value: &str) -> bool {
        if self.annotation(name) == Some(value) {
            return false;
        }
        self.object["metadata"]["annotations"][name] = value.into();
        self.changed = true;
        true
    }

    /// Asks it for so many pods. Its annotations say of which number they are a part.
    pub(super) fn scale(&mut self, replicas: i64, numbers: Numbers) {
        if self.replicas() != replicas {
            self.object["spec"]["replicas"] = replicas.into();
            self.changed = true;
        }
        self.annotate_numbers(numbers);
    }

    pub(super) fn annotate_numbers(&mut self, numbers: Numbers) {
        self.annotate(DESIRED, &numbers.replicas.to_string());
        self.annotate(MAX, &numbers.most().to_string());
    }

    /// Makes it the newest: what its Deployment is annotated with, and the revision, if that is a later one.
    pub(super) fn renew(&mut self, annotations: &Value, revision: i64) {
        for (name, value) in annotations.as_object().into_iter().flatten() {
            if !NOT_COPIED.contains(&name.as_str())
                && let Some(value) = value.as_str()
            {
                self.annotate(name, value);
            }
        }
        let before = self.annotation(REVISION).map(str::to_owned);
        if self.revision() >= revision || !self.annotate(REVISION, &revision.to_string()) {
            return;
        }
        if let Some(before) = before {
            let history = self.annotation(HISTORY).unwrap_or_default();
            let mut revisions: Vec<&str> =
                history.split(',').filter(|revision| !revision.is_empty()).collect();
            revisions.push(&before);
            while revisions.join(",").len() > HISTORY_BYTES {
                revisions.remove(0);
            }
            let history = revisions.join(",");
            self.annotate(HISTORY, &history);
        }
    }
}
