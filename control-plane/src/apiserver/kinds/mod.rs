//! The registry of kinds: what the server serves, at run time.
//!
//! A [`Kind`] is one sort of stored object; it is [`Served`] under one or more group-versions (an Event in two groups,
//! a HorizontalPodAutoscaler in two versions), each with a [`Conversion`] from and to what is stored. The rows of the
//! built-in kinds are written by `hack/kinds`; rows of custom resources are added and removed while the server runs.
//! Readers take a [`Table`], which does not change under them.

mod convert;
mod row;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

pub use row::RowError;

/// What can be done with a resource; the names are those of discovery and of authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verbs(Vec<String>);

impl Verbs {
    /// Whether this verb is among them.
    pub fn has(&self, verb: &str) -> bool {
        self.0.iter().any(|v| v == verb)
    }

    /// Their names in the order of discovery.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

/// What stands behind the name of an object in a path: `status`, `scale`, `log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subresource {
    /// Its name.
    pub name: String,
    /// The kind of what is sent and answered.
    pub kind: String,
    /// That kind's group and version where they are not the resource's.
    pub foreign: Option<(String, String)>,
    /// What can be done with it.
    pub verbs: Verbs,
}

/// Between an object as it is stored and as a version serves it.
pub type Convert = dyn Fn(&mut Value) + Send + Sync;

/// The hook of a version that is not the one stored. `apiVersion` and `kind` are not its business.
#[derive(Clone)]
pub struct Conversion {
    /// From the stored version to this one.
    pub serve: Arc<Convert>,
    /// From this version to the stored one.
    pub store: Arc<Convert>,
}

impl std::fmt::Debug for Conversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Conversion")
    }
}

/// A kind under one group-version.
#[derive(Debug, Clone)]
pub struct Served {
    /// The group; empty for the core one.
    pub group: String,
    /// The version.
    pub version: String,
    /// What can be done with the objects.
    pub verbs: Verbs,
    /// In the order of discovery.
    pub subresources: Vec<Subresource>,
    /// Discovery's `storageVersionHash`.
    pub hash: Option<String>,
    /// Names that field selectors may use, with the index of the [`Field`] meant.
    pub labels: Vec<(String, usize)>,
    /// How a field selector with another name is refused; `{}` stands for the name.
    pub refusal: String,
    /// None where this is how the objects are stored.
    pub conversion: Option<Conversion>,
}

impl Served {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// A subresource by its name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}

/// A field of the stored object that selectors can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its path from the object's root.
    pub path: Vec<String>,
    /// The value of an object that does not have it.
    pub absent: String,
}

/// A column of a kind's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The header.
    pub name: String,
    /// `string`, `integer`, `boolean`, `date`, `number`.
    pub kind: String,
    /// `name` for the column that names the object.
    pub format: String,
    /// Above 0, only wide output shows it.
    pub priority: i32,
    /// What it tells.
    pub description: String,
}

/// One sort of stored object.
#[derive(Debug, Clone)]
pub struct Kind {
    /// `Pod`.
    pub kind: String,
    /// `pods`.
    pub resource: String,
    /// `pod`.
    pub singular: String,
    /// Its objects live in namespaces.
    pub namespaced: bool,
    /// `po`.
    pub short_names: Vec<String>,
    /// `all`.
    pub categories: Vec<String>,
    /// The beginning of its objects' keys, with a slash at its end.
    pub prefix: String,
    /// Columns of its tables.
    pub columns: Vec<Column>,
    /// Its objects count the changes of what is asked of them, in `metadata.generation`.
    pub generations: bool,
    /// What selectors can ask for.
    pub fields: Vec<Field>,
    /// Where it is served. The one without a conversion is how it is stored.
    pub served: Vec<Served>,
}

impl Kind {
    /// The group-version in which objects are stored.
    pub fn stored(&self) -> &Served {
        self.served.iter().find(|s| s.conversion.is_none()).unwrap_or(&self.served[0])
    }

    /// The key of an object; of all objects of a namespace or of the whole kind where a part is left out.
    pub fn key(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut key = self.prefix.clone();
        if let (true, Some(namespace)) = (self.namespaced, namespace) {
            key.push_str(namespace);
            key.push('/');
        }
        key.push_str(name.unwrap_or_default());
        key
    }
}

/// A kind as one group-version serves it.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The kind.
    pub kind: Arc<Kind>,
    index: usize,
}

