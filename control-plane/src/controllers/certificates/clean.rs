//! Requests that are over go: nobody reads them any more.

use std::time::Duration;

use api_objects::time;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{ACCOUNT, REQUESTS, is_issued, wake_for};
use crate::client::{Gvr, Id};
use crate::controllers::Controller;
use crate::controllers::index::{Change, Index};
use crate::controllers::plan::{Effect, Plan};

/// What was decided is to be read within.
const DECIDED: SignedDuration = SignedDuration::from_hours(1);
/// Somebody has to do something within.
const WAITING: SignedDuration = SignedDuration::from_hours(24);

/// Deletes.
pub struct Cleaner;

impl Controller for Cleaner {
    fn name(&self) -> &'static str {
        "csrcleaner"
    }

    fn account(&self) -> &'static str {
        ACCOUNT
    }

    fn kinds(&self) -> Option<Vec<Gvr>> {
        Some(vec![REQUESTS])
    }

    fn wake(&self, _index: &Index, change: &Change, wake: &mut dyn FnMut(Id)) {
        wake_for(change, wake);
    }

    fn reconcile(&self, index: &Index, key: &Id, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(item) = index.at(key) else { return plan };
        let Some(due) = due(&item.value(), item.created) else { return plan };
        match Duration::try_from(due.duration_since(now)) {
            Ok(left) if !left.is_zero() => plan.again = Some(left),
            _ => {
                let (id, uid) = (key.clone(), item.uid.clone());
                plan.one(Effect::Delete { id, uid, revision: None, propagation: None, grace: None });
            }
        }
        plan
    }
}

/// When a request is to go.
fn due(object: &Value, created: Option<Timestamp>) -> Option<Timestamp> {
    let conditions = object["status"]["conditions"].as_array().filter(|conditions| !conditions.is_empty());
    let Some(conditions) = conditions else { return created?.checked_add(WAITING).ok() };
    let times = conditions.iter().filter_map(|condition| {
        let since = condition["lastUpdateTime"].as_str().and_then(time::parse)?;
        let within = match condition["type"].as_str()? {
            "Approved" if !is_issued(object) => WAITING,
            "Approved" | "Denied" | "Failed" => DECIDED,
            _ => return None,
        };
        since.checked_add(within).ok()
    });
    times.min()
}
