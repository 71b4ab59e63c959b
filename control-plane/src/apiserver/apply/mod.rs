//! Server-side apply: who owns which field, and what an apply changes.
//!
//! ```text
//!   request ──▶ Kind::update   what changed is the writer's now      ┐
//!           ──▶ Kind::apply    merge, prune, conflicts               ├──▶ object with metadata.managedFields
//!                 │                                                  │
//!                 ├─ last_applied   fields of `kubectl apply` before it was server-side
//!                 ├─ merge          the rules of ownership           ┘
//!                 ├─ typed          an object by its schema: fields, comparing, merging, removing
//!                 ├─ set, element, fields_v1
//!                 └─ entries        managedFields as objects carry them
//! ```
//!
//! An applied object is not yet in the form that is stored: whoever calls decodes it by the schema and sets defaults.

mod element;
mod entries;
mod fields_v1;
mod last_applied;
mod merge;
mod names;
mod scale;
mod set;
mod typed;

use api_objects::decode;
use api_objects::schema::Type;
use serde_json::Value;

pub use element::{Element, Scalar};
pub use entries::{Managed, Manager, Owned};
pub use names::manager_name;
pub use scale::{from_scale, to_scale};
pub use set::FieldSet;

use merge::Failure;

/// More entries of updates are merged into one.
const MOST_UPDATERS: usize = 10;

/// The other versions of a kind.
pub trait Versions {
    /// The type of a version, when it is still served.
    fn of(&self, api_version: &str) -> Option<Type<'_>>;
    /// An object in another version.
    fn convert(&self, object: &Value, from: &str, to: &str) -> Option<Value>;
}

/// A kind that has one version.
pub struct OneVersion;

impl Versions for OneVersion {
    fn of(&self, _: &str) -> Option<Type<'_>> {
        None
    }

    fn convert(&self, _: &Value, _: &str, _: &str) -> Option<Value> {
        None
    }
}

/// What is written to: a kind in a version, perhaps one of its subresources.
pub struct Kind<'a> {
    /// The type of the objects.
    pub of: Type<'a>,
    /// `apiVersion` of the objects.
    pub version: &'a str,
    /// `kind` of the objects.
    pub kind: &'a str,
    /// The subresource, or nothing.
    pub subresource: &'a str,
    /// What a request to here cannot change, with all below it, and so does not own: `status` of the main resource,
    /// `spec` of the status.
    pub ignored: &'a FieldSet,
    /// The kind's other versions.
    pub versions: &'a dyn Versions,
}

/// A field that someone else owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: Manager,
    /// The field.
    pub path: Vec<Element>,
}

impl Conflict {
    /// The field as messages and causes have it: `.spec.replicas`.
    pub fn field(&self) -> String {
        element::path(&self.path)
    }

    /// The cause's message.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager.describe())
    }
}

/// Why an apply is refused. The text is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The request makes no sense: 400, BadRequest.
    #[error("{0}")]
    BadRequest(String),
    /// Others own what it would change: 409, Conflict, with a cause for each field.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// It does not fit the schema: 500, without a reason.
    #[error("{0}")]
    Unfit(String),
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", one.message(), one.field());
    }
    let mut text = format!("Apply failed with {} conflicts: ", conflicts.len());
    let mut managers: Vec<_> = conflicts.iter().map(|conflict| &conflict.manager).collect();
    managers.sort();
    managers.dedup();
    for (index, manager) in managers.into_iter().enumerate() {
        let newline = if index > 0 { "\n" } else { "" };
        text += &format!("{newline}conflicts with {}:", manager.describe());
        for conflict in conflicts.iter().filter(|conflict| conflict.manager == *manager) {
            text += &format!("\n- {}", conflict.field());
        }
    }
    text
}

