//! The rules of ownership: what an update or an apply does to the fields of everyone.
//!
//! An update takes what it changed from everyone else. An apply merges its fields into the object, takes away what
//! the applier set before and does not set now, unless someone else owns it, and conflicts with everyone who owns a
//! field that it changed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::entries::{Manager, Owned};
use super::set::FieldSet;
use super::typed::{self, Comparison, View};
use super::{Conflict, Kind};

/// The owners of an object's fields.
pub(super) type Owners = BTreeMap<Manager, Owned>;

/// Why owners could not be changed.
pub(super) enum Failure {
    /// Others own what the apply would change.
    Conflicts(Vec<Conflict>),
    /// An object does not fit the schema.
    Unfit(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Unfit(why)
    }
}

impl Kind<'_> {
    fn view(&self) -> View<'_> {
        View::of(self.of)
    }

    /// An object in the version that an owner's fields are of. Nothing when the version is gone.
    fn in_version(&self, object: &Value, version: &str) -> Option<(View<'_>, Value)> {
        if version == self.version {
            return Some((self.view(), object.clone()));
        }
        let of = self.versions.of(version)?;
        Some((View::of(of), self.versions.convert(object, self.version, version)?))
    }

    /// What differs in each owner's version. Owners of versions that are gone are dropped.
    fn differences(
        &self,
        old: &Value,
        new: &Value,
        owners: &mut Owners,
    ) -> Result<BTreeMap<String, Comparison>, Failure> {
        let mut all = BTreeMap::new();
        all.insert(self.version.to_owned(), typed::compare(self.view(), old, new)?.without(self.ignored));
        let versions: Vec<_> = owners.values().map(|owned| owned.version.clone()).collect();
        for version in versions {
            if all.contains_key(&version) {
                continue;
            }
            let both = self.in_version(old, &version).zip(self.in_version(new, &version));
            let Some(((view, old), (_, new))) = both else { continue };
            all.insert(version, typed::compare(view, &old, &new)?.without(self.ignored));
        }
        owners.retain(|_, owned| all.contains_key(&owned.version));
        Ok(all)
    }

    /// Takes from everyone but `writer` what the write changed.
    fn take(
        &self,
        old: &Value,
        new: &Value,
        owners: &mut Owners,
        writer: &Manager,
        force: bool,
    ) -> Result<Comparison, Failure> {
        let writers = owners.remove(writer);
        let mut differences = self.differences(old, new, owners)?;
        let mut conflicts = Vec::new();
        let mut left = Owners::new();
        for (manager, owned) in owners.iter() {
            let Some(differs) = differences.get(&owned.version) else { continue };
            let taken = owned.set.intersection(&differs.modified.union(&differs.added));
            taken.for_each(&mut |path| {
                conflicts.push(Conflict { manager: manager.clone(), path: path.to_vec() });
            });
            let set = owned.set.difference(&taken).difference(&differs.removed);
            if !set.is_empty() {
                left.insert(manager.clone(), Owned { set, version: owned.version.clone() });
            }
        }
        if !force && !conflicts.is_empty() {
            return Err(Failure::Conflicts(conflicts));
        }
        if let Some(owned) = writers {
            left.insert(writer.clone(), owned);
        }
        *owners = left;
        Ok(differences.remove(self.version).unwrap_or_default())
    }

    /// Brings the owners' fields up to the schema of today; owners of versions that are gone stay as they are.
    fn reconcile(&self, owners: &mut Owners) {
        for owned in owners.values_mut() {
            let of =
                if owned.version == self.version { Some(self.of) } else { self.versions.of(&owned.version) };
            if let Some(of) = of {
                owned.set = typed::reconcile(View::of(of), &owned.set);
            }
        }
    }

    /// Someone changed `old` into `new`: all that he changed is his now.
    pub(super) fn own_changes(
        &self,
        old: &Value,
        new: &Value,
        owners: &mut Owners,
        writer: &Manager,
    ) -> Result<(), Failure> {
        self.reconcile(owners);
        let differs = self.take(old, new, owners, writer, true)?;
        let before = owners.remove(writer).map(|owned| owned.set).unwrap_or_default();
        let set = before.difference(&differs.removed).union(&differs.modified).union(&differs.added);
        let set = set.without(self.ignored);
        if !set.is_empty() {
            owners.insert(writer.clone(), Owned { set, version: self.version.to_owned() });
        }
        Ok(())
    }

    /// Someone applies `config`. Returns the object when it is another one than `live`.
    pub(super) fn apply_config(
        &self,
        live: &Value,
        config: &Value,
        owners: &mut Owners,
        writer: &Manager,
        force: bool,
    ) -> Result<Option<Value>, Failure> {
        self.reconcile(owners);
        let merged = typed::merge(self.view(), live, config)?;
        let set = typed::fields(self.view(), config)?.without(self.ignored);
        let last = owners.insert(writer.clone(), Owned { set, version: self.version.to_owned() });
        let object = match last {
            Some(last) if !last.set.is_empty() => self.prune(merged, &last, owners)?,
            _ => merged,
        };
        self.take(live, &object, owners, writer, force)?;
        if owners.get(writer).is_some_and(|owned| owned.set.is_empty()) {
            owners.remove(writer);
        }
        Ok((object != *live).then_some(object))
    }

    /// Takes out what the writer applied last time and nobody owns now.
    fn prune(&self, merged: Value, last: &Owned, owners: &Owners) -> Result<Value, Failure> {
        let Some((view, before)) = self.in_version(&merged, &last.version) else { return Ok(merged) };
        let last_set = typed::with_named(Some(view), &last.set);
        let mut pruned = typed::remove(view, &before, &last_set);

        // What others own, or the writer applies now, comes back.
        let mut owned: BTreeMap<&str, FieldSet> = BTreeMap::new();
        for owner in owners.values() {
            owned.entry(&owner.version).or_default().extend(&owner.set);
        }
        let first = owned.remove_entry(last.version.as_str());
        for (version, owned) in first.into_iter().chain(owned) {
            let Some((view, merged)) = self.convert(&before, &last.version, version) else { continue };
            let Some((_, converted)) = self.convert(&pruned, &last.version, version) else { continue };
            let all = typed::with_named(Some(view), &typed::fields(view, &merged)?);
            let kept = typed::with_named(Some(view), &typed::fields(view, &converted)?)
                .union(&typed::with_named(Some(view), &owned));
            let result = typed::remove(view, &merged, &all.difference(&kept));
            pruned = match self.convert(&result, version, &last.version) {
                Some((_, pruned)) => pruned,
                None => pruned,
            };
        }

        // So does what the writer did not own, though it stood below what he owned.
        let all = typed::with_named(Some(view), &typed::fields(view, &before)?);
        let kept = typed::with_named(Some(view), &typed::fields(view, &pruned)?);
        let gone = all.difference(&kept).intersection(&last_set);
        let result = typed::remove(view, &before, &gone);
        match self.convert(&result, &last.version, self.version) {
            Some((_, object)) => Ok(object),
            None => Ok(merged),
        }
    }

    fn convert(&self, object: &Value, from: &str, to: &str) -> Option<(View<'_>, Value)> {
        let of = if to == self.version { self.of } else { self.versions.of(to)? };
        let object = if from == to { object.clone() } else { self.versions.convert(object, from, to)? };
        Some((View::of(of), object))
    }
}
