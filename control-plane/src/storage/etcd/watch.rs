//! A watch of etcd's, told in this store's words.

use bytes::Bytes;
use etcd_client::{Event as EtcdEvent, EventType, WatchStream};
use futures_util::future::BoxFuture;

use super::{text, unavailable, unsigned};
use crate::storage::{Batch, Event, Revision, StoreError, Watch};

pub(super) struct Events {
    stream: WatchStream,
    name: String,
    reached: Revision,
}

impl Events {
    pub(super) fn new(stream: WatchStream, name: String, after: Revision) -> Self {
        Self { stream, name, reached: after }
    }

    /// Cancel-safe, since receiving a message is, and nothing is awaited after it.
    async fn receive(&mut self) -> Result<Batch, StoreError> {
        loop {
            let message = self.stream.message().await.map_err(|e| unavailable("watch", &self.name, &e))?;
            let ended = |reason: &str| StoreError::Unavailable {
                operation: "watch",
                store: self.name.clone(),
                reason: reason.to_owned(),
            };
            let Some(answer) = message else { return Err(ended("etcd ended the watch")) };
            if answer.canceled() {
                return Err(match answer.compact_revision() {
                    0 => ended(answer.cancel_reason()),
                    oldest => StoreError::Compacted { revision: self.reached, oldest: unsigned(oldest) },
                });
            }
            // The confirmation names the newest revision, though the events before it are still to come.
            if answer.created() {
                continue;
            }
            let events: Vec<Event> = answer.events().iter().map(told).collect::<Result<_, _>>()?;
            // An answer with events ends with the last of them; one without says how far there were none.
            let revision = match events.last() {
                Some(last) => last.revision,
                None => unsigned(answer.header().map_or(0, |h| h.revision())).max(self.reached),
            };
            self.reached = revision;
            return Ok(Batch { events, revision });
        }
    }
}

impl Watch for Events {
    fn next(&mut self) -> BoxFuture<'_, Result<Batch, StoreError>> {
        Box::pin(self.receive())
    }
}

fn told(event: &EtcdEvent) -> Result<Event, StoreError> {
    let Some(kv) = event.kv() else {
        return Err(StoreError::Damaged {
            store: "etcd".to_owned(),
            reason: "an event has no key".to_owned(),
        });
    };
    let value = (event.event_type() == EventType::Put).then(|| Bytes::copy_from_slice(kv.value()));
    let previous = event.prev_kv().map(|p| (unsigned(p.mod_revision()), Bytes::copy_from_slice(p.value())));
    Ok(Event { key: text(kv)?, revision: unsigned(kv.mod_revision()), value, previous })
}
