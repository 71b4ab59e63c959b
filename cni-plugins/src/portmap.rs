//! portmap: ports of the host lead to ports of the container.
//!
//! They are reached from outside, from the host by its addresses and by 127.0.0.1, and from other containers.

use std::net::IpAddr;

use api_cni::{Code, Error, NetResult, PortMapping, bool_or_string, go_json};
use serde::Deserialize;
use serde_json::Value;
use sys::netlink::Netlink;
use sys::nft::{Nft, conntrack};
use sys::sysctl;

use crate::call::Call;
use crate::effect::{Effect, Effects, all};
use crate::plugin::Plugin;
use crate::ruleset::{self, Item, PORTMAP_KINDS, Ruleset};

pub(crate) const PLUGIN: Plugin = Plugin { name: "portmap", add, del, check, status, gc };

/// The plugin's own keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    /// Masquerade what comes from localhost and from the container's own network.
    #[serde(default = "yes", deserialize_with = "bool_or_string")]
    snat: bool,
    #[serde(default, deserialize_with = "bool_or_string")]
    masq_all: bool,
    #[serde(default)]
    backend: String,
    #[serde(default)]
    external_set_mark_chain: Option<Value>,
    #[serde(default, rename = "conditionsV4")]
    conditions_v4: Option<Vec<String>>,
    #[serde(default, rename = "conditionsV6")]
    conditions_v6: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

struct Conf {
    snat: bool,
    table: String,
    mappings: Vec<Mapping>,
}

/// A checked mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mapping {
    host: Option<IpAddr>,
    protocol: u8,
    host_port: u16,
    port: u16,
}

const UDP: u8 = 17;

impl Mapping {
    fn new(raw: &PortMapping) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(Code::INVALID_CONFIG, text);
        let protocol = match raw.protocol.to_ascii_lowercase().as_str() {
            "tcp" | "" => 6,
            "udp" => UDP,
            "sctp" => 132,
            other => return Err(invalid(format!("the protocol {other:?} of a port mapping is not known"))),
        };
        if raw.host_port == 0 || raw.container_port == 0 {
            return Err(invalid(format!(
                "the port mapping {} to {} has port 0",
                raw.host_port, raw.container_port
            )));
        }
        let host = match raw.host_ip.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| invalid(format!("the hostIP {text:?} is no address")))?),
        };
        Ok(Self { host, protocol, host_port: raw.host_port, port: raw.container_port })
    }

    /// The element that leads to this pod's address; none when the mapping is for the other family.
    fn item(&self, pod: IpAddr) -> Option<Item> {
        if self.host.is_some_and(|host| host.is_ipv4() != pod.is_ipv4()) {
            return None;
        }
        let host = self.host.filter(|host| !host.is_unspecified());
        Some(Item::host_port(host, self.protocol, self.host_port, pod, self.port))
    }
}

fn conf_of(call: &Call) -> Result<Conf, Error> {
    let keys: Keys = call.keys()?;
    if keys.masq_all {
        return Err(Error::unsupported_field("masqAll", true));
    }
    if !matches!(keys.backend.as_str(), "" | "nftables") {
        return Err(Error::unsupported_field("backend", keys.backend));
    }
    if let Some(value) = keys.external_set_mark_chain.filter(|value| !value.is_null()) {
        return Err(Error::unsupported_field("externalSetMarkChain", value));
    }
    for (name, value) in [("conditionsV4", keys.conditions_v4), ("conditionsV6", keys.conditions_v6)] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            return Err(Error::unsupported_field(name, value.join(" ")));
        }
    }
    let mappings = raw_mappings(call)?.iter().map(Mapping::new).collect::<Result<Vec<_>, _>>()?;
    // markMasqBit is inert: nothing is marked, since the elements say what is masqueraded.
    Ok(Conf { snat: keys.snat, table: ruleset::table_of(call)?, mappings })
}

#[cfg(test)]
pub(crate) fn decode(call: &Call) -> Result<(), Error> {
    let result = call.prev_result()?.unwrap_or_default();
    conf_of(call).map(|conf| drop(items(&conf, &result)))
}

fn raw_mappings(call: &Call) -> Result<Vec<PortMapping>, Error> {
    let Some(raw) = call.conf.runtime_config.get("portMappings").filter(|value| !value.is_null()) else {
        return Ok(Vec::new());
    };
    go_json::from_value(raw.clone()).map_err(|error| {
        Error::new(Code::INVALID_CONFIG, format!("decoding runtimeConfig.portMappings: {error}"))
    })
}

/// The elements of all mappings, for the first address of each family.
fn items(conf: &Conf, result: &NetResult) -> Vec<Item> {
    let mut items = Vec::new();
    for is_v4 in [true, false] {
        let Some(network) = result.container_addresses().find(|cidr| cidr.addr.is_ipv4() == is_v4) else {
            continue;
        };
        let pod = network.addr;
        let ports: Vec<_> = conf.mappings.iter().filter_map(|mapping| mapping.item(pod)).collect();
        if ports.is_empty() {
            continue;
        }
        items.extend(ports);
        if conf.snat {
            items.push(Item::hairpin(network, pod));
            if is_v4 {
                items.push(Item::snat(pod));
            }
        }
    }
    items
}

fn host_interfaces(result: &NetResult) -> impl Iterator<Item = &str> {
    result
        .interfaces
        .iter()
        .filter(|interface| interface.sandbox.is_empty())
        .map(|interface| interface.name.as_str())
}

