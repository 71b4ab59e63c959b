//! The one thread that writes.
//!
//! What arrives while the disk is syncing shares the next transaction: nobody waits for company, and the busier the
//! store, the larger the groups. Events are published after the sync and before the writers are answered.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::Fault;
use super::file::File;
use super::group::{Group, Told};
use super::tail::Tail;
use crate::storage::{Change, Expect, Revision, StoreError};

/// The most writes of one transaction.
const GROUP_LIMIT: usize = 64;

/// What the writer is asked for.
pub(super) enum Request {
    Write { key: String, expect: Expect, change: Change },
    Compact(Revision),
    StartAfter(Revision),
}

/// A request with the way back.
pub(super) struct Job {
    pub(super) request: Request,
    /// The newest revision afterwards; for a write, its own.
    pub(super) answer: oneshot::Sender<Result<Revision, StoreError>>,
}

/// Performs jobs until all their senders are gone. `told` is the state at the start.
pub(super) fn run(file: &File, jobs: &Receiver<Job>, tail: &Arc<Tail>, mut told: Told) {
    while let Some(group) = next_group(jobs, &told) {
        let done = file.write("write", |tx| perform(tx, &group));
        match done {
            Ok((answers, after)) => {
                told = tail.publish(after);
                for (job, answer) in group.into_iter().zip(answers) {
                    // The asker may have gone; what it asked for is done.
                    let _ = job.answer.send(answer);
                }
            }
            Err(e) => {
                tracing::warn!(error = %e, writes = group.len(), "a group of writes failed");
                // What is due or compacted waits for the next group: on a full disk, trying at once would only spin.
                told.next_expiry = None;
                told.untrimmed = false;
                for job in group {
                    let _ = job.answer.send(Err(e.clone()));
                }
            }
        }
    }
}

/// Waits for jobs, or for work of the store's own: then the group is empty. None ends the writer.
fn next_group(jobs: &Receiver<Job>, told: &Told) -> Option<Vec<Job>> {
    let wait = match (told.untrimmed, told.next_expiry) {
        (true, _) => Some(Duration::ZERO),
        (false, Some(at)) => Some(Duration::from_millis(at.saturating_sub(now()))),
        (false, None) => None,
    };
    let first = match wait {
        None => Some(jobs.recv().ok()?),
        Some(wait) => match jobs.recv_timeout(wait) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return None,
        },
    };
    let mut group: Vec<Job> = first.into_iter().collect();
    while group.len() < GROUP_LIMIT {
        match jobs.try_recv() {
            Ok(job) => group.push(job),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    Some(group)
}

type Answers = Vec<Result<Revision, StoreError>>;

fn perform(tx: &redb::WriteTransaction, jobs: &[Job]) -> Result<(Answers, Told), Fault> {
    let now = now();
    let mut group = Group::begin(tx)?;
    group.expire(now)?;
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        answers.push(match &job.request {
            Request::Write { key, expect, change } => group.write(key, *expect, change, now)?,
            Request::Compact(to) => group.compact(*to).map(|()| group.told.revision),
            Request::StartAfter(revision) => {
                group.start_after(*revision);
                Ok(group.told.revision)
            }
        });
    }
    group.trim()?;
    Ok((answers, group.end()?))
}

/// Milliseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
