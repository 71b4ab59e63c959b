//! Interfaces: bridges, veth pairs, and their settings.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkExtentMask,
    LinkFlags, LinkInfo, LinkMessage,
};
use rustix::io::Errno;

use super::Netlink;
use crate::error::Error;
use crate::netns::NetNs;

/// What is known of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of it, unique in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; empty when it has none.
    pub mac: Vec<u8>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it was switched on.
    pub up: bool,
    /// Whether it takes every frame.
    pub promiscuous: bool,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// Its kind, such as `bridge`; empty for hardware.
    pub kind: String,
    /// The index of its other half, for a veth.
    pub peer: Option<u32>,
    /// As a port of a bridge, whether a frame may go back where it came from.
    pub hairpin: bool,
}

/// The half of a veth pair that goes to another namespace.
#[derive(Debug)]
pub struct Peer<'a> {
    /// Its name there.
    pub name: &'a str,
    /// Its hardware address; the kernel's choice when none.
    pub mac: Option<[u8; 6]>,
    /// The namespace.
    pub netns: &'a NetNs,
}

impl Netlink {
    /// The interface of this name.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
        ];
        match self.request(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(answers) => Ok(answers.into_iter().find_map(read)),
            Err(Errno::NODEV) => Ok(None),
            Err(errno) => Err(Error::new("looking up link", name, errno)),
        }
    }

    /// All interfaces.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        let answers = self
            .request(RouteNetlinkMessage::GetLink(message), NLM_F_DUMP)
            .map_err(|errno| Error::new("listing links", "", errno))?;
        Ok(answers.into_iter().filter_map(read).collect())
    }

    /// Makes a bridge that is up. A given hardware address stays; otherwise the lowest one of its ports would be taken.
    pub fn add_bridge(&mut self, name: &str, mac: [u8; 6], mtu: Option<u32>) -> Result<(), Error> {
        let mut message = up_message();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.to_vec()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.create(message).map_err(|errno| Error::new("adding bridge", name, errno))
    }

    /// Makes a veth pair in one message: this half is up and a port of `master` here, the other waits in its namespace. It cannot
    /// be made up, since the kernel ties the halves together only after it has opened the other one.
    pub fn add_veth(
        &mut self,
        name: &str,
        master: Option<u32>,
        mtu: Option<u32>,
        peer: &Peer<'_>,
    ) -> Result<(), Error> {
        let mut inner = LinkMessage::default();
        inner.attributes = vec![
            LinkAttribute::IfName(peer.name.to_owned()),
            LinkAttribute::NetNsFd(peer.netns.as_fd().as_raw_fd()),
        ];
        inner.attributes.extend(peer.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        inner.attributes.extend(mtu.map(LinkAttribute::Mtu));
        let mut message = up_message();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inner))),
            ]),
        ];
        message.attributes.extend(mtu.map(LinkAttribute::Mtu));
        message.attributes.extend(master.map(LinkAttribute::Controller));
        self.create(message).map_err(|errno| Error::new("adding veth", name, errno))
    }

    fn create(&mut self, message: LinkMessage) -> Result<(), Errno> {
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Removes an interface; one that is gone is fine.
    pub fn delete_link(&mut self, name: &str) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        match self.request(RouteNetlinkMessage::DelLink(message), 0) {
            Ok(_) | Err(Errno::NODEV) => Ok(()),
            Err(errno) => Err(Error::new("deleting link", name, errno)),
        }
    }

    /// Switches an interface on or off.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<(), Error> {
        self.set_flag(index, LinkFlags::Up, up).map_err(|errno| Error::new("switching link", index, errno))
    }

    /// Lets an interface take every frame, or only its own.
    pub fn set_promiscuous(&mut self, index: u32, on: bool) -> Result<(), Error> {
        self.set_flag(index, LinkFlags::Promisc, on)
            .map_err(|errno| Error::new("setting promiscuity of link", index, errno))
    }

    /// Gives an interface a hardware address. One that a bridge was given stays; otherwise it has its lowest port's.
    pub fn set_mac(&mut self, index: u32, mac: &[u8]) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::Address(mac.to_vec())];
        self.request(RouteNetlinkMessage::SetLink(message), 0)
            .map(drop)
            .map_err(|errno| Error::new("setting hardware address of link", index, errno))
    }

    fn set_flag(&mut self, index: u32, flag: LinkFlags, on: bool) -> Result<(), Errno> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.change_mask = flag;
        message.header.flags = if on { flag } else { LinkFlags::empty() };
        self.request(RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }

    /// Lets a port of a bridge send a frame back where it came from.
    pub fn set_hairpin(&mut self, name: &str, on: bool) -> Result<(), Error> {
        self.set_port(name, InfoBridgePort::HairpinMode(on))
            .map_err(|errno| Error::new("setting hairpin mode of link", name, errno))
    }

    /// Keeps a port of a bridge from the other ports that are isolated as well.
    pub fn set_isolated(&mut self, name: &str, on: bool) -> Result<(), Error> {
        self.set_port(name, InfoBridgePort::Isolated(on))
            .map_err(|errno| Error::new("setting isolation of link", name, errno))
    }

    fn set_port(&mut self, name: &str, setting: InfoBridgePort) -> Result<(), Errno> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::PortKind(InfoPortKind::Bridge),
                LinkInfo::PortData(InfoPortData::BridgePort(vec![setting])),
            ]),
        ];
        self.request(RouteNetlinkMessage::NewLink(message), 0).map(drop)
    }
}

fn up_message() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn read(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        promiscuous: message.header.flags.contains(LinkFlags::Promisc),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Link(index) => link.peer = Some(index),
            LinkAttribute::LinkInfo(infos) => read_info(infos, &mut link),
            _ => {}
        }
    }
    Some(link)
}

fn read_info(infos: Vec<LinkInfo>, link: &mut Link) {
    for info in infos {
        match info {
            LinkInfo::Kind(kind) => link.kind = kind.to_string(),
            LinkInfo::PortData(InfoPortData::BridgePort(settings)) => {
                link.hairpin = settings.contains(&InfoBridgePort::HairpinMode(true));
            }
            _ => {}
        }
    }
}