impl Kind<'_> {
    /// Writes into `new` who owns what, after `manager` created it or made it of `live` by an update or a patch.
    ///
    /// `new` may say who owns what itself, unless it was sent to a subresource. Nothing is tracked where an object
    /// has no owners, until someone applies. This never fails: an object that does not fit loses its owners.
    pub fn update(&self, live: Option<&Value>, mut new: Value, manager: &str, now: &str) -> Value {
        let mut managed = self.owners_after(live, &new);
        without_entries(&mut new);
        if managed.owners.is_empty() && live.is_some() {
            return new;
        }
        let nothing = decode::empty(self.of);
        let done = self.track(live.unwrap_or(&nothing), &new, &mut managed, manager, now);
        if done.is_ok() {
            managed.store(&mut new);
        }
        new
    }

    fn owners_after(&self, live: Option<&Value>, new: &Value) -> Managed {
        let before = || live.and_then(|live| Managed::of(live).ok()).unwrap_or_default();
        if !self.subresource.is_empty() {
            return before();
        }
        if entries::resets(new) {
            return Managed::default();
        }
        // Clients that do not know the field send nothing, and must not take it away.
        Managed::of(new).ok().filter(|managed| !managed.owners.is_empty()).unwrap_or_else(before)
    }

    fn track(
        &self,
        live: &Value,
        new: &Value,
        managed: &mut Managed,
        manager: &str,
        now: &str,
    ) -> Result<(), Failure> {
        // What this write changed is found for nobody first: who changed nothing gets no new time.
        let current = Manager::updater("current-operation", self.version, self.subresource);
        self.own_changes(live, new, &mut managed.owners, &current)?;
        if let Some(mut owned) = managed.owners.remove(&current) {
            owned.set = owned.set.difference(&never_owned());
            if !owned.set.is_empty() {
                let manager = Manager::updater(manager, self.version, self.subresource);
                if let Some(previous) = managed.owners.get(&manager) {
                    owned.set.extend(&previous.set);
                }
                managed.owners.insert(manager.clone(), owned);
                match self.subresource {
                    // Upstream gives who writes a Scale no time, by which they come before other updaters.
                    "scale" => drop(managed.times.remove(&manager)),
                    _ => drop(managed.times.insert(manager, now.to_owned())),
                }
            }
        }
        managed.cap(MOST_UPDATERS);
        Ok(())
    }

    /// Applies `config` for `manager` to an object, or makes it. With `force`, he takes what others own.
    pub fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        manager: &str,
        force: bool,
        now: &str,
    ) -> Result<Value, ApplyError> {
        let text = |field: &str| config[field].as_str().unwrap_or_default();
        if text("apiVersion") != self.version || text("kind") != self.kind {
            let kind = group_version_kind(text("apiVersion"), text("kind"));
            return Err(ApplyError::BadRequest(format!("invalid object type: {kind}")));
        }
        if config["metadata"].get("managedFields").is_some_and(|entries| !entries.is_null()) {
            return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
        }
        typed::validate(typed::View::of(self.of), config).map_err(|why| {
            let name = |field: &str| config["metadata"][field].as_str().unwrap_or_default();
            let kind = group_version_kind(self.version, self.kind);
            ApplyError::Unfit(format!(
                "failed to create typed patch object ({}/{}; {kind}): {why}",
                name("namespace"),
                name("name")
            ))
        })?;
        let live = live.cloned().unwrap_or_else(|| decode::empty(self.of));
        let managed = Managed::of(&live)
            .map_err(|why| ApplyError::Unfit(format!("failed to decode managed fields: {why}")))?;
        let attempt = |force| self.attempt(&live, config, managed.clone(), manager, force, now);
        let (mut object, managed) = match attempt(force) {
            Err(Failure::Conflicts(conflicts)) if manager == last_applied::MANAGER => {
                match self.not_last_applied(&live, conflicts) {
                    conflicts if conflicts.is_empty() => attempt(true),
                    conflicts => Err(Failure::Conflicts(conflicts)),
                }
            }
            done => done,
        }
        .map_err(|failure| match failure {
            Failure::Conflicts(conflicts) => ApplyError::Conflicts(conflicts),
            Failure::Unfit(why) => ApplyError::Unfit(why),
        })?;
        if manager == last_applied::MANAGER {
            last_applied::renew(&mut object, config);
        }
        managed.store(&mut object);
        Ok(object)
    }

    fn attempt(
        &self,
        live: &Value,
        config: &Value,
        mut managed: Managed,
        manager: &str,
        force: bool,
        now: &str,
    ) -> Result<(Value, Managed), Failure> {
        if managed.owners.is_empty() {
            // What was there before anyone was tracked is someone's, too, so that nobody takes it unasked.
            self.track(&decode::empty(self.of), live, &mut managed, "before-first-apply", now)?;
        }
        let applier = Manager::applier(manager, self.subresource);
        let changed = self.apply_config(live, config, &mut managed.owners, &applier, force)?;
        if let Some(mut owned) = managed.owners.remove(&applier) {
            owned.set = owned.set.difference(&never_owned());
            if !owned.set.is_empty() {
                managed.owners.insert(applier.clone(), owned);
            }
        }
        if changed.is_some() {
            managed.times.insert(applier, now.to_owned());
        }
        Ok((changed.unwrap_or_else(|| live.clone()), managed))
    }
}

/// Gives the owners' times back when nothing else changed, so that the write changes nothing.
pub fn keep_times(old: &Value, new: &mut Value) {
    let timeless = |object: &Value| -> Option<Vec<Value>> {
        let mut entries = object["metadata"].get("managedFields")?.as_array()?.clone();
        entries.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| drop(entry.remove("time")));
        Some(entries)
    };
    if timeless(old) != timeless(new) {
        return;
    }
    let rest = |object: &Value| {
        let mut object = object.clone();
        without_entries(&mut object);
        object
    };
    if rest(old) == rest(new) {
        new.clone_from(old);
    }
}

fn without_entries(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`
fn group_version_kind(version: &str, kind: &str) -> String {
    let slash = if version.contains('/') { "" } else { "/" };
    format!("{slash}{version}, Kind={kind}")
}

/// What nobody owns: the server sets it, or it names the object.
fn never_owned() -> FieldSet {
    FieldSet::of(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
}

#[cfg(test)]
mod tests;
