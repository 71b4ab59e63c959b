//! `metadata.managedFields`: who owns which fields, as objects carry it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields_v1;
use super::set::FieldSet;

/// Who wrote, and how. Someone who applies is the same in every version of the API, someone who updates is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// The name that the request gave.
    pub name: String,
    /// He applied, rather than updated.
    pub applied: bool,
    /// The version he updated in; empty for appliers.
    pub version: String,
    /// The subresource he wrote to, or nothing.
    pub subresource: String,
}

/// What someone owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The fields.
    pub set: FieldSet,
    /// The version of the API that their names are of.
    pub version: String,
}

/// All owners of an object's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// The fields of each.
    pub owners: BTreeMap<Manager, Owned>,
    /// When each wrote last; someone may have written before he owned anything, or never changed anything.
    pub times: BTreeMap<Manager, String>,
}

impl Manager {
    /// Whoever updates in a version.
    pub fn updater(name: &str, version: &str, subresource: &str) -> Self {
        Self { version: version.to_owned(), ..Self::applier(name, subresource) }.updating()
    }

    /// Whoever applies.
    pub fn applier(name: &str, subresource: &str) -> Self {
        let name = if name.is_empty() { "unknown" } else { name };
        Self {
            name: name.to_owned(),
            applied: true,
            version: String::new(),
            subresource: subresource.to_owned(),
        }
    }

    fn updating(self) -> Self {
        Self { applied: false, ..self }
    }

    /// As conflicts name him. Upstream shows no time here, and the version of updaters only.
    pub fn describe(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if !self.applied {
            text += &format!(" using {}", self.version);
        }
        text
    }
}

impl Managed {
    /// Reads the entries of an object; none when it has none.
    pub fn of(object: &Value) -> Result<Self, String> {
        object["metadata"].get("managedFields").map_or_else(|| Ok(Self::default()), Self::parse)
    }

    /// Reads a list of entries.
    pub fn parse(entries: &Value) -> Result<Self, String> {
        let mut managed = Self::default();
        let entries = match entries {
            Value::Null => return Ok(managed),
            Value::Array(entries) => entries,
            _ => return Err("managedFields is no list".to_owned()),
        };
        for (index, entry) in entries.iter().enumerate() {
            let text = |name: &str| entry[name].as_str().unwrap_or_default();
            let applied = match text("operation") {
                "Apply" => true,
                "Update" => false,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            let version = text("apiVersion");
            if version.is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
                other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
            }
            let fields = entry.get("fieldsV1").filter(|fields| !fields.is_null());
            let set = fields.map_or_else(|| Ok(FieldSet::new()), fields_v1::parse)?;
            let manager = Manager {
                name: text("manager").to_owned(),
                applied,
                version: if applied { String::new() } else { version.to_owned() },
                subresource: text("subresource").to_owned(),
            };
            if let Some(time) = entry["time"].as_str() {
                managed.times.insert(manager.clone(), time.to_owned());
            }
            managed.owners.insert(manager, Owned { set, version: version.to_owned() });
        }
        Ok(managed)
    }

    /// Writes the entries: appliers first, then by time, then by name.
    pub fn print(&self) -> Value {
        let mut owners: Vec<_> = self.owners.iter().collect();
        owners.sort_by(|a, b| self.order(a.0, a.1, b.0, b.1));
        owners.into_iter().map(|(manager, owned)| self.entry(manager, owned)).collect()
    }

    fn order(&self, a: &Manager, a_owns: &Owned, b: &Manager, b_owns: &Owned) -> Ordering {
        let time = |manager| self.times.get(manager).map_or("", String::as_str);
        b.applied
            .cmp(&a.applied)
            .then_with(|| time(a).cmp(time(b)))
            .then_with(|| a.name.cmp(&b.name))
            .then_with(|| a_owns.version.cmp(&b_owns.version))
            .then_with(|| a.subresource.cmp(&b.subresource))
    }

    fn entry(&self, manager: &Manager, owned: &Owned) -> Value {
        let mut entry = Map::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                entry.insert(name.to_owned(), value.into());
            }
        };
        put("manager", &manager.name);
        put("operation", if manager.applied { "Apply" } else { "Update" });
        put("apiVersion", &owned.version);
        put("time", self.times.get(manager).map_or("", String::as_str));
        put("fieldsType", "FieldsV1");
        put("subresource", &manager.subresource);
        entry.insert("fieldsV1".to_owned(), fields_v1::print(&owned.set));
        Value::Object(entry)
    }

    /// Writes the entries into an object.
    pub fn store(&self, object: &mut Value) {
        let entries = self.print();
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        let Some(metadata) = metadata.as_object_mut() else { return };
        if self.owners.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), entries);
        }
    }

    /// Keeps at most `most` entries of updates: the oldest become one, `ancient-changes`, for each version.
    pub fn cap(&mut self, most: usize) {
        let mut updaters: Vec<_> = self.owners.keys().filter(|manager| !manager.applied).cloned().collect();
        let mut count = updaters.len();
        let time = |manager: &Manager| self.times.get(manager).cloned().unwrap_or_default();
        updaters.sort_by_cached_key(|manager| (time(manager), manager.clone()));
        let mut first: BTreeMap<String, Manager> = BTreeMap::new();
        for manager in updaters {
            if count <= most {
                return;
            }
            let Some(version) = self.owners.get(&manager).map(|owned| owned.version.clone()) else {
                continue;
            };
            let Some(oldest) = first.get(&version) else {
                first.insert(version, manager);
                continue;
            };
            let bucket = Manager::updater("ancient-changes", &version, "");
            if !self.owners.contains_key(&bucket)
                && let Some(owned) = self.owners.remove(oldest)
            {
                self.owners.insert(bucket.clone(), owned);
            }
            if manager == bucket {
                continue;
            }
            let Some(owned) = self.owners.remove(&manager) else { continue };
            if let Some(all) = self.owners.get_mut(&bucket) {
                all.set.extend(&owned.set);
            }
            if let Some(time) = self.times.get(&manager).cloned() {
                self.times.insert(bucket, time);
            }
            count -= 1;
        }
    }
}

/// Whether someone sent entries that take all ownership away: an empty list, or one empty entry.
pub(super) fn resets(object: &Value) -> bool {
    match object["metadata"].get("managedFields").and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([entry]) => entry.as_object().is_some_and(|entry| entry.is_empty()),
        _ => false,
    }
}
