//! Addresses and ports in the store: who has an address is an IPAddress object, which ports are taken is one map.

use std::net::IpAddr;
use std::sync::Arc;

use api_objects::time;
use serde_json::{Value, json};

use super::block::Block;
use super::ports::Ports;
use crate::apiserver::cache::{Cache, When};
use crate::apiserver::kinds::Kind;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;
use crate::apiserver::write::uuid;
use crate::storage::{Change, Expect, Revision, StoreError};

/// The label that says who made an IPAddress, and who makes those of Services.
pub const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
/// Who makes those of Services.
pub const MANAGER: &str = "ipallocator.k8s.io";
/// The label that says of which family the address is.
pub const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
/// Where the map of ports is kept.
const PORTS: &str = "/registry/ranges/servicenodeports";

/// A Service, as that to which an address belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub namespace: String,
    pub name: String,
}

impl Owner {
    pub(super) fn of(service: &Value) -> Self {
        let text = |field: &str| service["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { namespace: text("namespace"), name: text("name") }
    }

    fn reference(&self) -> Value {
        json!({ "resource": "services", "namespace": self.namespace, "name": self.name })
    }
}

/// The addresses that are taken.
pub(super) struct Addresses<'a> {
    server: &'a Arc<Server>,
    kind: Arc<Kind>,
    known: Arc<Cache>,
}

impl<'a> Addresses<'a> {
    pub(super) async fn of(server: &'a Arc<Server>) -> Result<Self, Status> {
        let kind = kind(server, "ipaddresses")?;
        let known = server.caches.of(&kind).await?;
        Ok(Self { server, kind, known })
    }

    fn key(&self, address: IpAddr) -> String {
        self.kind.key(None, Some(&address.to_string()))
    }

    /// Whether an address is known to be taken, as far as it was told here.
    pub(super) fn seems_taken(&self, address: IpAddr) -> bool {
        matches!(self.known.get(&self.key(address)), Some(Some(_)))
    }

    /// Whether an address is taken.
    pub(super) async fn is_taken(&self, address: IpAddr) -> Result<bool, StoreError> {
        Ok(self.server.caches.store().get(&self.key(address)).await?.what.is_some())
    }

    /// Takes an address; false says that somebody has it.
    pub(super) async fn take(&self, address: IpAddr, owner: &Owner) -> Result<bool, StoreError> {
        let object = object(address, owner, &time::format(self.server.now()));
        let change = Change::Put { value: object.to_string().into(), ttl: None };
        match self.server.caches.store().write(&self.key(address), Expect::Absent, change).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives an address back, if it is still the owner's.
    pub(super) async fn free(&self, address: IpAddr, owner: &Owner) -> Result<(), StoreError> {
        let reference = owner.reference();
        remove(self.server, &self.key(address), |object| {
            let parent = &object["spec"]["parentRef"];
            ["resource", "namespace", "name"].iter().all(|field| parent[field] == reference[field])
        })
        .await
    }
}

fn kind(server: &Server, resource: &str) -> Result<Arc<Kind>, Status> {
    let found = server.kinds.known("networking.k8s.io", "v1", resource);
    Ok(found.map_err(|error| Status::unexpected(error.to_string()))?.kind)
}

/// Removes what is stored under a key, if it is the object that is meant and nobody has something left to do with it.
pub(super) async fn remove(
    server: &Server,
    key: &str,
    meant: impl Fn(&Value) -> bool,
) -> Result<(), StoreError> {
    let store = server.caches.store();
    loop {
        let Some(entry) = store.get(key).await?.what else { return Ok(()) };
        let object: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
        let awaited = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if awaited || !meant(&object) {
            return Ok(());
        }
        match store.write(key, Expect::At(entry.modified), Change::Delete).await {
            Err(StoreError::Conflict { .. }) => {}
            done => return done.map(drop),
        }
    }
}

/// The object that says whose an address is.
fn object(address: IpAddr, owner: &Owner, now: &str) -> Value {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": address.to_string(),
            "uid": uuid(),
            "creationTimestamp": now,
            "labels": { FAMILY: family, MANAGED_BY: MANAGER },
            "managedFields": [{
                "manager": "kube-apiserver",
                "operation": "Update",
                "apiVersion": "networking.k8s.io/v1",
                "time": now,
                "fieldsType": "FieldsV1",
                "fieldsV1": {
                    "f:metadata": { "f:labels": { ".": {}, format!("f:{FAMILY}"): {}, format!("f:{MANAGED_BY}"): {} } },
                    "f:spec": { "f:parentRef": {} },
                },
            }],
        },
        "spec": { "parentRef": owner.reference() },
    })
}

