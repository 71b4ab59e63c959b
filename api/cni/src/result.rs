//! The result of an ADD, in the shape of the newest version, and its other shapes.
//!
//! ```text
//! 0.1.0, 0.2.0         ip4 {ip, gateway, routes}, ip6 {…}, dns          at most one address per family
//! 0.3.0, 0.3.1, 0.4.0  interfaces, ips with `version`, routes, dns
//! 1.0.0                the same without `version`; empty dns left out
//! 1.1.0                more fields of interfaces and routes
//! ```
//! Going down drops what a version cannot say; going up invents nothing.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cidr::Cidr;
use crate::conf::{Dns, MAX_BYTES};
use crate::go_json;
use crate::version::Version;

#[cfg(test)]
mod tests;

/// What an ADD made: interfaces, their addresses, routes, and the resolver configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetResult {
    /// The interfaces, in the order of their making. Empty from an IPAM plugin.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub interfaces: Vec<Interface>,
    /// The addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub ips: Vec<IpConfig>,
    /// The routes of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub routes: Vec<Route>,
    /// The resolver configuration.
    #[serde(default, skip_serializing_if = "Dns::is_empty", deserialize_with = "null_is_default")]
    pub dns: Dns,
}

/// An interface, on the host when `sandbox` is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address, when it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Its MTU in bytes; 0 is unsaid. Since 1.1.0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The path of its network namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// The socket of a userspace interface. Since 1.1.0.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// The PCI address of a device. Since 1.1.0.
    #[serde(default, rename = "pciID", skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// An address and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// The index into `interfaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
    /// The address with its network's prefix length.
    pub address: Cidr,
    /// The gateway of that network.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub gateway: Option<IpAddr>,
}

/// A route of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination.
    pub dst: Cidr,
    /// The next hop; the gateway of the address when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub gw: Option<IpAddr>,
    /// The path MTU in bytes; 0 is unsaid. Since 1.1.0, as all below.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The maximal segment size to advertise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub advmss: u32,
    /// The metric.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// The routing table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The kernel's number of the scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

impl Route {
    /// A route with nothing but a destination and a next hop.
    pub fn new(dst: Cidr, gw: Option<IpAddr>) -> Self {
        Self { dst, gw, mtu: 0, advmss: 0, priority: 0, table: None, scope: None }
    }
}

/// A result that cannot be read, or that a version cannot express.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// It is longer than [`MAX_BYTES`].
    #[error("a result of {0} bytes is too long")]
    TooLong(usize),
    /// Its `cniVersion` is not one that we know.
    #[error("a result has the unknown cniVersion {0:?}")]
    Version(String),
    /// It is not of the version's shape.
    #[error("a result does not have the shape of its version: {0}")]
    Shape(#[from] serde_json::Error),
    /// An address names an interface that the result does not have.
    #[error("an address of a result names interface {0}, and there are {1}")]
    Index(usize, usize),
    /// The version has room for one address of each family, and needs one.
    #[error(
        "a result of CNI {0} cannot have {1} IPv4 and {2} IPv6 addresses: it has one or none of each, and one at least"
    )]
    Inexpressible(Version, usize, usize),
}

#[derive(Deserialize)]
struct OldResult {
    ip4: Option<OldIp>,
    ip6: Option<OldIp>,
    #[serde(default, deserialize_with = "null_is_default")]
    dns: Dns,
}

#[derive(Deserialize)]
struct OldIp {
    ip: Cidr,
    #[serde(default, deserialize_with = "empty_is_none")]
    gateway: Option<IpAddr>,
    #[serde(default, deserialize_with = "null_is_default")]
    routes: Vec<Route>,
}

impl NetResult {
    /// Reads a result by the version that it names.
    pub fn parse(bytes: &[u8]) -> Result<Self, ResultError> {
        if bytes.len() > MAX_BYTES {
            return Err(ResultError::TooLong(bytes.len()));
        }
        Self::from_value(serde_json::from_slice(bytes)?)
    }

