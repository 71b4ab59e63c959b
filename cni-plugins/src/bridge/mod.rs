//! bridge: connects the container to a bridge of the host by a veth pair.
//!
//! ```text
//! ADD  addresses ─▶ bridge (stays) ─▶ its gateway addresses ─▶ forwarding ─▶ veth pair ─▶ container's addresses, routes ─▶ masquerade
//! DEL  masquerade ─▶ veth pair ─▶ addresses        none needs the network namespace
//! ```
//! Two names are derived and not random. The host's end of the pair is named by a hash of the attachment, so that DEL finds it
//! without the namespace and without a memory of the ADD. The container's hardware address holds its IP address, so that a
//! neighbour entry for an address that was given out again is right already, and nothing need be announced.

use std::net::IpAddr;

use api_cni::{Cidr, Code, Error, Interface, NetResult, Route};
use sys::netlink::{Link, Netlink, Peer, RouteSpec};
use sys::netns::NetNs;
use sys::sysctl;

use crate::call::{Call, hash, owner};
use crate::effect::{Effect, Effects, all};
use crate::plugin::Plugin;
use crate::ruleset::{BRIDGE_KINDS, Item, Ruleset};
use crate::{forward, host_local, ipam, ruleset};

mod check;
mod conf;

use conf::Conf;

pub(crate) const PLUGIN: Plugin = Plugin { name: "bridge", add, del, check: check::check, status, gc };

#[cfg(test)]
pub(crate) fn decode(call: &Call) -> Result<(), Error> {
    let (conf, mut result) = (Conf::of(call)?, call.prev_result()?.unwrap_or_default());
    complete_gateways(&conf, &mut result)
}

fn failed(error: sys::Error) -> Error {
    Error::new(Code::PLUGIN, error.to_string())
}

fn open_netlink() -> Result<Netlink, Error> {
    Netlink::open().map_err(|error| Error::new(Code::PLUGIN, format!("opening rtnetlink: {error}")))
}

/// The name of the host's end: `veth` and 44 bits of the attachment's hash, which make 15 characters.
fn host_name(owner: &str) -> String {
    format!("veth{:011x}", hash(owner) >> 20)
}

/// A locally administered address that ends in the last four bytes of the IP address.
fn mac_of(addr: IpAddr) -> [u8; 6] {
    let tail = match addr {
        IpAddr::V4(addr) => addr.octets(),
        IpAddr::V6(addr) => (addr.to_bits() as u32).to_be_bytes(),
    };
    [0x0a, 0x58, tail[0], tail[1], tail[2], tail[3]]
}

fn mac_text(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn add<'a>(call: &'a Call, effects: &mut Effects<'a>) -> Result<NetResult, Error> {
    let conf = Conf::of(call)?;
    let netns = call.open_netns()?;
    let open_inner = |error| Error::new(Code::INVALID_NETNS, format!("entering {}: {error}", call.netns));
    let mut inner = Netlink::open_in(&netns).map_err(open_inner)?;
    if inner.link(&call.ifname).map_err(failed)?.is_some() {
        return Err(Error::new(Code::PLUGIN, format!("{} already exists in {}", call.ifname, call.netns)));
    }
    let mut result = ipam::add(call, effects)?;
    if !call.conf.ipam.kind.is_empty() && result.ips.is_empty() {
        return Err(Error::new(Code::PLUGIN, format!("{} gave no address", call.conf.ipam.kind)));
    }
    complete_gateways(&conf, &mut result)?;

    let mut outer = open_netlink()?;
    let bridge = effects.perform(Effect::MakeBridge, || make_bridge(&conf, &mut outer))?;
    let has_v6 = result.ips.iter().any(|ip| ip.address.addr.is_ipv6());
    // One socket for all: closing one waits while somebody's removals are being freed.
    let mut ruleset = Ruleset::open(&conf.nft_table)?;
    if conf.is_gateway {
        effects.perform(Effect::AddGateway, || add_gateways(&conf, &bridge, &result, &mut outer))?;
        effects.perform(Effect::EnableForwarding, || forward::enable(has_v6))?;
        effects.perform(Effect::AllowForwarding, || forward::allow(ruleset.nft(), &conf.bridge, has_v6))?;
    }

    let host = host_name(&call.owner());
    let mac = conf.mac.or_else(|| result.ips.first().map(|ip| mac_of(ip.address.addr)));
    let peer = Peer { name: &call.ifname, mac, netns: &netns };
    let undo_host = host.clone();
    effects.undoable(
        Effect::MakeVeth,
        || make_veth(&conf, &host, &bridge, &peer, &mut outer),
        move || open_netlink()?.delete_link(&undo_host).map_err(failed),
    )?;
    let link = effects.perform(Effect::SetUpContainer, || {
        set_up_container(call, &netns, &result, !conf.disable_container_interface, &mut inner)
    })?;

    if conf.ip_masq {
        let items = masq_items(&conf, &result);
        let table = conf.nft_table.clone();
        effects.undoable(
            Effect::AddElements,
            || ruleset.put(&items, &call.owner()),
            move || Ruleset::open(&table)?.remove_last(&BRIDGE_KINDS, &call.owner()),
        )?;
    }

    let bridge =
        if conf.is_gateway { bridge } else { outer.link(&conf.bridge).map_err(failed)?.unwrap_or(bridge) };
    let host_link = outer.link(&host).map_err(failed)?.unwrap_or_default();
    result.interfaces =
        vec![interface(&bridge, ""), interface(&host_link, ""), interface(&link, &call.netns)];
    for ip in &mut result.ips {
        ip.interface = Some(2);
    }
    if !call.conf.dns.is_empty() {
        result.dns = call.conf.dns.clone();
    }
    Ok(result)
}

