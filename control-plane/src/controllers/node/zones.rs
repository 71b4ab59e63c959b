//! How many nodes of a zone are well, and how fast its pods may therefore be driven away.
//!
//! Where much of a zone fails at once it is rather the network that fails, and it does no good to move everything.
//!
//! ```text
//!   no node of any zone ready                    nobody is driven away, and who was to be may stay
//!   no node of this zone ready                   one node in 10 s
//!   over 2 not ready, and these 55 % or more     one node in 100 s where it has over 50, else none
//!   else                                         one node in 10 s
//! ```
//!
//! Nodes wait for their turn in no order: whoever asks first once the time has come gets it.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::NODES;
use super::facts::zone;
use crate::controllers::index::Change;
use crate::controllers::item::Item;

/// A node with this label does not count.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";
/// Between two nodes, where all is as it should be,
const USUAL: Duration = Duration::from_secs(10);
/// and where much of a large zone fails.
const RARE: Duration = Duration::from_secs(100);
/// Zones of more nodes are large.
const LARGE: usize = 50;

/// The zones, by their names.
#[derive(Debug, Default)]
pub(super) struct Zones(HashMap<String, Zone>);

#[derive(Debug, Default)]
struct Zone {
    ready: usize,
    unready: usize,
    /// When a node was given its turn at last.
    granted: Option<Timestamp>,
}

impl Zone {
    /// The time between two nodes; none where none has its turn.
    fn interval(&self) -> Option<Duration> {
        let all = self.ready + self.unready;
        // 55 %, in whole numbers.
        let partial = self.ready > 0 && self.unready > 2 && self.unready * 100 >= all * 55;
        match partial {
            true if all > LARGE => Some(RARE),
            true => None,
            false => Some(USUAL),
        }
    }
}

impl Zones {
    /// Counts a change of a node.
    pub(super) fn count(&mut self, change: &Change) {
        let counted = |item: &Item| {
            let counts = item.id.kind == NODES && item.label(EXCLUDED).is_none();
            counts.then(|| (zone(item), item.node.as_ref().is_some_and(|facts| facts.is_ready())))
        };
        let old = change.old.as_ref().and_then(|item| counted(item));
        let new = change.new.as_ref().and_then(|item| counted(item));
        if old == new {
            return;
        }
        if let Some((name, ready)) = old
            && let Some(zone) = self.0.get_mut(&name)
        {
            let count = if ready { &mut zone.ready } else { &mut zone.unready };
            *count = count.saturating_sub(1);
        }
        if let Some((name, ready)) = new {
            let zone = self.0.entry(name).or_default();
            *(if ready { &mut zone.ready } else { &mut zone.unready }) += 1;
        }
    }

    /// No node that counts is ready.
    pub(super) fn all_fail(&self) -> bool {
        let mut zones = self.0.values().filter(|zone| zone.ready + zone.unready > 0).peekable();
        zones.peek().is_some() && zones.all(|zone| zone.ready == 0)
    }

    /// Gives a node of a zone its turn.
    ///
    /// # Errors
    /// How long to wait before asking again; none where that depends on other nodes.
    pub(super) fn grant(&mut self, name: &str, now: Timestamp) -> Result<(), Option<Duration>> {
        let zone = self.0.entry(name.to_owned()).or_default();
        let interval = zone.interval().ok_or(None)?;
        let passed = zone.granted.and_then(|at| Duration::try_from(now.duration_since(at)).ok());
        match passed.and_then(|passed| interval.checked_sub(passed)).filter(|left| !left.is_zero()) {
            Some(left) => Err(Some(left)),
            None => {
                zone.granted = Some(now);
                Ok(())
            }
        }
    }
}
