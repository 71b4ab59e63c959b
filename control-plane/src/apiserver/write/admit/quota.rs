//! ResourceQuotas: what is written is charged before it is stored, to every quota that counts it.
//!
//! ```text
//!   its turn in the namespace ─▶ the quotas as they are ─▶ do all of them have room ─▶ raised, one after the other
//!      ─▶ stored: it counts        ─▶ not stored: given back        ─▶ nobody knows: it counts until it was counted anew
//! ```
//!
//! A quota is raised by compare-and-swap, so that it is never exceeded, whoever else writes.

use api_objects::decode::FieldValidation;
use serde_json::Value;

use super::super::options::Options;
use super::super::part::Part;
use super::super::target::Write;
use crate::amounts::Amounts;
use crate::apiserver::auth::User;
use crate::apiserver::cache::When;
use crate::apiserver::http::path::Target;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::status::Status;
use crate::client::Gvr;
use crate::quota::{self, Charge};
use crate::storage::{Change, Expect, Revision, StoreError};

/// Who owns `status.used` where it was raised.
const MANAGER: &str = "kube-apiserver";

/// What was charged for a write, if anything.
#[must_use]
pub(in super::super) struct Charged(Option<Charge>);

impl Charged {
    /// The object was stored by this write.
    pub(in super::super) fn stored(self, write: &Write<'_>, revision: Revision) {
        if let Some(charge) = self.0 {
            let kind = &write.resource.kind;
            let stored = kind.stored();
            charge.written(Gvr::named(&stored.group, &stored.version, &kind.resource), revision);
        }
    }

    /// The object was certainly not stored: what was charged is given back. Where that fails the controller counts anew.
    pub(in super::super) async fn refused(self, write: &Write<'_>) {
        if let Some(charge) = self.0 {
            give_back(write, charge).await;
        }
    }
}

/// Charges the quotas of the namespace, or refuses. Who only tries is charged nothing.
pub(super) async fn charge(write: &Write<'_>, old: Option<&Value>, new: &Value) -> Result<Charged, Status> {
    let resource = write.resource.qualified();
    let subresource = match write.part {
        Part::Whole => "",
        Part::Status => "status",
        Part::Resources => "resize",
        _ => return Ok(Charged(None)),
    };
    let asked = quota::Write { resource: &resource, subresource, old, new, now: write.server.now() };
    if !write.resource.kind.namespaced || !asked.is_looked_at() {
        return Ok(Charged(None));
    }
    let namespace = write.context.target.namespace.as_str();
    if write.list("", "resourcequotas", namespace).await?.is_empty() {
        return Ok(Charged(None));
    }
    let turn = write.server.charges.turn(namespace).await;
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    let refuse = |why: String| write.refuse(name, &why);
    let status = subresource == "status";
    let mut owed = Vec::new();
    for quota in quotas(write).await? {
        let Some(more) = quota::charge(&quota, &asked).map_err(refuse)? else { continue };
        if !status {
            quota::charged(&quota, &more).map_err(refuse)?;
        }
        owed.push((quota["metadata"]["name"].as_str().unwrap_or_default().to_owned(), more));
    }
    if owed.is_empty() || write.options.dry_run {
        return Ok(Charged(None));
    }
    let mut charge = write.server.charges.begin();
    for (quota, more) in owed {
        charge.moves(namespace, &quota, more.clone());
        let raised = change(write, &quota, |found| match quota::charged(found, &more) {
            Err(why) if !status => Err(refuse(why)),
            Ok(used) => Ok(used),
            Err(_) => {
                let mut used = Amounts::of(&found["status"]["used"]);
                used.add(&more);
                Ok(used)
            }
        });
        match raised.await {
            Ok(true) => charge.holds(),
            // The quota was deleted: it limits nobody any more.
            Ok(false) => charge.refused(),
            Err(Failed::Certain(status)) => {
                charge.refused();
                give_back(write, charge).await;
                return Err(status);
            }
            Err(Failed::Unclear(status)) => return Err(status),
        }
    }
    drop(turn);
    Ok(Charged(Some(charge)))
}

async fn give_back(write: &Write<'_>, mut charge: Charge) {
    while let Some((quota, less)) = charge.returns() {
        let lowered = change(write, &quota, |found| {
            let mut used = Amounts::of(&found["status"]["used"]);
            used.take(&less);
            Ok(used)
        });
        match lowered.await {
            Ok(_) => charge.refused(),
            Err(Failed::Certain(status) | Failed::Unclear(status)) => {
                tracing::warn!(%quota, error = %status, "a quota is charged until it is counted anew");
                return;
            }
        }
    }
}

/// The quotas of the namespace as they are, in the order of their names.
async fn quotas(write: &Write<'_>) -> Result<Vec<Value>, Status> {
    let kind = kind(write)?.kind;
    let namespace = write.context.target.namespace.as_str();
    write.server.caches.values(&kind, Some(namespace), When::Latest).await
}

fn kind(write: &Write<'_>) -> Result<Resource, Status> {
    write.server.kinds.core("resourcequotas").map_err(|error| Status::unexpected(error.to_string()))
}

enum Failed {
    /// The quota is as it was.
    Certain(Status),
    /// It may have been written.
    Unclear(Status),
}

/// Writes what is used of a quota, as often as somebody else is faster; false when there is no such quota.
async fn change(
    write: &Write<'_>,
    quota: &str,
    used: impl Fn(&Value) -> Result<Amounts, Status>,
) -> Result<bool, Failed> {
    let resource = kind(write).map_err(Failed::Certain)?;
    let target = Target {
        group: String::new(),
        version: "v1".to_owned(),
        resource: "resourcequotas".to_owned(),
        namespace: write.context.target.namespace.clone(),
        name: quota.to_owned(),
        subresource: "status".to_owned(),
        rest: String::new(),
    };
    let context = Context { target, user: User::master(), ..write.context.clone() };
    let options = Options {
        dry_run: false,
        validation: FieldValidation::Ignore,
        manager: MANAGER.to_owned(),
        force: false,
    };
    let write = Write::new(write.server, &context, &resource, options).map_err(Failed::Certain)?;
    let (store, key) = (write.server.caches.store(), write.key(quota));
    loop {
        let found = store.get(&key).await.map_err(|error| Failed::Certain(error.into()))?;
        let Some(entry) = found.what else { return Ok(false) };
        let live = write.live(entry.modified, &entry.value).map_err(Failed::Certain)?;
        let mut object = live.clone();
        object["status"]["used"] = used(&live).map_err(Failed::Certain)?.to_json();
        let object = write.with_kind(|kind| kind.update(Some(&live), object, MANAGER, &write.now()));
        let put = Change::Put { value: write.stored(&object), ttl: None };
        match store.write(&key, Expect::At(entry.modified), put).await {
            Ok(_) => return Ok(true),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(Failed::Unclear(error.into())),
        }
    }
}
