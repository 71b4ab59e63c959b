//! Addresses and routes.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::Netlink;
use crate::error::Error;

/// A route to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// The destination's address.
    pub dst: IpAddr,
    /// The destination's prefix length.
    pub prefix: u8,
    /// The next hop; none for a destination on the link.
    pub gateway: Option<IpAddr>,
    /// The interface.
    pub link: u32,
    /// The path MTU; 0 for the link's.
    pub mtu: u32,
    /// The maximal segment size to advertise; 0 for the kernel's choice.
    pub advmss: u32,
    /// The metric; 0 for the kernel's choice.
    pub priority: u32,
    /// The table; none for the main one.
    pub table: Option<u32>,
    /// The kernel's number of the scope; none for the usual one of the kind of route.
    pub scope: Option<u8>,
}

impl RouteSpec {
    /// A plain route through an interface.
    pub fn new(dst: IpAddr, prefix: u8, gateway: Option<IpAddr>, link: u32) -> Self {
        Self { dst, prefix, gateway, link, mtu: 0, advmss: 0, priority: 0, table: None, scope: None }
    }
}

impl Netlink {
    /// Gives an interface an address. IPv6 addresses skip duplicate address detection, which would take a second: whoever
    /// gives out the address answers for its uniqueness. An address that is there already is `EEXIST`.
    pub fn add_address(&mut self, link: u32, addr: IpAddr, prefix: u8) -> Result<(), Error> {
        let mut message = address_message(link, addr, prefix);
        if let IpAddr::V4(v4) = addr {
            if let Some(mask) = u32::MAX.checked_shr(prefix.into()).filter(|_| prefix < 31) {
                message.attributes.push(AddressAttribute::Broadcast((v4.to_bits() | mask).into()));
            }
        } else {
            message.header.flags = AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
            .map_err(|errno| Error::new("adding address", format_args!("{addr}/{prefix}"), errno))
    }

    /// Takes an address from an interface; one that is gone is fine.
    pub fn delete_address(&mut self, link: u32, addr: IpAddr, prefix: u8) -> Result<(), Error> {
        let message = address_message(link, addr, prefix);
        match self.request(RouteNetlinkMessage::DelAddress(message), 0) {
            Ok(_) | Err(Errno::ADDRNOTAVAIL | Errno::NODEV) => Ok(()),
            Err(errno) => Err(Error::new("deleting address", format_args!("{addr}/{prefix}"), errno)),
        }
    }

    /// The addresses of an interface with their prefix lengths.
    pub fn addresses(&mut self, link: u32) -> Result<Vec<(IpAddr, u8)>, Error> {
        let answers = self
            .request(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)
            .map_err(|errno| Error::new("listing addresses of link", link, errno))?;
        let mut found = Vec::new();
        for answer in answers {
            let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
            if message.header.index != link {
                continue;
            }
            // IFA_LOCAL is the own address where there are both; IPv6 has only IFA_ADDRESS.
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(addr) => Some(*addr),
                _ => None,
            });
            let any = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(addr) => Some(*addr),
                _ => None,
            });
            found.extend(local.or(any).map(|addr| (addr, message.header.prefix_len)));
        }
        Ok(found)
    }

    /// Adds a route. One that is there already is `EEXIST`.
    pub fn add_route(&mut self, route: &RouteSpec) -> Result<(), Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(route.dst);
        message.header.destination_prefix_length = route.prefix;
        message.header.table = route.table.map_or(254, |table| u8::try_from(table).unwrap_or(0));
        message.header.protocol = RouteProtocol::Boot;
        message.header.kind = RouteType::Unicast;
        message.header.scope = match (route.scope, route.gateway) {
            (Some(scope), _) => RouteScope::from(scope),
            (None, Some(_)) => RouteScope::Universe,
            (None, None) => RouteScope::Link,
        };
        if route.prefix > 0 {
            message.attributes.push(RouteAttribute::Destination(RouteAddress::from(route.dst)));
        }
        message.attributes.push(RouteAttribute::Oif(route.link));
        message.attributes.extend(route.gateway.map(|gw| RouteAttribute::Gateway(RouteAddress::from(gw))));
        message.attributes.extend(route.table.map(RouteAttribute::Table));
        if route.priority != 0 {
            message.attributes.push(RouteAttribute::Priority(route.priority));
        }
        let mut metrics = Vec::new();
        if route.mtu != 0 {
            metrics.push(RouteMetric::Mtu(route.mtu));
        }
        if route.advmss != 0 {
            metrics.push(RouteMetric::Advmss(route.advmss));
        }
        if !metrics.is_empty() {
            message.attributes.push(RouteAttribute::Metrics(metrics));
        }
        message.header.flags = RouteFlags::empty();
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL).map(drop).map_err(
            |errno| Error::new("adding route", format_args!("{}/{}", route.dst, route.prefix), errno),
        )
    }

    /// The routes of the main table through an interface: destination, prefix length and next hop.
    pub fn routes(&mut self, link: u32) -> Result<Vec<(IpAddr, u8, Option<IpAddr>)>, Error> {
        let mut found = Vec::new();
        for unspecified in [IpAddr::from([0; 4]), IpAddr::from([0; 16])] {
            let mut message = RouteMessage::default();
            message.header.address_family = family(unspecified);
            let answers = self
                .request(RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)
                .map_err(|errno| Error::new("listing routes of link", link, errno))?;
            for answer in answers {
                let RouteNetlinkMessage::NewRoute(message) = answer else { continue };
                let has_link = message.attributes.contains(&RouteAttribute::Oif(link));
                if message.header.table == 254 && has_link {
                    let (dst, gateway) = ends(&message, unspecified);
                    found.push((dst, message.header.destination_prefix_length, gateway));
                }
            }
        }
        Ok(found)
    }
}

fn ends(message: &RouteMessage, unspecified: IpAddr) -> (IpAddr, Option<IpAddr>) {
    let addr = |address: &RouteAddress| match address {
        RouteAddress::Inet(addr) => Some(IpAddr::V4(*addr)),
        RouteAddress::Inet6(addr) => Some(IpAddr::V6(*addr)),
        _ => None,
    };
    let (mut dst, mut gateway) = (unspecified, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => dst = addr(address).unwrap_or(dst),
            RouteAttribute::Gateway(address) => gateway = addr(address),
            _ => {}
        }
    }
    (dst, gateway)
}

fn address_message(link: u32, addr: IpAddr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(addr);
    message.header.prefix_len = prefix;
    message.header.index = link;
    message.attributes = vec![AddressAttribute::Local(addr), AddressAttribute::Address(addr)];
    message
}

fn family(addr: IpAddr) -> AddressFamily {
    if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
