//! CHECK: whether the attachment is as prevResult says. What later plugins may have changed is not compared.

use api_cni::{Code, Error, NetResult};
use sys::netlink::Netlink;

use super::conf::Conf;
use super::{failed, host_name, mac_text, masq_items, open_netlink};
use crate::call::Call;
use crate::ipam;
use crate::ruleset::Ruleset;

fn wrong<T>(text: String) -> Result<T, Error> {
    Err(Error::new(Code::CHECK, text))
}

pub(super) fn check(call: &Call) -> Result<(), Error> {
    let conf = Conf::of(call)?;
    let result = call.prev_result()?.unwrap_or_default();
    let mut outer = open_netlink()?;
    let Some(bridge) = outer.link(&conf.bridge).map_err(failed)? else {
        return wrong(format!("{} is gone", conf.bridge));
    };
    let host = host_name(&call.owner());
    match outer.link(&host).map_err(failed)? {
        None => return wrong(format!("{host} is gone")),
        Some(link) if link.master != Some(bridge.index) => {
            return wrong(format!("{host} is no port of {}", conf.bridge));
        }
        Some(link) if !link.up => return wrong(format!("{host} is down")),
        Some(_) => {}
    }
    check_container(call, &conf, &result)?;
    ipam::check(call)?;
    if conf.ip_masq {
        Ruleset::open(&conf.nft_table)?.check(&masq_items(&conf, &result), &call.owner())?;
    }
    Ok(())
}

fn check_container(call: &Call, conf: &Conf, result: &NetResult) -> Result<(), Error> {
    let netns = call.open_netns()?;
    let mut inner =
        Netlink::open_in(&netns).map_err(|error| Error::new(Code::INVALID_NETNS, error.to_string()))?;
    let place = result.interfaces.iter().position(|one| one.name == call.ifname && !one.sandbox.is_empty());
    let Some(place) = place else { return wrong(format!("prevResult does not have {}", call.ifname)) };
    let Some(link) = inner.link(&call.ifname).map_err(failed)? else {
        return wrong(format!("{} is gone", call.ifname));
    };
    if !link.up && !conf.disable_container_interface {
        return wrong(format!("{} is down", link.name));
    }
    let expected = &result.interfaces[place];
    if !expected.mac.is_empty() && mac_text(&link.mac) != expected.mac.to_lowercase() {
        return wrong(format!(
            "{} has the hardware address {}, not {}",
            link.name,
            mac_text(&link.mac),
            expected.mac
        ));
    }
    let held = inner.addresses(link.index).map_err(failed)?;
    for ip in result.ips.iter().filter(|ip| ip.interface == Some(place)) {
        if !held.contains(&(ip.address.addr, ip.address.prefix)) {
            return wrong(format!("{} does not have the address {}", link.name, ip.address));
        }
    }
    let routes = inner.routes(link.index).map_err(failed)?;
    for route in result.routes.iter().filter(|route| route.table.is_none()) {
        let same = |(dst, prefix, gw): &(std::net::IpAddr, u8, Option<std::net::IpAddr>)| {
            *dst == route.dst.network().addr
                && *prefix == route.dst.prefix
                && (route.gw.is_none() || *gw == route.gw)
        };
        if !routes.iter().any(same) {
            return wrong(format!("{} does not have the route {}", link.name, route.dst));
        }
    }
    Ok(())
}