impl Resource {
    /// Under which group-version.
    pub fn served(&self) -> &Served {
        &self.kind.served[self.index]
    }

    /// Its place among the kind's group-versions.
    pub fn index(&self) -> usize {
        self.index
    }

    /// `pods`, `deployments.apps`: how messages name it.
    pub fn qualified(&self) -> String {
        match self.served().group.as_str() {
            "" => self.kind.resource.clone(),
            group => format!("{}.{group}", self.kind.resource),
        }
    }
}

/// A group and its versions, the preferred one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Empty for the core group.
    pub name: String,
    /// `v2`, `v1`.
    pub versions: Vec<String>,
}

/// All kinds at one moment.
#[derive(Debug, Clone, Default)]
pub struct Table {
    groups: Vec<Group>,
    kinds: Vec<Arc<Kind>>,
    by_path: HashMap<String, Resource>,
}

impl Table {
    /// The groups in the order of discovery; the core group is the first.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The kinds, in no order that means something.
    pub fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// What `/apis/GROUP/VERSION/RESOURCE` means.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Resource> {
        self.by_path.get(&path(group, version, resource))
    }

    /// The kinds of a group-version in the order of their resources' names.
    pub fn of_version(&self, group: &str, version: &str) -> Vec<Resource> {
        let mut found: Vec<Resource> = Vec::new();
        for kind in &self.kinds {
            let served = kind.served.iter().position(|s| s.group == group && s.version == version);
            found.extend(served.map(|index| Resource { kind: kind.clone(), index }));
        }
        found.sort_by(|a, b| a.kind.resource.cmp(&b.kind.resource));
        found
    }

    fn add(&mut self, kind: Kind) {
        let kind = Arc::new(kind);
        for (index, served) in kind.served.iter().enumerate() {
            match self.groups.iter_mut().find(|g| g.name == served.group) {
                Some(group) if group.versions.contains(&served.version) => {}
                Some(group) => group.versions.push(served.version.clone()),
                None => self
                    .groups
                    .push(Group { name: served.group.clone(), versions: vec![served.version.clone()] }),
            }
            let path = path(&served.group, &served.version, &kind.resource);
            self.by_path.insert(path, Resource { kind: kind.clone(), index });
        }
        self.kinds.push(kind);
    }

    fn remove(&mut self, prefix: &str) {
        let Some(at) = self.kinds.iter().position(|k| k.prefix == prefix) else { return };
        self.kinds.remove(at);
        self.by_path.retain(|_, resource| resource.kind.prefix != prefix);
        let kinds = &self.kinds;
        let served = |group: &str, version: &str| {
            kinds.iter().flat_map(|k| &k.served).any(|s| s.group == group && s.version == version)
        };
        for group in &mut self.groups {
            group.versions.retain(|version| served(&group.name, version));
        }
        self.groups.retain(|group| !group.versions.is_empty());
    }
}

/// The kinds that are served now.
#[derive(Debug)]
pub struct Registry {
    table: RwLock<Arc<Table>>,
}

impl Registry {
    /// The built-in kinds.
    pub fn builtin() -> Result<Self, RowError> {
        let (groups, kinds) = row::builtin()?;
        let mut table = Table { groups, ..Table::default() };
        kinds.into_iter().for_each(|kind| table.add(kind));
        Ok(Self { table: RwLock::new(Arc::new(table)) })
    }

    /// The kinds now.
    pub fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A kind that the server itself cannot do without.
    ///
    /// # Errors
    /// When there is no row of it.
    pub fn known(&self, group: &str, version: &str, resource: &str) -> Result<Resource, RowError> {
        let found = self.table().find(group, version, resource).cloned();
        found.ok_or_else(|| RowError::Missing(path(group, version, resource)))
    }

    /// The same for one of the core group.
    ///
    /// # Errors
    /// When there is no row of it.
    pub fn core(&self, resource: &str) -> Result<Resource, RowError> {
        self.known("", "v1", resource)
    }

    /// Adds a kind, or replaces the one whose objects have the same keys.
    pub fn put(&self, kind: Kind) {
        self.change(|table| {
            table.remove(&kind.prefix);
            table.add(kind);
        });
    }

    /// Removes the kind whose objects have these keys.
    pub fn remove(&self, prefix: &str) {
        self.change(|table| table.remove(prefix));
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut table));
    }
}

/// `v1`, `apps/v1`.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn path(group: &str, version: &str, resource: &str) -> String {
    format!("{group}/{version}/{resource}")
}
