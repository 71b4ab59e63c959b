//! Who may act: what to write into a Lease, and for how long that holds.

use std::time::{Duration, Instant};

use api_objects::time;
use jiff::Timestamp;
use serde_json::{Value, json};

/// How long what takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// A Lease that nobody renewed for so long may be taken.
    pub lease: Duration,
    /// Who could not renew it for so long acts no longer. Shorter, so that no two act at the same time.
    pub deadline: Duration,
    /// Between two looks at it.
    pub retry: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { lease: seconds(15), deadline: seconds(10), retry: seconds(2) }
    }
}

/// What one who would lead knows of a Lease.
///
/// Clocks of others are not looked at: a Lease is old when it was seen unchanged for long enough by one's own.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    times: Times,
    /// The spec that was seen, and since when it is that one.
    seen: Option<(Value, Instant)>,
}

impl Election {
    /// Of one who is called so; the name is nobody else's.
    pub(super) fn new(identity: String, times: Times) -> Self {
        Self { identity, times, seen: None }
    }

    /// What to write, having read the Lease's spec; none where it is somebody else's.
    pub(super) fn claim(&mut self, spec: Option<&Value>, now: Instant, wall: Timestamp) -> Option<Value> {
        let stamp = time::format_micros(wall);
        let claim = |acquired: Value, transitions: i64| {
            json!({"holderIdentity": self.identity, "leaseDurationSeconds": self.times.lease.as_secs().max(1),
                "acquireTime": acquired, "renewTime": stamp, "leaseTransitions": transitions})
        };
        let Some(spec) = spec else { return Some(claim(stamp.clone().into(), 0)) };
        let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0);
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        if holder == self.identity {
            return Some(claim(spec["acquireTime"].clone(), transitions));
        }
        if holder.is_empty() {
            return Some(claim(stamp.clone().into(), transitions + 1));
        }
        match &self.seen {
            Some((seen, since)) if seen == spec => {
                // What its holder says counts where that is longer: it may have been told another time.
                let said = Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or(0));
                let over = now.duration_since(*since) > said.max(self.times.lease);
                over.then(|| claim(stamp.clone().into(), transitions + 1))
            }
            _ => {
                self.seen = Some((spec.clone(), now));
                None
            }
        }
    }

    /// What to write when there is nothing left to lead, so that the next one need not wait; none where it is another's.
    pub(super) fn release(&self, spec: &Value, wall: Timestamp) -> Option<Value> {
        (spec["holderIdentity"] == self.identity.as_str()).then(|| {
            let stamp = time::format_micros(wall);
            json!({"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": stamp, "renewTime": stamp,
                "leaseTransitions": spec["leaseTransitions"]})
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn election(name: &str) -> Election {
        Election::new(name.to_owned(), Times::default())
    }

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn who_comes_first_leads_and_renews() {
        let (mut a, now) = (election("a"), Instant::now());
        let first = a.claim(None, now, wall(1)).unwrap();
        assert_eq!((&first["holderIdentity"], &first["leaseDurationSeconds"]), (&json!("a"), &json!(15)));
        let second = a.claim(Some(&first), now, wall(3)).unwrap();
        assert_eq!((&second["acquireTime"], &second["leaseTransitions"]), (&first["acquireTime"], &json!(0)));
        assert_ne!(second["renewTime"], first["renewTime"]);
    }

    #[test]
    fn another_one_waits_until_it_saw_no_renewal_for_the_whole_time() {
        let (mut a, mut b, now) = (election("a"), election("b"), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        let first = a.claim(None, now, wall(1)).unwrap();
        // The clock of who holds it is far behind: that counts for nothing.
        assert!(b.claim(Some(&first), after(0), wall(1000)).is_none());
        assert!(b.claim(Some(&first), after(15), wall(1015)).is_none());
        let renewed = a.claim(Some(&first), now, wall(2)).unwrap();
        assert!(b.claim(Some(&renewed), after(16), wall(1016)).is_none());
        assert!(b.claim(Some(&renewed), after(31), wall(1031)).is_none());
        let taken = b.claim(Some(&renewed), after(32), wall(1032)).unwrap();
        assert_eq!((&taken["holderIdentity"], &taken["leaseTransitions"]), (&json!("b"), &json!(1)));
        assert!(a.claim(Some(&taken), after(32), wall(3)).is_none());
    }

    #[test]
    fn what_was_given_back_is_taken_at_once() {
        let (mut a, mut b, now) = (election("a"), election("b"), Instant::now());
        let held = a.claim(None, now, wall(1)).unwrap();
        assert!(b.release(&held, wall(2)).is_none());
        let free = a.release(&held, wall(2)).unwrap();
        assert_eq!(b.claim(Some(&free), now, wall(3)).unwrap()["leaseTransitions"], 1);
    }

    #[test]
    fn who_holds_it_stops_before_it_can_be_taken() {
        let Times { lease, deadline, retry } = Times::default();
        assert!(deadline + retry < lease);
    }
}
