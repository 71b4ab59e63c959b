//! How the cluster finds its API: the Service `kubernetes` with the addresses of those who serve it, by which certificates
//! others know the API's clients, and what else others read of it.
//!
//! ```text
//!   ready ─▶ published ──again every 10 s; what was deleted or changed is put right──┐
//!                │  ▲                                                                │
//!                │  └────────────────────────────────────────────────────────────────┘
//!                └─ asked to end ─▶ the own address is taken out, before connections end
//! ```
//!
//! Where several servers share a store, each keeps a lease in it, and all of them name those who have one: a server that
//! died is named no longer when its lease has run out. A store that is one process's own needs none.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api_objects::{Path, address};
use serde_json::{Value, json};

use super::tracking;
use crate::apiserver::server::Server;
use crate::bootstrap::{self, BootstrapError};
use crate::client::{Client, Gvr, Id, Refused};
use crate::storage::{Change, Expect, Range, StoreError};

const SERVICES: Gvr = Gvr::of("", "v1", "services");
const ENDPOINTS: Gvr = Gvr::of("", "v1", "endpoints");
const SLICES: Gvr = Gvr::of("discovery.k8s.io", "v1", "endpointslices");
const CONFIG_MAPS: Gvr = Gvr::of("", "v1", "configmaps");
const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";
const TRUST: (&str, &str) = ("kube-system", "extension-apiserver-authentication");
/// The port of the Service.
const PORT: u16 = 443;
const PORT_NAME: &str = "https";
const LEASES: &str = "/registry/masterleases/";
/// Between two looks, and how long a lease holds without one.
const INTERVAL: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(15);

/// Something could not be published.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("{0}: {1}")]
    Refused(Id, Refused),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Range(#[from] BootstrapError),
}

/// Publishes where the API is served.
pub(super) struct Publisher {
    server: Arc<Server>,
    client: Client,
    /// Where this server is reached; none where no other machine could.
    address: Option<IpAddr>,
    port: u16,
    /// Other servers may use the store.
    shared: bool,
}

impl Publisher {
    /// One for a server that is reached here.
    pub(super) fn new(server: Arc<Server>, address: IpAddr, port: u16, shared: bool) -> Self {
        let client = Client::master(server.clone(), "kube-apiserver");
        let mut faults = Vec::new();
        address::special_ip(&mut faults, &Path::ROOT, &address.to_string());
        if !faults.is_empty() {
            tracing::warn!(%address, "the Service {NAMESPACE}/{NAME} leads nowhere: no other machine reaches this address");
        }
        let address = Some(address).filter(|_| faults.is_empty());
        Self { server, client, address, port, shared }
    }