fn add<'a>(call: &'a Call, effects: &mut Effects<'a>) -> Result<NetResult, Error> {
    let conf = conf_of(call)?;
    let result = call.prev_result()?.ok_or_else(|| {
        Error::new(Code::INVALID_CONFIG, "portmap needs prevResult: it follows another plugin in a list")
    })?;
    let items = items(&conf, &result);
    if items.is_empty() {
        return Ok(result);
    }
    if conf.snat {
        effects.perform(Effect::PrepareInterfaces, || prepare_interfaces(&result))?;
    }
    let (owner, table) = (call.owner(), conf.table.clone());
    effects.undoable(
        Effect::AddElements,
        || Ruleset::open(&conf.table)?.put(&items, &owner),
        move || Ruleset::open(&table)?.remove_last(&PORTMAP_KINDS, &call.owner()),
    )?;
    forget_flows(&conf.mappings, effects)?;
    Ok(result)
}

/// Prepares the host's interfaces to the pod for two ways that a packet otherwise does not take.
///
/// - From 127.0.0.0/8: the interface that routes to the pod must allow it. A port of a bridge routes nothing: the bridge does.
/// - From the pod to its own port of the host: where br_netfilter translates within the bridge, the packet goes back through
///   the port that it came from, which a bridge does in hairpin mode only.
fn prepare_interfaces(result: &NetResult) -> Result<(), Error> {
    let failed = |text: String| Error::new(Code::PLUGIN, text);
    let mut netlink = Netlink::open().map_err(|error| failed(format!("opening rtnetlink: {error}")))?;
    let in_bridge = sysctl::get("net/bridge/bridge-nf-call-iptables").is_ok_and(|value| value != "0");
    for name in host_interfaces(result) {
        let Some(link) = netlink.link(name).map_err(|error| failed(error.to_string()))? else { continue };
        if link.master.is_none() {
            let key = format!("net/ipv4/conf/{name}/route_localnet");
            sysctl::set(&key, "1").map_err(|error| failed(format!("setting {key}: {error}")))?;
        } else if in_bridge && !link.hairpin {
            netlink.set_hairpin(name, true).map_err(|error| failed(error.to_string()))?;
        }
    }
    Ok(())
}

fn forget_flows(mappings: &[Mapping], effects: &mut Effects<'_>) -> Result<(), Error> {
    let udp: Vec<_> = mappings.iter().filter(|mapping| mapping.protocol == UDP).collect();
    if udp.is_empty() {
        return Ok(());
    }
    effects.perform(Effect::ForgetFlows, || {
        let mut nft =
            Nft::open().map_err(|error| Error::new(Code::PLUGIN, format!("opening nfnetlink: {error}")))?;
        for mapping in udp {
            let host = mapping.host.filter(|host| !host.is_unspecified());
            conntrack::forget_udp(&mut nft, host, mapping.host_port)
                .map_err(|error| Error::new(Code::PLUGIN, error.to_string()))?;
        }
        Ok(())
    })
}

/// By owner and not by port, so that it works without runtimeConfig, or with one that ADD refused, and never takes a port
/// from its next owner.
fn del(call: &Call) -> Result<(), Error> {
    let table = ruleset::table_of(call)?;
    let mappings: Vec<_> =
        raw_mappings(call).iter().flatten().filter_map(|raw| Mapping::new(raw).ok()).collect();
    let mut effects = Effects::new();
    let removed = effects.perform(Effect::RemoveElements, || {
        Ruleset::open(&table)?.remove_last(&PORTMAP_KINDS, &call.owner())
    });
    all([removed, forget_flows(&mappings, &mut effects)])
}

fn check(call: &Call) -> Result<(), Error> {
    let conf = conf_of(call)?;
    let result = call.prev_result()?.unwrap_or_default();
    Ruleset::open(&conf.table)?.check(&items(&conf, &result), &call.owner())
}

fn status(call: &Call) -> Result<(), Error> {
    let unavailable = |error: Error| Error { code: Code::NOT_AVAILABLE, ..error };
    Ruleset::open(&conf_of(call)?.table).map(drop).map_err(unavailable)
}

fn gc(call: &Call) -> Result<(), Error> {
    let table = ruleset::table_of(call)?;
    let valid = call.valid_owners()?;
    Effects::new().perform(Effect::RemoveElements, || {
        Ruleset::open(&table)?.collect(&PORTMAP_KINDS, &call.conf.name, &valid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(protocol: &str, host_ip: &str, host_port: u16) -> PortMapping {
        PortMapping { host_port, container_port: 80, protocol: protocol.into(), host_ip: host_ip.into() }
    }

    #[test]
    fn a_mapping_is_checked() {
        assert_eq!(Mapping::new(&raw("UDP", "", 53)).unwrap().protocol, UDP);
        for bad in [raw("icmp", "", 1), raw("tcp", "", 0), raw("tcp", "localhost", 1)] {
            assert_eq!(Mapping::new(&bad).unwrap_err().code, 7, "{bad:?}");
        }
    }

    #[test]
    fn an_unspecified_host_address_means_all_of_its_family() {
        let (v4, v6): (IpAddr, IpAddr) = ("10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap());
        let item = |host: &str, pod| Mapping::new(&raw("tcp", host, 8080)).unwrap().item(pod);
        assert_eq!(item("0.0.0.0", v4), item("", v4));
        assert_eq!(item("0.0.0.0", v6), None);
        assert_eq!(item("::", v6), item("", v6));
        assert_ne!(item("127.0.0.1", v4), item("", v4));
        assert!(item("10.9.0.1", v4).unwrap().claim.contains("10.9.0.1 8080/tcp"));
    }
}
