//! loopback: brings up `lo` in the container.

use api_cni::{Cidr, Code, Error, Interface, IpConfig, NetResult};
use sys::netlink::Netlink;

use crate::call::Call;
use crate::effect::{Effect, Effects};
use crate::plugin::Plugin;

pub(crate) const PLUGIN: Plugin =
    Plugin { name: "loopback", add, del, check, status: |_| Ok(()), gc: |_| Ok(()) };

const LO: &str = "lo";

fn add<'a>(call: &'a Call, effects: &mut Effects<'a>) -> Result<NetResult, Error> {
    let mut netlink = open(call)?;
    let index = effects.perform(Effect::SetLoopback, || switch(&mut netlink, true))?;
    if let Some(prev) = call.prev_result()? {
        return Ok(prev);
    }
    let addresses = netlink.addresses(index).map_err(failed)?;
    let ips = addresses.into_iter().filter_map(|(addr, prefix)| {
        let address = Cidr::new(addr, prefix)?;
        addr.is_loopback().then_some(IpConfig { interface: Some(0), address, gateway: None })
    });
    Ok(NetResult {
        interfaces: vec![Interface {
            name: LO.into(),
            mac: "00:00:00:00:00:00".into(),
            sandbox: call.netns.clone(),
            ..Interface::default()
        }],
        ips: ips.collect(),
        ..NetResult::default()
    })
}

fn del(call: &Call) -> Result<(), Error> {
    // With the namespace its loopback is gone, too.
    let Ok(netns) = call.open_netns() else { return Ok(()) };
    let mut netlink =
        Netlink::open_in(&netns).map_err(|error| Error::new(Code::PLUGIN, error.to_string()))?;
    Effects::new().perform(Effect::SetLoopback, || switch(&mut netlink, false)).map(drop)
}

fn check(call: &Call) -> Result<(), Error> {
    let link = open(call)?.link(LO).map_err(failed)?;
    if link.is_some_and(|link| link.up) { Ok(()) } else { Err(Error::new(Code::CHECK, "loopback is down")) }
}

fn open(call: &Call) -> Result<Netlink, Error> {
    Netlink::open_in(&call.open_netns()?).map_err(|error| Error::new(Code::PLUGIN, error.to_string()))
}

fn switch(netlink: &mut Netlink, up: bool) -> Result<u32, Error> {
    let link = netlink.link(LO).map_err(failed)?;
    let link = link.ok_or_else(|| Error::new(Code::PLUGIN, "the network namespace has no loopback"))?;
    netlink.set_up(link.index, up).map_err(failed)?;
    Ok(link.index)
}

fn failed(error: sys::Error) -> Error {
    Error::new(Code::PLUGIN, error.to_string())
}