    /// Reads a decoded result by the version that it names.
    pub fn from_value(value: Value) -> Result<Self, ResultError> {
        let name = value.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
        let version = Version::parse(name).ok_or_else(|| ResultError::Version(name.to_owned()))?;
        let result = if version < Version::V0_3_0 {
            let old = go_json::from_value::<OldResult>(value)?;
            let mut result = Self { dns: old.dns, ..Self::default() };
            for ip in [old.ip4, old.ip6].into_iter().flatten() {
                result.ips.push(IpConfig { interface: None, address: ip.ip, gateway: ip.gateway });
                result.routes.extend(ip.routes);
            }
            result
        } else {
            go_json::from_value::<Self>(value)?
        };
        match result.ips.iter().filter_map(|ip| ip.interface).find(|index| *index >= result.interfaces.len())
        {
            Some(index) => Err(ResultError::Index(index, result.interfaces.len())),
            None => Ok(result),
        }
    }

    /// Refuses a result that a version cannot express: the versions before 0.3.0 are about the address of each family.
    pub fn check_expressible(&self, version: Version) -> Result<(), ResultError> {
        let v4 = self.ips.iter().filter(|ip| ip.address.addr.is_ipv4()).count();
        let v6 = self.ips.len() - v4;
        if version < Version::V0_3_0 && (v4 > 1 || v6 > 1 || self.ips.is_empty()) {
            return Err(ResultError::Inexpressible(version, v4, v6));
        }
        Ok(())
    }

    /// The JSON of this result in a version. What the version has no room for is left out.
    pub fn to_value(&self, version: Version) -> Value {
        let mut value = if version < Version::V0_3_0 { self.old() } else { self.lists(version) };
        value["cniVersion"] = json!(version.as_str());
        value
    }

    fn old(&self) -> Value {
        let mut out = Map::new();
        for (key, is_v4) in [("ip4", true), ("ip6", false)] {
            let Some(ip) = self.ips.iter().find(|ip| ip.address.addr.is_ipv4() == is_v4) else { continue };
            let mut object = json!({ "ip": ip.address });
            if let Some(gateway) = ip.gateway {
                object["gateway"] = json!(gateway);
            }
            let routes: Vec<_> = self
                .routes
                .iter()
                .filter(|route| route.dst.addr.is_ipv4() == is_v4)
                .map(short_route)
                .collect();
            if !routes.is_empty() {
                object["routes"] = json!(routes);
            }
            out.insert(key.into(), object);
        }
        out.insert("dns".into(), json!(self.dns));
        Value::Object(out)
    }

    fn lists(&self, version: Version) -> Value {
        let mut value = json!(self);
        if version < Version::V1_1_0 {
            for interface in
                value["interfaces"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut)
            {
                interface.retain(|key, _| matches!(key.as_str(), "name" | "mac" | "sandbox"));
            }
            if !self.routes.is_empty() {
                value["routes"] = self.routes.iter().map(short_route).collect();
            }
        }
        if let (true, Some(object)) = (value["interfaces"].is_null(), value.as_object_mut()) {
            object.remove("interfaces");
        }
        if version < Version::V1_0_0 {
            for (ip, object) in self.ips.iter().zip(value["ips"].as_array_mut().into_iter().flatten()) {
                object["version"] = json!(if ip.address.addr.is_ipv4() { "4" } else { "6" });
            }
            if let (true, Some(object)) = (value["ips"].is_null(), value.as_object_mut()) {
                object.remove("ips");
            }
            value["dns"] = json!(self.dns);
        }
        value
    }

    /// The addresses of interfaces that have a sandbox; all addresses when the result names no interface.
    pub fn container_addresses(&self) -> impl Iterator<Item = Cidr> {
        self.ips
            .iter()
            .filter(|ip| ip.interface.is_none_or(|index| !self.interfaces[index].sandbox.is_empty()))
            .map(|ip| ip.address)
    }
}

fn short_route(route: &Route) -> Value {
    json!(Route::new(route.dst, route.gw))
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Reads an address that Go programs print as an empty string when it is unset.
pub fn empty_is_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// Go programs print an unset list as null.
fn null_is_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
