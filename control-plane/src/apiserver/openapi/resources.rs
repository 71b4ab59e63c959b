//! What the server serves, as its aggregated discovery documents tell it.

use serde_json::Value;

/// A group, a version in it and a kind of that version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    /// `v1`
    pub version: String,
    /// `Deployment`
    pub kind: String,
}

/// A resource, or one of its subresources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Group, version and kind of the resource itself.
    pub parent: Kind,
    /// `deployments`
    pub name: String,
    /// `scale`; nothing for the resource itself.
    pub subresource: Option<String>,
    /// What is sent and answered: the kind, or that of the subresource.
    pub kind: Kind,
    /// It lives in a namespace.
    pub namespaced: bool,
    /// `get`, `deletecollection` and so on.
    pub verbs: Vec<String>,
}

impl Resource {
    /// The resources of `APIGroupDiscoveryList`s, those of `/api` and of `/apis`.
    pub fn from_discovery<'v>(documents: impl IntoIterator<Item = &'v Value>) -> Vec<Self> {
        let mut found = Vec::new();
        for group in documents.into_iter().flat_map(|document| list(document, "items")) {
            for version in list(group, "versions") {
                let of = |kind: String| Kind {
                    group: text(&group["metadata"], "name"),
                    version: text(version, "version"),
                    kind,
                };
                list(version, "resources").for_each(|resource| add(resource, &of, &mut found));
            }
        }
        found
    }

    pub(super) fn has(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }
}

fn add(resource: &Value, of: &impl Fn(String) -> Kind, found: &mut Vec<Resource>) {
    let parent = of(text(&resource["responseKind"], "kind"));
    let row = |of_row: &Value, subresource| {
        // An empty version stands for the one that the list is about.
        let told = &of_row["responseKind"];
        let own = text(told, "version").is_empty();
        let kind =
            Kind { group: text(told, "group"), version: text(told, "version"), kind: text(told, "kind") };
        Resource {
            kind: if own { of(kind.kind) } else { kind },
            parent: parent.clone(),
            name: text(resource, "resource"),
            subresource,
            namespaced: resource["scope"] == "Namespaced",
            verbs: list(of_row, "verbs").filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    };
    found.push(row(resource, None));
    found.extend(list(resource, "subresources").map(|sub| row(sub, Some(text(sub, "subresource")))));
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}
