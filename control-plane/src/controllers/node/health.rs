//! When nodes gave their last sign of life, by the clock of who watches them: theirs may be wrong.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::facts::NodeFacts;

/// How long nodes may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// One that said how it is.
    pub known: Duration,
    /// One that never said.
    pub starting: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        Self { known: Duration::from_secs(50), starting: Duration::from_secs(60) }
    }
}

/// The last signs of life, by the node's name.
#[derive(Debug, Default)]
pub(super) struct Signs(HashMap<String, Sign>);

#[derive(Debug)]
struct Sign {
    at: Timestamp,
    /// The heartbeat of its condition `Ready`; none as long as it has no such condition.
    heartbeat: Option<Option<String>>,
    /// When its Lease was renewed.
    renewed: Option<Timestamp>,
}

impl Signs {
    /// Takes in what is to be seen of a node; gives the time from which on it is taken for dead.
    pub(super) fn see(
        &mut self,
        name: &str,
        facts: &NodeFacts,
        renewed: Option<Timestamp>,
        created: Option<Timestamp>,
        grace: Grace,
        now: Timestamp,
    ) -> Timestamp {
        let heartbeat = facts.condition("Ready").map(|ready| ready.last_heartbeat_time.clone());
        let patience = if heartbeat.is_some() { grace.known } else { grace.starting };
        let first = if heartbeat.is_some() { now } else { created.unwrap_or(now) };
        let sign = self.0.entry(name.to_owned()).or_insert_with(|| Sign {
            at: first,
            heartbeat: heartbeat.clone(),
            renewed: None,
        });
        let beats = sign.heartbeat != heartbeat;
        let renews = renewed.is_some_and(|renewed| sign.renewed.is_none_or(|before| before < renewed));
        if beats || renews {
            sign.at = now;
        }
        sign.heartbeat = heartbeat;
        sign.renewed = sign.renewed.max(renewed);
        let patience = SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX);
        sign.at.checked_add(patience).unwrap_or(Timestamp::MAX)
    }

    /// Every node is given its time again: the silence was that of who listens.
    pub(super) fn renew(&mut self, now: Timestamp) {
        self.0.values_mut().for_each(|sign| sign.at = now);
    }

    /// Whether something was seen of a node.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The node is gone. True when it was known.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }
}