/// The blocks out of which addresses can be given now: those of ServiceCIDRs that are ready and stay.
pub(super) async fn blocks(server: &Server) -> Result<Vec<Block>, Status> {
    let kind = kind(server, "servicecidrs")?;
    let ranges = server.caches.values(&kind, None, When::Latest).await?;
    Ok(ranges.iter().filter(|range| gives(range)).flat_map(blocks_of).collect())
}

/// The blocks that a ServiceCIDR names.
pub(crate) fn blocks_of(range: &Value) -> Vec<Block> {
    let texts = range["spec"]["cidrs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.filter_map(Block::of).collect()
}

/// Whether addresses are given out of a ServiceCIDR. One of which nothing was said is ready.
fn gives(range: &Value) -> bool {
    let conditions = range["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    range["metadata"]["deletionTimestamp"].is_null() && ready.is_none_or(|ready| ready["status"] == "True")
}

/// The map of ports, and the write that made it; none before there is one.
pub(super) async fn ports(server: &Server) -> Result<Option<(Ports, Revision)>, StoreError> {
    let Some(entry) = server.caches.store().get(PORTS).await?.what else { return Ok(None) };
    let read = serde_json::from_slice(&entry.value).ok().and_then(|stored| Ports::read(&stored));
    let damaged =
        || StoreError::Damaged { store: PORTS.to_owned(), reason: "it is no RangeAllocation".to_owned() };
    Ok(Some((read.ok_or_else(damaged)?, entry.modified)))
}

/// Replaces the map of ports; false says that somebody was faster.
pub(super) async fn put_ports(
    server: &Server,
    ports: &Ports,
    before: Option<Revision>,
) -> Result<bool, StoreError> {
    let expect = before.map_or(Expect::Absent, Expect::At);
    let change = Change::Put { value: ports.to_json().to_string().into(), ttl: None };
    match server.caches.store().write(PORTS, expect, change).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_out_of_ranges_that_are_ready_and_stay() {
        let range = |conditions: Value, deleted: Value| json!({"metadata": {"deletionTimestamp": deleted}, "status": {"conditions": conditions}});
        let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
        for (conditions, deleted, found) in [
            (json!([]), Value::Null, true),
            (ready("True"), Value::Null, true),
            (ready("False"), Value::Null, false),
            (ready("True"), json!("2026-01-01T00:00:00Z"), false),
        ] {
            assert_eq!(gives(&range(conditions.clone(), deleted)), found, "{conditions}");
        }
        let blocks = blocks_of(&json!({"spec": {"cidrs": ["10.0.0.0/24", "fd00::/48", "fd00::/112"]}}));
        assert_eq!(blocks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/24", "fd00::/112"]);
    }

    #[test]
    fn an_address_says_whose_it_is() {
        let owner = Owner { namespace: "n".to_owned(), name: "s".to_owned() };
        let made = object("fd00::1".parse().unwrap(), &owner, "2026-01-01T00:00:00Z");
        assert_eq!(
            (&made["metadata"]["name"], &made["metadata"]["labels"][FAMILY]),
            (&json!("fd00::1"), &json!("IPv6"))
        );
        assert_eq!(made["spec"]["parentRef"], json!({"resource": "services", "namespace": "n", "name": "s"}));
    }
}
