//! The newest events, in memory, for watches that keep up; those that do not read the log.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use tokio::sync::watch;

use super::group::Told;
use crate::storage::{Event, Revision, Stats};

/// The tail is cut at so many events,
const EVENTS_LIMIT: usize = 4096;
/// and at so many bytes of values.
const BYTES_LIMIT: usize = 8 << 20;

/// The newest events and the newest figures.
#[derive(Debug)]
pub(super) struct Tail {
    events: RwLock<Events>,
    stats: watch::Sender<Stats>,
}

#[derive(Debug, Default)]
struct Events {
    /// Every event after this revision is here.
    after: Revision,
    queue: VecDeque<Event>,
    bytes: usize,
}

impl Tail {
    pub(super) fn new(told: &Told) -> Self {
        let events = Events { after: told.revision, ..Events::default() };
        Self { events: RwLock::new(events), stats: watch::Sender::new(stats(told)) }
    }

    /// Shows a group's events to the watches, once it is on disk.
    pub(super) fn publish(&self, mut told: Told) -> Told {
        let mut events = self.events.write().unwrap_or_else(PoisonError::into_inner);
        let published = events.queue.back().map_or(events.after, |e| e.revision);
        if let Some(first) = told.events.first()
            && first.revision != published + 1
        {
            // A group whose commit failed can be on disk all the same, and nobody was told: who follows reads the log.
            *events = Events { after: first.revision - 1, ..Events::default() };
        }
        for event in told.events.drain(..) {
            events.bytes += size(&event);
            events.queue.push_back(event);
        }
        if events.queue.back().map_or(events.after, |e| e.revision) < told.revision {
            // Revisions were skipped (a restore): what was before is no longer told.
            *events = Events { after: told.revision, ..Events::default() };
        }
        while events.queue.len() > EVENTS_LIMIT || events.bytes > BYTES_LIMIT {
            let Some(oldest) = events.queue.pop_front() else { break };
            events.bytes -= size(&oldest);
            events.after = oldest.revision;
        }
        drop(events);
        self.stats.send_replace(stats(&told));
        told
    }

    /// The events of a prefix after a revision, at most `limit`, and up to where they reach; none when the tail does
    /// not go back so far.
    pub(super) fn read(&self, prefix: &str, after: Revision, limit: usize) -> Option<(Vec<Event>, Revision)> {
        let events = self.events.read().unwrap_or_else(PoisonError::into_inner);
        if after < events.after {
            return None;
        }
        let begin = events.queue.partition_point(|e| e.revision <= after);
        let mut found = Vec::new();
        let mut reached = after.max(events.after);
        for event in events.queue.range(begin..) {
            if found.len() == limit {
                break;
            }
            if event.key.starts_with(prefix) {
                found.push(event.clone());
            }
            reached = event.revision;
        }
        Some((found, reached))
    }

    /// The newest figures, and how to hear of newer ones.
    pub(super) fn stats(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }
}

fn stats(told: &Told) -> Stats {
    Stats { revision: told.revision, compacted: told.compacted, history_bytes: Some(told.history_bytes) }
}

fn size(event: &Event) -> usize {
    event.key.len()
        + event.value.as_ref().map_or(0, |v| v.len())
        + event.previous.as_ref().map_or(0, |(_, v)| v.len())
}
