//! The newest events of a kind, bounded in number and bytes. A watch that falls behind them is over.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::Event;
use crate::storage::Revision;

/// Events of one kind that are kept at most,
const EVENTS_LIMIT: usize = 8192;
/// and the bytes that they may take up, roughly. So many are kept in any case, however long.
const BYTES_LIMIT: usize = 8 << 20;
const EVENTS_KEPT: usize = 64;

/// Events in the order of their revisions.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Every event after this revision is here.
    after: Revision,
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

impl Ring {
    /// An empty one that begins after a revision.
    pub(super) fn new(after: Revision) -> Self {
        Self { after, ..Self::default() }
    }

    /// Adds an event that is newer than all.
    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.size();
        self.events.push_back(event);
        let over = |ring: &Self| {
            ring.events.len() > EVENTS_LIMIT || (ring.bytes > BYTES_LIMIT && ring.events.len() > EVENTS_KEPT)
        };
        while over(self) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
            self.after = oldest.revision;
        }
    }

    /// The newest event's revision, or where the ring began.
    pub(super) fn newest(&self) -> Revision {
        self.events.back().map_or(self.after, |event| event.revision)
    }

    /// Every event after this revision is here.
    pub(super) fn after(&self) -> Revision {
        self.after
    }

    /// At most `limit` events after a revision; none when some of them are no longer here.
    pub(super) fn read(&self, after: Revision, limit: usize) -> Option<Vec<Arc<Event>>> {
        if after < self.after {
            return None;
        }
        let begin = self.events.partition_point(|event| event.revision <= after);
        Some(self.events.range(begin..).take(limit).cloned().collect())
    }
}
