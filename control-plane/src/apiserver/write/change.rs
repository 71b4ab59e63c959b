//! The loop of every write that starts from what is there: read, change, write if nobody was faster, else again.

use http::StatusCode;
use serde_json::Value;

use super::target::Write;
use super::{admit, allocate, create, deletion, prepare};
use crate::apiserver::http::answer::Answer;
use crate::apiserver::services::{Allocation, Outcome};
use crate::apiserver::status::Status;
use crate::storage::{Change, Expect, Revision, StoreError};

/// An object as it is to be.
pub(super) struct Made {
    /// With its owners and defaults.
    pub object: Value,
    /// For the answer.
    pub warnings: Vec<String>,
}

/// Changes the object that the path names. `make` makes the new object of the one that is there, and may make one
/// where there is none; it is asked again when somebody else was faster. Who named a version in the object is told
/// of that instead, since the version is another one by then.
pub(super) async fn change(
    write: &Write<'_>,
    make: impl Fn(Option<&Value>) -> Result<Made, Status> + Send + Sync,
) -> Result<Answer, Status> {
    let name = write.context.target.name.as_str();
    let store = write.server.caches.store();
    let key = write.key(name);
    loop {
        let Some(entry) = store.get(&key).await?.what else {
            let Made { object, warnings } = make(None)?;
            match create::store(write, object, &warnings).await {
                Err(status) if status.reason == "AlreadyExists" => continue,
                answer => return answer,
            }
        };
        let live = write.live(entry.modified, &entry.value)?;
        let Made { mut object, warnings } = make(Some(&live))?;
        prepare::same_name(write, &mut object)?;
        admit::update(write, &live, &mut object).await?;
        let mut allocation = allocate::begin(write, Some(&live), &mut object).await?;
        let made = Made { object, warnings };
        let replaced = replace(write, &key, entry.modified, &live, made, &mut allocation).await;
        let outcome = match &replaced {
            Ok(None) => Outcome::Refused,
            replaced => Outcome::of(replaced),
        };
        allocation.end(write.server, outcome).await;
        if let Some(answer) = replaced? {
            return Ok(answer);
        }
    }
}

/// Writes the object in place of the one that is there, if it breaks no rules; none says that somebody was faster.
async fn replace(
    write: &Write<'_>,
    key: &str,
    revision: Revision,
    live: &Value,
    made: Made,
    allocation: &mut Allocation,
) -> Result<Option<Answer>, Status> {
    let Made { mut object, mut warnings } = made;
    prepare::update(write, live, &mut object)?;
    let admit::Admitted { warnings: more, charged } = admit::complete(write, Some(live), &object).await?;
    warnings.extend(write.warnings(Some(live), &object).into_iter().chain(more));
    let answer = |revision| write.answer(StatusCode::OK, &object, Some(revision), &warnings).map(Some);
    let done = done(&object);
    if write.options.dry_run || (object == *live && !done) {
        return answer(revision);
    }
    let change = match done {
        true => Change::Delete,
        false => Change::Put { value: write.stored(&object), ttl: None },
    };
    match write.server.caches.store().write(key, Expect::At(revision), change).await {
        Ok(revision) => {
            charged.stored(write, revision);
            allocation.was_written();
            if done {
                allocate::released(write, &object).await;
            }
            answer(revision)
        }
        Err(StoreError::Conflict { .. }) => {
            charged.refused(write).await;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Nobody has anything left to do before the object goes.
fn done(object: &Value) -> bool {
    let metadata = &object["metadata"];
    metadata.get("deletionTimestamp").is_some()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && prepare::finalizers(object).next().is_none()
        && !deletion::is_namespace_in_use(object)
}