    /// Publishes, for ever.
    pub(super) async fn run(&self) {
        loop {
            if let Err(error) = self.publish().await {
                tracing::warn!(%error, "publishing where the API is served; trying again");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn publish(&self) -> Result<(), PublishError> {
        bootstrap::keep_range(&self.server, &self.client).await?;
        let service = Id::new(&SERVICES, NAMESPACE, NAME);
        if self.find(&service).await?.is_none() {
            let object = service_object(self.server.network.ranges.primary.first(), self.port);
            self.create(&service, &object).await?;
        }
        if let Some(security) = self.server.access.security() {
            let id = Id::new(&CONFIG_MAPS, TRUST.0, TRUST.1);
            let found = self.find(&id).await?;
            if let Some(object) = trust(found.as_ref(), &security.authority.certificate) {
                self.put(&id, found.is_some(), &object).await?;
            }
        }
        let id = Id::new(&CONFIG_MAPS, tracking::PLACE.0, tracking::PLACE.1);
        let found = self.find(&id).await?;
        if let Some(object) = tracking::since(found.as_ref(), self.client.now()) {
            self.put(&id, found.is_some(), &object).await?;
        }
        if self.shared {
            self.renew().await?;
        }
        self.name(&self.addresses().await?).await
    }

    /// Takes the own address out.
    pub(super) async fn withdraw(&self) {
        let withdrawn = async {
            if let (true, Some(address)) = (self.shared, self.address) {
                let key = format!("{LEASES}{address}");
                if let Some(entry) = self.server.caches.store().get(&key).await?.what {
                    let expect = Expect::At(entry.modified);
                    self.server.caches.store().write(&key, expect, Change::Delete).await?;
                }
            }
            let mut addresses = self.addresses().await?;
            addresses.retain(|address| Some(*address) != self.address);
            self.name(&addresses).await
        };
        if let Err::<(), PublishError>(error) = withdrawn.await {
            tracing::warn!(%error, "this server's address stays in the Service {NAMESPACE}/{NAME} for a while");
        }
    }

    /// Keeps the own lease.
    async fn renew(&self) -> Result<(), StoreError> {
        let Some(address) = self.address else { return Ok(()) };
        let (key, store) = (format!("{LEASES}{address}"), self.server.caches.store());
        let lease = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {},
            "subsets": [{"addresses": [{"ip": address}]}]});
        loop {
            let expect =
                store.get(&key).await?.what.map_or(Expect::Absent, |entry| Expect::At(entry.modified));
            let change = Change::Put { value: lease.to_string().into(), ttl: Some(LEASE) };
            match store.write(&key, expect, change).await {
                Err(StoreError::Conflict { .. }) => {}
                done => return done.map(drop),
            }
        }
    }

    /// Who serves the API, in the order of their addresses.
    async fn addresses(&self) -> Result<Vec<IpAddr>, StoreError> {
        if !self.shared {
            return Ok(self.address.into_iter().collect());
        }
        let range = Range { prefix: LEASES.to_owned(), ..Range::default() };
        let leases = self.server.caches.store().list(range).await?.what.entries;
        let mut addresses: Vec<IpAddr> =
            leases.iter().filter_map(|entry| entry.key.strip_prefix(LEASES)?.parse().ok()).collect();
        addresses.sort_unstable();
        Ok(addresses)
    }

    /// Names those who serve the API.
    async fn name(&self, addresses: &[IpAddr]) -> Result<(), PublishError> {
        let id = Id::new(&ENDPOINTS, NAMESPACE, NAME);
        let found = self.find(&id).await?;
        if let Some(object) = endpoints(found.as_ref(), addresses, self.port) {
            self.put(&id, found.is_some(), &object).await?;
        }
        let id = Id::new(&SLICES, NAMESPACE, NAME);
        let found = self.find(&id).await?;
        let Some(object) = slice(found.as_ref(), addresses, self.port) else { return Ok(()) };
        let other = found.as_ref().is_some_and(|found| found["addressType"] != object["addressType"]);
        if other {
            // What addresses a slice has is told once.
            let deleted = self.client.delete(&id, &json!({})).await;
            deleted.map_err(|refused| PublishError::Refused(id.clone(), refused))?;
        }
        self.put(&id, found.is_some() && !other, &object).await
    }

    async fn find(&self, id: &Id) -> Result<Option<Value>, PublishError> {
        match self.client.get(id).await {
            Err(refused) if refused.is_not_found() => Ok(None),
            found => found.map(Some).map_err(|refused| PublishError::Refused(id.clone(), refused)),
        }
    }

    async fn put(&self, id: &Id, replaces: bool, object: &Value) -> Result<(), PublishError> {
        if !replaces {
            return self.create(id, object).await;
        }
        let replaced = self.client.replace(id, "", object).await;
        settled(id, replaced)
    }

    async fn create(&self, id: &Id, object: &Value) -> Result<(), PublishError> {
        settled(id, self.client.create(&id.kind, &id.namespace, object).await)
    }
}

/// Who is overtaken by another server looks again the next time.
fn settled(id: &Id, written: Result<Value, Refused>) -> Result<(), PublishError> {
    match written {
        Err(refused) if !refused.is_conflict() => Err(PublishError::Refused(id.clone(), refused)),
        _ => Ok(()),
    }
}

fn service_object(address: IpAddr, port: u16) -> Value {
    json!({
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "ports": [{ "name": PORT_NAME, "protocol": "TCP", "port": PORT, "targetPort": port }],
        },
    })
}

/// The Endpoints as they are to be, if they are not. Servers of one cluster are reached at one port; where they are not,
/// they do not write over each other.
fn endpoints(found: Option<&Value>, addresses: &[IpAddr], port: u16) -> Option<Value> {
    let several = addresses.len() > 1;
    let subsets = match addresses {
        [] => json!([]),
        _ => json!([{
            "addresses": addresses.iter().map(|ip| json!({ "ip": ip })).collect::<Value>(),
            "ports": [{ "name": PORT_NAME, "port": port, "protocol": "TCP" }],
        }]),
    };
    // Its slice is written here as well.
    let labels = json!({ "endpointslice.kubernetes.io/skip-mirror": "true" });
    let mut object =
        found.cloned().unwrap_or_else(|| json!({"metadata": {"name": NAME, "namespace": NAMESPACE}}));
    object["subsets"] = subsets;
    object["metadata"]["labels"] = merged(&object["metadata"]["labels"], &labels);
    let same = found.is_some_and(|found| {
        let addresses = |of: &Value| list(&of["subsets"][0], "addresses").to_vec();
        list(found, "subsets").len() == list(&object, "subsets").len()
            && addresses(found) == addresses(&object)
            && (several || found["subsets"][0]["ports"] == object["subsets"][0]["ports"])
            && found["metadata"]["labels"] == object["metadata"]["labels"]
    });
    (!same).then_some(object)
}

