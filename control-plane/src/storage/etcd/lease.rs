//! Times to live. A lease costs etcd a write of its own, so keys of one time to live that are written close together
//! share one, as in upstream's API server.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use etcd_client::Client;
use tokio::sync::Mutex;

/// A lease is shared for so long at most, and for no more than this part of its time,
const SHARED_FOR: Duration = Duration::from_secs(60);
const SHARED_PART: u32 = 20;
/// and by so many keys: their end is one large write of etcd.
const SHARED_BY: usize = 1000;

/// The leases in use, by time to live.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<Duration, Lease>>);

struct Lease {
    id: i64,
    granted: Instant,
    keys: usize,
}

impl Leases {
    /// A lease that lasts at least `ttl` from now, and at most a twentieth longer.
    pub(super) async fn of(&self, client: &Client, ttl: Duration) -> Result<i64, etcd_client::Error> {
        let shared_for = SHARED_FOR.min(ttl / SHARED_PART);
        let mut leases = self.0.lock().await;
        if let Some(lease) = leases.get_mut(&ttl)
            && lease.granted.elapsed() < shared_for
            && lease.keys < SHARED_BY
        {
            lease.keys += 1;
            return Ok(lease.id);
        }
        let granted = Instant::now();
        let seconds = (ttl + shared_for).as_secs().max(1);
        let answer = client.lease_client().grant(i64::try_from(seconds).unwrap_or(i64::MAX), None).await?;
        leases.insert(ttl, Lease { id: answer.id(), granted, keys: 1 });
        Ok(answer.id())
    }
}
