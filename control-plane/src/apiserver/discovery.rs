//! Discovery: what the server serves, told to clients. Aggregated in two documents, or plain in many.

use serde_json::{Value, json};

use super::kinds::{Group, Resource, Subresource, Table, Verbs, api_version};

/// `/api` or `/apis` as one `APIGroupDiscoveryList`. `version` is that of `apidiscovery.k8s.io`.
pub fn aggregated(table: &Table, core: bool, version: &str) -> Value {
    let items = groups(table, core).map(|group| {
        let versions = group.versions.iter().map(|version| {
            let resources: Vec<Value> =
                table.of_version(&group.name, version).iter().map(aggregated_resource).collect();
            json!({ "version": version, "freshness": "Current", "resources": resources })
        });
        let metadata = if group.name.is_empty() { json!({}) } else { json!({ "name": group.name }) };
        json!({ "metadata": metadata, "versions": versions.collect::<Vec<_>>() })
    });
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

/// The core group or the others.
fn groups(table: &Table, core: bool) -> impl Iterator<Item = &Group> {
    table.groups().iter().filter(move |group| group.name.is_empty() == core)
}

fn aggregated_resource(resource: &Resource) -> Value {
    let (kind, served) = (&resource.kind, resource.served());
    let mut document = json!({
        "resource": kind.resource,
        "responseKind": { "group": "", "version": "", "kind": kind.kind },
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": served.verbs.names(),
    });
    put_names(&mut document, resource);
    if !served.subresources.is_empty() {
        document["subresources"] = served.subresources.iter().map(aggregated_subresource).collect();
    }
    document
}

fn aggregated_subresource(sub: &Subresource) -> Value {
    let (group, version) = sub.foreign.clone().unwrap_or_default();
    json!({
        "subresource": sub.name,
        "responseKind": { "group": group, "version": version, "kind": sub.kind },
        "verbs": sub.verbs.names(),
    })
}

/// `/api`, which also says where the server is to be reached.
pub fn versions(table: &Table, address: &str) -> Value {
    let versions: Vec<&String> = groups(table, true).flat_map(|group| &group.versions).collect();
    json!({
        "kind": "APIVersions",
        "versions": versions,
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": address }],
    })
}

/// `/apis`.
pub fn group_list(table: &Table) -> Value {
    let groups: Vec<Value> = groups(table, false).map(group_document).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/GROUP`; none where there is no such group.
pub fn group(table: &Table, name: &str) -> Option<Value> {
    let group = groups(table, false).find(|group| group.name == name)?;
    let mut document = group_document(group);
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Some(document)
}

fn group_document(group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| json!({ "groupVersion": api_version(&group.name, version), "version": version }))
        .collect();
    json!({ "name": group.name, "versions": versions, "preferredVersion": versions.first() })
}

/// `/api/VERSION` or `/apis/GROUP/VERSION`; none where there is no such version.
pub fn resources(table: &Table, group: &str, version: &str) -> Option<Value> {
    table.groups().iter().find(|g| g.name == group)?.versions.iter().find(|v| *v == version)?;
    let mut rows = Vec::new();
    for resource in table.of_version(group, version) {
        let (kind, served) = (&resource.kind, resource.served());
        let mut row = plain(&kind.resource, &kind.singular, kind.namespaced, &kind.kind, &served.verbs);
        put_names(&mut row, &resource);
        if let Some(hash) = &served.hash {
            row["storageVersionHash"] = hash.as_str().into();
        }
        rows.push(row);
        for sub in &served.subresources {
            let name = format!("{}/{}", kind.resource, sub.name);
            let mut row = plain(&name, "", kind.namespaced, &sub.kind, &sub.verbs);
            if let Some((group, version)) = &sub.foreign {
                row["group"] = group.as_str().into();
                row["version"] = version.as_str().into();
            }
            rows.push(row);
        }
    }
    let mut document = json!({
        "kind": "APIResourceList",
        "groupVersion": api_version(group, version),
        "resources": rows,
    });
    // The core group's document is older than the field.
    if !group.is_empty() {
        document["apiVersion"] = "v1".into();
    }
    Some(document)
}

fn plain(name: &str, singular: &str, namespaced: bool, kind: &str, verbs: &Verbs) -> Value {
    json!({
        "name": name,
        "singularName": singular,
        "namespaced": namespaced,
        "kind": kind,
        "verbs": verbs.names(),
    })
}

fn put_names(document: &mut Value, resource: &Resource) {
    for (name, values) in
        [("shortNames", &resource.kind.short_names), ("categories", &resource.kind.categories)]
    {
        if !values.is_empty() {
            document[name] = values.as_slice().into();
        }
    }
}