/// The EndpointSlice as it is to be, if it is not.
fn slice(found: Option<&Value>, addresses: &[IpAddr], port: u16) -> Option<Value> {
    let six = !addresses.is_empty() && addresses.iter().all(IpAddr::is_ipv6);
    let named = addresses.iter().filter(|address| address.is_ipv6() == six);
    let endpoints: Vec<Value> =
        named.map(|ip| json!({ "addresses": [ip], "conditions": { "ready": true } })).collect();
    let ports = match addresses {
        [] => json!([]),
        _ => json!([{ "name": PORT_NAME, "port": port, "protocol": "TCP" }]),
    };
    let object = json!({
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": { "kubernetes.io/service-name": NAME },
        },
        "addressType": if six { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": ports,
    });
    let same = found.is_some_and(|found| {
        found["addressType"] == object["addressType"]
            && list(found, "endpoints") == list(&object, "endpoints")
            && (addresses.len() > 1 || list(found, "ports") == list(&object, "ports"))
            && found["metadata"]["labels"] == object["metadata"]["labels"]
    });
    (!same).then_some(object)
}

/// What others know the API's clients by, if it does not have this certificate yet. Those of other servers stay.
fn trust(found: Option<&Value>, certificate: &str) -> Option<Value> {
    const KEY: &str = "client-ca-file";
    let known = found.and_then(|found| found["data"][KEY].as_str()).unwrap_or_default();
    if known.contains(certificate.trim()) {
        return None;
    }
    let mut object =
        found.cloned().unwrap_or_else(|| json!({"metadata": {"name": TRUST.1, "namespace": TRUST.0}}));
    object["data"][KEY] = format!("{known}{certificate}").into();
    Some(object)
}

fn list<'v>(object: &'v Value, field: &str) -> &'v [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

fn merged(one: &Value, other: &Value) -> Value {
    let entries = one.as_object().into_iter().chain(other.as_object()).flatten();
    entries.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn endpoints_and_slice_are_written_where_they_are_not_so_already() {
        let one = addresses(&["10.0.0.5"]);
        let made = endpoints(None, &one, 6443).unwrap();
        assert_eq!(made["subsets"][0]["addresses"], json!([{"ip": "10.0.0.5"}]));
        assert_eq!(endpoints(Some(&made), &one, 6443), None);
        assert!(endpoints(Some(&made), &one, 6444).is_some());
        let mut relabelled = made.clone();
        relabelled["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(
            endpoints(Some(&relabelled), &one, 6443).unwrap()["metadata"]["labels"],
            json!({"a": "b", "endpointslice.kubernetes.io/skip-mirror": "true"})
        );
        let two = addresses(&["10.0.0.5", "10.0.0.6"]);
        assert_eq!(list(&endpoints(Some(&made), &two, 6443).unwrap()["subsets"][0], "addresses").len(), 2);
        assert_eq!(endpoints(Some(&made), &[], 6443).unwrap()["subsets"], json!([]));
        let both = endpoints(None, &two, 6443).unwrap();
        assert_eq!(endpoints(Some(&both), &two, 6444), None);

        let made = slice(None, &two, 6443).unwrap();
        assert_eq!((&made["addressType"], list(&made, "endpoints").len()), (&json!("IPv4"), 2));
        assert_eq!(slice(Some(&made), &two, 6443), None);
        assert!(list(&slice(Some(&made), &[], 6443).unwrap(), "endpoints").is_empty());
        let six = slice(Some(&made), &addresses(&["fd00::5"]), 6443).unwrap();
        assert_eq!(six["addressType"], "IPv6");
        // A slice has addresses of one family.
        let mixed = slice(None, &addresses(&["10.0.0.5", "fd00::5"]), 6443).unwrap();
        assert_eq!((&mixed["addressType"], list(&mixed, "endpoints").len()), (&json!("IPv4"), 1));
    }

    #[test]
    fn certificates_of_other_servers_stay() {
        let made = trust(None, "ours\n").unwrap();
        assert_eq!(made["data"]["client-ca-file"], "ours\n");
        assert_eq!(trust(Some(&made), "ours\n"), None);
        assert_eq!(trust(Some(&made), "other\n").unwrap()["data"]["client-ca-file"], "ours\nother\n");
    }
}
