//! The manifests that are refused at the moment, for those who ask.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serde::Serialize;

use super::SourceEvent;

/// A manifest that gives no pod, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// Where it lies.
    file: PathBuf,
    /// `NAMESPACE/NAME` as it has it, where that could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    /// Field and value, as the log has them.
    message: String,
    /// When it was read.
    since: Timestamp,
}

/// Clones share one state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Arc<RwLock<BTreeMap<PathBuf, Refusal>>>);

impl Refusals {
    /// Takes note of what a source says.
    pub(crate) fn note(&self, event: &SourceEvent, now: Timestamp) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            SourceEvent::Bad { file, name, error } => {
                let (pod, message) = (name.clone(), error.to_string());
                all.insert(file.clone(), Refusal { file: file.clone(), pod, message, since: now });
            }
            SourceEvent::Set { file, .. } | SourceEvent::Dropped { file } => drop(all.remove(file)),
            SourceEvent::Gone { .. } | SourceEvent::Synced => {}
        }
    }

    /// All of them, by their files.
    pub(crate) fn list(&self) -> Vec<Refusal> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ManifestError;

    #[test]
    fn a_refusal_stays_until_its_file_is_good_or_gone() {
        let refusals = Refusals::default();
        let now = Timestamp::UNIX_EPOCH;
        let bad = |file: &str| {
            let error = ManifestError::NoFile("a FIFO");
            refusals.note(&SourceEvent::Bad { file: file.into(), name: None, error }, now);
        };
        bad("/m/a");
        bad("/m/b");
        let [a, _] = &refusals.list()[..] else { panic!("{refusals:?}") };
        let expected = r#"{"file":"/m/a","message":"not a file but a FIFO","since":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(serde_json::to_string(a).unwrap(), expected);
        refusals.note(&SourceEvent::Dropped { file: "/m/a".into() }, now);
        let pod = Box::default();
        refusals.note(&SourceEvent::Set { file: "/m/b".into(), pod }, now);
        assert!(refusals.list().is_empty());
    }
}
