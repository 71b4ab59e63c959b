//! How long earlier revisions are kept: by age, and less when they grow too large.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Revision, Stats, Store, StoreError};

/// What is kept of the past. Clients that are away for longer list anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Revisions younger than this are kept,
    pub age: Duration,
    /// unless they take more bytes than this: then the older half of them goes.
    pub bytes: u64,
}

impl Default for Retention {
    /// Five minutes as upstream, and what a disk of a small machine does not notice.
    fn default() -> Self {
        Self { age: Duration::from_secs(300), bytes: 256 << 20 }
    }
}

/// When which revision was the newest.
#[derive(Debug, Default)]
struct Marks(VecDeque<(Instant, Revision)>);

impl Marks {
    /// Notes the state at a time; says up to which revision to forget, if any.
    fn observe(&mut self, now: Instant, stats: Stats, keep: &Retention) -> Option<Revision> {
        self.0.push_back((now, stats.revision));
        let mut forget = None;
        while let Some((when, revision)) = self.0.front().copied()
            && now.duration_since(when) >= keep.age
        {
            forget = Some(revision);
            self.0.pop_front();
        }
        if stats.history_bytes.is_some_and(|bytes| bytes > keep.bytes) {
            let half = stats.compacted + (stats.revision - stats.compacted) / 2;
            forget = forget.max(Some(half));
        }
        forget.filter(|revision| *revision > stats.compacted)
    }
}

/// Compacts the store by `keep` until `stop`; looks ten times in the age that it keeps.
pub async fn keep_compacted(store: Arc<dyn Store>, keep: Retention, stop: CancellationToken) {
    let mut marks = Marks::default();
    let mut tick = tokio::time::interval(keep.age / 10);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let forgotten = async {
            let stats = store.stats().await?;
            match marks.observe(Instant::now(), stats, &keep) {
                Some(revision) => store.compact(revision).await.map(|()| Some(revision)),
                None => Ok(None),
            }
        };
        match forgotten.await {
            Ok(None) => {}
            Ok(Some(revision)) => tracing::debug!(revision, "earlier revisions were forgotten"),
            // Another API server on the same etcd was faster.
            Err(StoreError::Compacted { .. }) => {}
            Err(e) => tracing::warn!(error = %e, "the store's past was not compacted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Retention = Retention { age: Duration::from_secs(300), bytes: 1000 };

    fn stats(revision: Revision, compacted: Revision, bytes: u64) -> Stats {
        Stats { revision, compacted, history_bytes: Some(bytes) }
    }

    #[test]
    fn what_is_young_stays() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        assert_eq!(marks.observe(start, stats(10, 1, 0), &KEEP), None);
        assert_eq!(marks.observe(start + Duration::from_secs(299), stats(20, 1, 0), &KEEP), None);
    }

    #[test]
    fn what_is_old_goes_up_to_the_newest_of_that_time() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        for (second, revision) in [(0, 10), (30, 20), (60, 30)] {
            assert_eq!(
                marks.observe(start + Duration::from_secs(second), stats(revision, 1, 0), &KEEP),
                None
            );
        }
        assert_eq!(marks.observe(start + Duration::from_secs(330), stats(40, 1, 0), &KEEP), Some(20));
    }

    #[test]
    fn a_past_that_is_too_large_is_halved_whatever_its_age() {
        let mut marks = Marks::default();
        assert_eq!(marks.observe(Instant::now(), stats(101, 1, 1001), &KEEP), Some(51));
    }

    #[test]
    fn nothing_is_forgotten_twice() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        marks.observe(start, stats(10, 10, 0), &KEEP);
        assert_eq!(marks.observe(start + KEEP.age, stats(10, 10, 0), &KEEP), None);
    }
}