fn interface(link: &Link, sandbox: &str) -> Interface {
    Interface {
        name: link.name.clone(),
        mac: mac_text(&link.mac),
        mtu: link.mtu,
        sandbox: sandbox.into(),
        ..Interface::default()
    }
}

/// Fills in what the IPAM plugin left open: the gateways, and a default route through them.
fn complete_gateways(conf: &Conf, result: &mut NetResult) -> Result<(), Error> {
    if !conf.is_gateway {
        return Ok(());
    }
    for ip in &mut result.ips {
        let first = Cidr::step(ip.address.network().addr, 1);
        ip.gateway = ip.gateway.or(first);
        let Some(gateway) = ip.gateway else { continue };
        if gateway == ip.address.addr {
            return Err(Error::new(
                Code::PLUGIN,
                format!("the container's address {gateway} is the gateway's"),
            ));
        }
        let of_family =
            |route: &Route| route.dst.is_default() && route.dst.addr.is_ipv4() == gateway.is_ipv4();
        if conf.is_default_gateway && !result.routes.iter().any(of_family) {
            let unspecified: IpAddr = if gateway.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            result.routes.push(Route::new(Cidr { addr: unspecified, prefix: 0 }, Some(gateway)));
        }
    }
    Ok(())
}

/// The bridge, made if need be. It is shared and stays.
fn make_bridge(conf: &Conf, outer: &mut Netlink) -> Result<Link, Error> {
    let mut found = outer.link(&conf.bridge).map_err(failed)?;
    if found.is_none() {
        // Stable over time, so that containers' neighbour entries survive when the bridge is made again.
        let bits = hash(&conf.bridge).to_be_bytes();
        let mac = [0x0a, 0x57, bits[0], bits[1], bits[2], bits[3]];
        match outer.add_bridge(&conf.bridge, mac, conf.mtu) {
            // Another ADD was faster.
            Err(error) if error.errno == rustix::io::Errno::EXIST => {}
            other => other.map_err(failed)?,
        }
        // No router may configure the bridge. The key is missing where there is no IPv6.
        let _ = sysctl::set(&format!("net/ipv6/conf/{}/accept_ra", conf.bridge), "0");
        for obstacle in forward::obstacles() {
            eprintln!("bridge {}: {obstacle}", conf.bridge);
        }
        found = outer.link(&conf.bridge).map_err(failed)?;
    }
    let link = found.ok_or_else(|| Error::new(Code::TRY_LATER, format!("{} went away", conf.bridge)))?;
    if link.kind != "bridge" {
        return Err(Error::new(Code::PLUGIN, format!("{} exists and is no bridge", conf.bridge)));
    }
    if !link.up {
        outer.set_up(link.index, true).map_err(failed)?;
    }
    if conf.promisc_mode && !link.promiscuous {
        outer.set_promiscuous(link.index, true).map_err(failed)?;
    }
    Ok(link)
}

/// Gives the bridge the gateways' addresses.
fn add_gateways(conf: &Conf, bridge: &Link, result: &NetResult, outer: &mut Netlink) -> Result<(), Error> {
    let held = outer.addresses(bridge.index).map_err(failed)?;
    let mut wanted: Vec<(IpAddr, u8)> =
        result.ips.iter().filter_map(|ip| Some((ip.gateway?, ip.address.prefix))).collect();
    wanted.sort();
    wanted.dedup();
    for (addr, prefix) in &wanted {
        if held.contains(&(*addr, *prefix)) {
            continue;
        }
        let net = Cidr { addr: *addr, prefix: *prefix };
        // IPv4: one gateway at a time, besides those of this very result. IPv6: as many as do not overlap.
        let rivals = held.iter().filter(|(other, length)| {
            other.is_ipv4() == addr.is_ipv4()
                && !wanted.contains(&(*other, *length))
                && (addr.is_ipv4() || (*length < 128 && !is_link_local(*other) && net.contains(*other)))
        });
        for (other, length) in rivals {
            if !conf.force_address {
                let text = format!("{} already has the address {other}/{length}, not {net}", conf.bridge);
                return Err(Error::new(Code::PLUGIN, text).with_details("forceAddress would replace it"));
            }
            outer.delete_address(bridge.index, *other, *length).map_err(failed)?;
        }
        // Whoever made the bridge may have left its hardware address to the kernel, which then changes with its ports.
        outer.set_mac(bridge.index, &bridge.mac).map_err(failed)?;
        match outer.add_address(bridge.index, *addr, *prefix) {
            Err(error) if error.errno == rustix::io::Errno::EXIST => {}
            other => other.map_err(failed)?,
        }
    }
    Ok(())
}

fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local())
}

fn make_veth(
    conf: &Conf,
    host: &str,
    bridge: &Link,
    peer: &Peer<'_>,
    outer: &mut Netlink,
) -> Result<(), Error> {
    let mut made = outer.add_veth(host, Some(bridge.index), conf.mtu, peer);
    if made.as_ref().is_err_and(|error| error.errno == rustix::io::Errno::EXIST) {
        // The name is this attachment's alone: a pair of that name is left from an ADD that died, in a namespace that went.
        outer.delete_link(host).map_err(failed)?;
        made = outer.add_veth(host, Some(bridge.index), conf.mtu, peer);
    }
    made.map_err(failed)?;
    if conf.hairpin_mode {
        outer.set_hairpin(host, true).map_err(failed)?;
    }
    if conf.port_isolation {
        outer.set_isolated(host, true).map_err(failed)?;
    }
    Ok(())
}

/// Addresses of the container's end, then up, then routes, which want an interface that is up.
fn set_up_container(
    call: &Call,
    netns: &NetNs,
    result: &NetResult,
    up: bool,
    inner: &mut Netlink,
) -> Result<Link, Error> {
    let link = inner.link(&call.ifname).map_err(failed)?;
    let link = link.ok_or_else(|| Error::new(Code::PLUGIN, format!("{} went away", call.ifname)))?;
    if result.ips.iter().any(|ip| ip.address.addr.is_ipv6()) {
        let key = format!("net/ipv6/conf/{}/disable_ipv6", call.ifname);
        netns
            .run(|| sysctl::set(&key, "0"))
            .map_err(|error| Error::new(Code::PLUGIN, format!("setting {key}: {error}")))?;
    }
    for ip in &result.ips {
        inner.add_address(link.index, ip.address.addr, ip.address.prefix).map_err(failed)?;
    }
    if up {
        inner.set_up(link.index, true).map_err(failed)?;
    }
    for route in &result.routes {
        let family = |ip: &&api_cni::IpConfig| ip.address.addr.is_ipv4() == route.dst.addr.is_ipv4();
        let gateway = route.gw.or_else(|| result.ips.iter().find(family)?.gateway);
        let spec = RouteSpec {
            mtu: route.mtu,
            advmss: route.advmss,
            priority: route.priority,
            table: route.table,
            scope: route.scope,
            ..RouteSpec::new(route.dst.network().addr, route.dst.prefix, gateway, link.index)
        };
        match inner.add_route(&spec) {
            // The network's own route came with the address.
            Err(error) if error.errno == rustix::io::Errno::EXIST => {}
            other => other.map_err(failed)?,
        }
    }
    Ok(link)
}

fn masq_items(conf: &Conf, result: &NetResult) -> Vec<Item> {
    let pods = result.ips.iter().map(|ip| ip.address.addr);
    pods.flat_map(|pod| [Item::masq(pod), Item::local(pod, &conf.bridge)]).collect()
}

fn del(call: &Call) -> Result<(), Error> {
    let table = ruleset::table_of(call)?;
    let mut effects = Effects::new();
    let host = host_name(&call.owner());
    // The socket is closed at the end: until the link is gone, the kernel has freed the elements, too, and closing waits no more.
    let mut ruleset = Ruleset::open(&table);
    let masq = effects.perform(Effect::RemoveElements, || {
        let ruleset = ruleset.as_mut().map_err(|error| error.clone())?;
        ruleset.remove(&BRIDGE_KINDS, &call.owner()).map(drop)
    });
    let link = effects.perform(Effect::DeleteVeth, || open_netlink()?.delete_link(&host).map_err(failed));
    all([masq, link, ipam::del(call)])
}

fn status(call: &Call) -> Result<(), Error> {
    Conf::of(call)?;
    ipam::status(call)
}

/// A lease is given back only after its interface is gone, or the address would be there twice.
fn gc(call: &Call) -> Result<(), Error> {
    let table = ruleset::table_of(call)?;
    let valid = call.valid_owners()?;
    let name = &call.conf.name;
    let stale =
        if call.conf.ipam.kind == host_local::NAME { host_local::stale_leases(call)? } else { Vec::new() };
    let mut effects = Effects::new();
    let links = effects.perform(Effect::DeleteVeth, || {
        let mut outer = open_netlink()?;
        all(stale.iter().map(|lease| {
            outer.delete_link(&host_name(&owner(name, &lease.container_id, &lease.ifname))).map_err(failed)
        }))
    });
    let addresses = ipam::gc(call);
    let masq = effects
        .perform(Effect::RemoveElements, || Ruleset::open(&table)?.collect(&BRIDGE_KINDS, name, &valid));
    all([links, addresses, masq])
}
