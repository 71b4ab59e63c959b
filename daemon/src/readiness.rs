//! What a daemon still waits for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// What is waited for, by name. Empty means ready.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, String>>>);

impl Readiness {
    /// Not ready because of `name`, with a reason for people.
    pub fn waits_for(&self, name: &str, reason: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), reason.into());
    }

    /// `name` is there.
    pub fn has(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// One line per thing that is waited for; `None` when ready.
    pub fn missing(&self) -> Option<String> {
        let waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.is_empty() {
            return None;
        }
        Some(waits.iter().fold(String::new(), |mut text, (name, reason)| {
            let _ = writeln!(text, "{name}: {reason}");
            text
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_nothing_is_waited_for() {
        let readiness = Readiness::default();
        assert_eq!(readiness.missing(), None);
        readiness.waits_for("runtime", "no answer");
        assert_eq!(readiness.missing().as_deref(), Some("runtime: no answer\n"));
        readiness.has("runtime");
        assert_eq!(readiness.missing(), None);
    }
}
