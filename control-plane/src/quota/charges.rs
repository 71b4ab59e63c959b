//! What quotas were charged for writes that are still on their way.
//!
//! ```text
//!   moving ──the quota's status says it──▶ held ──the object is stored──▶ written ──the index has seen it──▶ forgotten
//!      ▲                                     │
//!      └──────── it is given back ───────────┤
//!                                            └── nobody knows what became of it ──▶ lost ──after a while──▶ forgotten
//! ```
//!
//! A quota's `status.used` is what there is and what is held. Who counts anew sees what there is, and must add what was
//! written and is not seen yet. While a charge is moving nobody can tell whether the status has it, and while it is held
//! nobody can tell whether the object is there: nobody counts then. Where many write all the time, counting waits until
//! they are refused. This is known of the writes of this process only: where several API servers share a store, a count
//! may miss for a moment what another one holds, as with any server that keeps no such list.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

use crate::amounts::Amounts;
use crate::client::Gvr;

/// So long a charge is remembered that nobody settles: longer than any request lasts.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// The charges of a server.
#[derive(Clone, Default)]
pub struct Charges(Arc<State>);

#[derive(Default)]
struct State {
    open: Mutex<Entries>,
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct Entries {
    next: u64,
    all: BTreeMap<u64, Entry>,
}

struct Entry {
    namespace: String,
    quota: String,
    amounts: Amounts,
    stage: Stage,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Moving,
    Held,
    Written(Gvr, u64),
    Lost,
}

/// Its holder may charge the quotas of a namespace: one at a time, so that nobody's charge is refused because somebody
/// else's is not in the status yet.
pub struct Turn(#[expect(dead_code, reason = "it is held, not looked at")] OwnedMutexGuard<()>);

/// What one write was charged. Dropped without a word it is lost: it counts until it is certain that it was counted.
#[must_use]
pub struct Charge {
    charges: Charges,
    ids: Vec<u64>,
}

/// What is on its way to a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Open {
    /// It cannot be told now.
    Unclear,
    /// This much was charged for objects that were not seen yet, or may never be.
    Unseen(Amounts),
    /// Nothing.
    Settled,
}

impl Charges {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn to charge the quotas of a namespace.
    pub async fn turn(&self, namespace: &str) -> Turn {
        let lock = {
            let mut turns = self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
            match turns.get(namespace).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    turns.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    turns.insert(namespace.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        Turn(lock.lock_owned().await)
    }

    /// A charge that is nothing yet.
    pub fn begin(&self) -> Charge {
        Charge { charges: self.clone(), ids: Vec::new() }
    }

    /// What is on its way to a quota, for who has seen every write to a kind up to the one that `seen` tells.
    pub fn open(&self, namespace: &str, quota: &str, seen: impl Fn(&Gvr) -> u64) -> Open {
        let mut entries = self.entries();
        entries.all.retain(|_, entry| match entry.stage {
            Stage::Written(kind, revision) => seen(&kind) < revision && entry.since.elapsed() < FORGOTTEN,
            _ => entry.since.elapsed() < FORGOTTEN,
        });
        let mut unseen = Amounts::default();
        for entry in entries.all.values().filter(|entry| entry.namespace == namespace && entry.quota == quota)
        {
            if matches!(entry.stage, Stage::Moving | Stage::Held) {
                return Open::Unclear;
            }
            unseen.add(&entry.amounts);
        }
        if unseen.is_empty() { Open::Settled } else { Open::Unseen(unseen) }
    }
}

impl Charge {
    /// A quota is about to be charged.
    pub fn moves(&mut self, namespace: &str, quota: &str, amounts: Amounts) {
        let (namespace, quota) = (namespace.to_owned(), quota.to_owned());
        let entry = Entry { namespace, quota, amounts, stage: Stage::Moving, since: Instant::now() };
        let mut entries = self.charges.entries();
        // Where nobody counts, nobody else forgets them.
        entries.all.retain(|_, entry| entry.since.elapsed() < FORGOTTEN);
        let id = entries.next;
        entries.next += 1;
        entries.all.insert(id, entry);
        self.ids.push(id);
    }

    /// The quota that was to be charged last was not.
    pub fn refused(&mut self) {
        if let Some(id) = self.ids.pop() {
            self.charges.entries().all.remove(&id);
        }
    }

    /// The quota that was to be charged last was charged.
    pub fn holds(&mut self) {
        if let Some(id) = self.ids.last() {
            self.stage(*id, Stage::Held);
        }
    }

    /// The object is stored, by this write.
    pub fn written(mut self, kind: Gvr, revision: u64) {
        for id in std::mem::take(&mut self.ids) {
            self.stage(id, Stage::Written(kind, revision));
        }
    }

    /// What is to be given back: the quota's name and the amounts. It moves until [`Charge::refused`].
    pub fn returns(&mut self) -> Option<(String, Amounts)> {
        let id = *self.ids.last()?;
        self.stage(id, Stage::Moving);
        let entries = self.charges.entries();
        let entry = entries.all.get(&id)?;
        Some((entry.quota.clone(), entry.amounts.clone()))
    }

    fn stage(&self, id: u64, stage: Stage) {
        if let Some(entry) = self.charges.entries().all.get_mut(&id) {
            (entry.stage, entry.since) = (stage, Instant::now());
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        for id in std::mem::take(&mut self.ids) {
            self.stage(id, Stage::Lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static PODS: Gvr = Gvr::of("", "v1", "pods");

    fn one() -> Amounts {
        Amounts::of(&json!({"pods": "1"}))
    }

    fn open(charges: &Charges, seen: u64) -> Open {
        charges.open("n", "q", |_| seen)
    }

    #[test]
    fn a_charge_counts_until_its_object_was_seen() {
        let charges = Charges::default();
        let mut charge = charges.begin();
        charge.moves("n", "q", one());
        assert_eq!(open(&charges, 0), Open::Unclear);
        assert_eq!(charges.open("n", "other", |_| 0), Open::Settled);
        charge.holds();
        assert_eq!(open(&charges, 9), Open::Unclear);
        charge.written(PODS, 7);
        assert_eq!(
            (open(&charges, 6), open(&charges, 7), open(&charges, 0)),
            (Open::Unseen(one()), Open::Settled, Open::Settled)
        );
    }

    #[test]
    fn what_is_given_back_moves_and_is_gone() {
        let charges = Charges::default();
        let mut charge = charges.begin();
        charge.moves("n", "q", one());
        charge.holds();
        assert_eq!(charge.returns(), Some(("q".to_owned(), one())));
        assert_eq!(open(&charges, 0), Open::Unclear);
        charge.refused();
        assert_eq!((open(&charges, 0), charge.returns()), (Open::Settled, None));
    }

    #[test]
    fn what_nobody_settles_counts_for_a_while() {
        let charges = Charges::default();
        let mut charge = charges.begin();
        charge.moves("n", "q", one());
        charge.holds();
        drop(charge);
        assert_eq!(open(&charges, 100), Open::Unseen(one()));
    }

    #[tokio::test]
    async fn one_charges_at_a_time() {
        let charges = Charges::default();
        let turn = charges.turn("n").await;
        drop(charges.turn("other").await);
        let mut waits = Box::pin(charges.turn("n"));
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(turn);
        drop(waits.await);
    }
}
