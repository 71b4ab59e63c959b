//! Address translation as elements of one fixed nftables table.
//!
//! ```text
//! table inet orlop-cni
//!   guard        raw        not from lo, to 127.0.0.0/8                    drop     (hosts ports on localhost open no door)
//!   prerouting   dstnat     to this host                                   jump hostports
//!   output       dstnat     to this host                                   jump hostports
//!   hostports               (daddr . proto . port) in @hostport_ips4       dnat to the value
//!                           (proto . port) in @hostports4                  dnat to the value
//!   postrouting  srcnat     translated, (saddr . daddr) in @hairpin4       masquerade   (pod to pod by the host's port)
//!                           translated, from 127.0.0.0/8, daddr in @snat4  masquerade   (localhost to pod)
//!                           (saddr . oif) in @local4                       return       (stays in the pod's own network)
//!                           saddr in @masq4, daddr not 224.0.0.0/4         masquerade   (pod to outside)
//! ```
//! and the same with 6. The chains are made with the first pod and stay; a pod is elements only, so one costs the same as
//! a thousand, and no lock is held. Every element carries its owner as a comment, and only the owner's DEL removes it:
//! that is decided at one generation of the ruleset, and a commit at another one is refused by the kernel and decided again.

use std::net::IpAddr;

use api_cni::{Cidr, Code, Error};
use rustix::io::Errno;
use serde::Deserialize;
use sys::netns::NetNs;
use sys::nft::expr::{Expr, Meta, Part, Reg, Verdict, ifname, join};
use sys::nft::{Batch, Chain, Family, Hook, Key, Nft, Set};

use crate::call::Call;

/// The table, when the configuration names no other.
const TABLE: &str = "orlop-cni";
const FAMILY: Family = Family::Inet;

/// The key of the table in a plugin's configuration; ours, no other implementation knows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TableKey {
    #[serde(default)]
    nft_table: String,
}

/// The table to use. Nothing else of the configuration is looked at: a DEL must work with one that an ADD refused.
pub(crate) fn table_of(call: &Call) -> Result<String, Error> {
    let TableKey { nft_table } = call.keys()?;
    // The kernel's limit is 255 bytes; an empty name is no name.
    match nft_table.len() {
        0 => Ok(TABLE.into()),
        1..256 if !nft_table.contains('\0') => Ok(nft_table),
        _ => Err(Error::new(Code::INVALID_CONFIG, format!("nftTable {nft_table:?} cannot name a table"))),
    }
}

/// The sets and maps of one address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pods whose traffic to the outside takes the host's address.
    Masq,
    /// Pods and the interface to their own network.
    Local,
    /// Protocol and port of the host, to address and port of a pod.
    HostPort,
    /// The same for one address of the host.
    HostPortIp,
    /// Pods with ports on the host, after the networks whose answers would not come back through the host. It is a set of
    /// ranges, and does not look at interfaces: with br_netfilter such a packet has no incoming one when it leaves.
    Hairpin,
    /// Pods with ports on the host that localhost reaches.
    Snat,
}

/// What a bridge makes.
pub(crate) const BRIDGE_KINDS: [Kind; 2] = [Kind::Masq, Kind::Local];
/// What portmap makes.
pub(crate) const PORTMAP_KINDS: [Kind; 4] = [Kind::HostPort, Kind::HostPortIp, Kind::Hairpin, Kind::Snat];
const ALL: [Kind; 6] = [Kind::Masq, Kind::Local, Kind::HostPort, Kind::HostPortIp, Kind::Hairpin, Kind::Snat];

impl Kind {
    fn set(self, v6: bool) -> &'static str {
        match (self, v6) {
            (Self::Masq, false) => "masq4",
            (Self::Masq, true) => "masq6",
            (Self::Local, false) => "local4",
            (Self::Local, true) => "local6",
            (Self::HostPort, false) => "hostports4",
            (Self::HostPort, true) => "hostports6",
            (Self::HostPortIp, false) => "hostport_ips4",
            (Self::HostPortIp, true) => "hostport_ips6",
            (Self::Hairpin, false) => "hairpin4",
            (Self::Hairpin, true) => "hairpin6",
            (Self::Snat, false) => "snat4",
            (Self::Snat, true) => "snat6",
        }
    }

    fn parts(self, addr: Part) -> (Vec<Part>, Vec<Part>) {
        match self {
            Self::Masq | Self::Snat => (vec![addr], vec![]),
            Self::Local => (vec![addr, Part::Ifname], vec![]),
            Self::HostPort => (vec![Part::Protocol, Part::Port], vec![addr, Part::Port]),
            Self::HostPortIp => (vec![addr, Part::Protocol, Part::Port], vec![addr, Part::Port]),
            Self::Hairpin => (vec![addr, addr], vec![]),
        }
    }
}

/// An element to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    kind: Kind,
    v6: bool,
    key: Key,
    value: Vec<u8>,
    /// What it is in words, for the error when another owner has it. Empty: the owner of the address takes it over.
    pub(crate) claim: String,
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

impl Item {
    fn new(kind: Kind, pod: IpAddr, parts: &[&[u8]]) -> Self {
        Self { kind, v6: pod.is_ipv6(), key: Key::one(parts), value: Vec::new(), claim: String::new() }
    }

    /// The pod's traffic to the outside takes the host's address.
    pub(crate) fn masq(pod: IpAddr) -> Self {
        Self::new(Kind::Masq, pod, &[&octets(pod)])
    }

    /// But not what leaves by this interface.
    pub(crate) fn local(pod: IpAddr, interface: &str) -> Self {
        Self::new(Kind::Local, pod, &[&octets(pod), &ifname(interface)])
    }

    /// A port of the host, or of one address of it, leads to a port of the pod.
    pub(crate) fn host_port(
        host: Option<IpAddr>,
        protocol: u8,
        host_port: u16,
        pod: IpAddr,
        port: u16,
    ) -> Self {
        let (protocol_byte, port_bytes) = ([protocol], host_port.to_be_bytes());
        let item = match host {
            None => Self::new(Kind::HostPort, pod, &[&protocol_byte, &port_bytes]),
            Some(host) => Self::new(Kind::HostPortIp, pod, &[&octets(host), &protocol_byte, &port_bytes]),
        };
        let host = host.map_or_else(String::new, |host| format!("{host} "));
        let name = match protocol {
            6 => "tcp",
            17 => "udp",
            _ => "sctp",
        };
        let claim = format!("the host's port {host}{host_port}/{name}");
        Self { value: join(&[&octets(pod), &port.to_be_bytes()]), claim, ..item }
    }

    /// What comes from the pod's own network by a port of the host takes the host's address.
    pub(crate) fn hairpin(network: Cidr, pod: IpAddr) -> Self {
        let (first, last, pod_bytes) = (octets(network.network().addr), octets(network.last()), octets(pod));
        let key = Key::range(&[&first, &pod_bytes], &[&last, &pod_bytes]);
        Self { key, ..Self::new(Kind::Hairpin, pod, &[]) }
    }

    /// What comes from localhost takes the host's address.
    pub(crate) fn snat(pod: IpAddr) -> Self {
        Self::new(Kind::Snat, pod, &[&octets(pod)])
    }

    fn set(&self) -> &'static str {
        self.kind.set(self.v6)
    }
}

/// The table of one configuration.
pub(crate) struct Ruleset<'a> {
    table: &'a str,
    nft: Nft,
}

fn failed(error: sys::Error) -> Error {
    Error::new(Code::PLUGIN, error.to_string())
}

impl<'a> Ruleset<'a> {
    /// The socket, for reading other tables.
    pub(crate) fn nft(&mut self) -> &mut Nft {
        &mut self.nft
    }

    /// Opens a socket; the table itself is made when it is missed.
    pub(crate) fn open(table: &'a str) -> Result<Self, Error> {
        let nft =
            Nft::open().map_err(|error| Error::new(Code::PLUGIN, format!("opening nfnetlink: {error}")))?;
        Ok(Self { table, nft })
    }

    /// Adds elements for an owner, all or none.
    ///
    /// One that is there is replaced when it is the owner's, from an ADD that died, or when it claims nothing but an address,
    /// which IPAM gave to this owner. A claim of another owner is refused by name.
    pub(crate) fn put(&mut self, items: &[Item], owner: &str) -> Result<(), Error> {
        let mut replaced: Vec<(&Item, Key)> = Vec::new();
        for _ in 0..TRIES {
            let mut batch = Batch::new();
            for (item, key) in &replaced {
                batch.delete_element(FAMILY, self.table, item.set(), key);
            }
            for item in items {
                batch.add_element(FAMILY, self.table, item.set(), &item.key, &item.value, owner);
            }
            match self.nft.commit(&batch) {
                Ok(()) => return Ok(()),
                // No table, or one of an older version; or what was to be replaced has gone meanwhile.
                Err(error) if error.errno == Errno::NOENT => self.make_table()?,
                // A key is there, or a range that overlaps.
                Err(error) if matches!(error.errno, Errno::EXIST | Errno::NOTEMPTY) => {}
                Err(error) => return Err(failed(error)),
            }
            replaced.clear();
            for item in items {
                match self.nft.element(FAMILY, self.table, item.set(), &item.key).map_err(failed)? {
                    Some(found) if found.comment != owner && !item.claim.is_empty() => {
                        let text = format!("{} is taken by {:?}", item.claim, found.comment);
                        return Err(Error::new(Code::PLUGIN, text));
                    }
                    Some(found) => replaced.push((item, found.key)),
                    None => {}
                }
            }
        }
        Err(Error::new(Code::TRY_LATER, "the nftables ruleset kept changing"))
    }

    /// Removes the owner's elements; another owner's stay, whatever their key. Returns whether others removed something at the
    /// same time, and [`Nft::settle`] is better called before closing.
    pub(crate) fn remove(&mut self, kinds: &[Kind], owner: &str) -> Result<bool, Error> {
        self.remove_if(kinds, &|comment| comment == owner)
    }

    /// Removes the elements of a network whose owners are not valid.
    pub(crate) fn collect(&mut self, kinds: &[Kind], network: &str, valid: &[String]) -> Result<(), Error> {
        let prefix = format!("{network} ");
        self.remove_if(kinds, &|comment| {
            comment.starts_with(&prefix) && !valid.iter().any(|owner| owner == comment)
        })
        .map(drop)
    }

    /// Removes the owner's elements and closes the socket, which the kernel makes wait for the end of the removal.
    pub(crate) fn remove_last(mut self, kinds: &[Kind], owner: &str) -> Result<(), Error> {
        if self.remove(kinds, owner)? {
            self.nft.settle();
        }
        Ok(())
    }

    fn remove_if(&mut self, kinds: &[Kind], unwanted: &dyn Fn(&str) -> bool) -> Result<bool, Error> {
        // Removals wait for each other rather than look again after each other. Without the lock they are only slower.
        let namespace = NetNs::current();
        let crowded = namespace.as_ref().is_ok_and(|namespace| namespace.lock().unwrap_or(false));
        for _ in 0..TRIES {
            let generation = self.nft.generation().map_err(failed)?;
            let mut batch = Batch::at_generation(generation);
            for (kind, v6) in kinds.iter().flat_map(|kind| [(kind, false), (kind, true)]) {
                let set = kind.set(v6);
                for element in self.nft.elements(FAMILY, self.table, set).map_err(failed)? {
                    if unwanted(&element.comment) {
                        batch.delete_element(FAMILY, self.table, set, &element.key);
                    }
                }
            }
            match self.nft.commit(&batch) {
                Ok(()) => return Ok(crowded && !batch.is_empty()),
                // Somebody changed the ruleset since the look: look again.
                Err(error) if matches!(error.errno, Errno::RESTART | Errno::NOENT) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(Error::new(Code::TRY_LATER, "the nftables ruleset kept changing"))
    }

    /// Whether the owner has each of these elements, with these values.
    pub(crate) fn check(&mut self, items: &[Item], owner: &str) -> Result<(), Error> {
        for item in items {
            let found = self.nft.element(FAMILY, self.table, item.set(), &item.key).map_err(failed)?;
            if found.is_none_or(|found| found.comment != owner || found.value != item.value) {
                let what = if item.claim.is_empty() { "an element of the pod" } else { &item.claim };
                let text = format!("{what} is not in nftables' {} {}", self.table, item.set());
                return Err(Error::new(Code::CHECK, text));
            }
        }
        Ok(())
    }

    /// Makes what is missing of the table, and writes its rules anew, in one commit: repeated or from two sides, it comes out the same.
    fn make_table(&mut self) -> Result<(), Error> {
        let table = self.table;
        let mut batch = Batch::new();
        batch.add_table(FAMILY, table);
        for (v6, addr) in [(false, Part::Ip4), (true, Part::Ip6)] {
            for kind in ALL {
                let (key, value) = kind.parts(addr);
                batch.add_set(
                    FAMILY,
                    table,
                    Set { name: kind.set(v6), key: &key, value: &value, ranges: kind == Kind::Hairpin },
                );
            }
        }
        let chains = [
            ("hostports", None),
            ("guard", Some(("filter", Hook::Prerouting, -300))),
            ("prerouting", Some(("nat", Hook::Prerouting, -100))),
            ("output", Some(("nat", Hook::Output, -100))),
            ("postrouting", Some(("nat", Hook::Postrouting, 100))),
        ];
        for (name, base) in chains {
            batch.add_chain(FAMILY, table, Chain { name, base });
            batch.flush_chain(FAMILY, table, name);
        }
        for (chain, rule) in rules() {
            batch.append_rule(FAMILY, table, chain, &rule, "");
        }
        self.nft.commit(&batch).map_err(failed)
    }
}

/// How often a change is tried against others that are made at the same time.
const TRIES: usize = 64;

const A: Reg = Reg(0);
/// `ff00::`, which is its own mask.
const FF00: [u8; 16] = [0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The fixed rules, by chain.
fn rules() -> Vec<(&'static str, Vec<Expr>)> {
    let mut rules = vec![("guard", {
        let mut rule = vec![Expr::meta(Meta::InIfname, A), Expr::unequal(A, &ifname("lo"))];
        rule.extend(family(Part::Ip4));
        rule.extend([
            Expr::destination(Part::Ip4, A),
            Expr::mask(A, &[255, 0, 0, 0]),
            Expr::equal(A, &[127, 0, 0, 0]),
        ]);
        rule.push(Expr::verdict(Verdict::Drop));
        rule
    })];
    for chain in ["prerouting", "output"] {
        let mut rule = Expr::to_this_host().to_vec();
        rule.push(Expr::verdict(Verdict::Jump("hostports")));
        rules.push((chain, rule));
    }
    for (v6, addr, nat) in [(false, Part::Ip4, Family::Ip), (true, Part::Ip6, Family::Ip6)] {
        let size = if v6 { 4 } else { 1 };
        let (protocol, port) = (Reg(size), Reg(size + 1));
        let transport = [Expr::meta(Meta::Protocol, protocol), Expr::destination_port(port)];
        let to_pod = |map: &str, from: Reg| [Expr::lookup_value(map, from, A), Expr::dnat(nat, A, Reg(size))];

        let mut rule = family(addr).to_vec();
        rule.push(Expr::destination(addr, A));
        rule.extend(transport.clone());
        rule.extend(to_pod(Kind::HostPortIp.set(v6), A));
        rules.push(("hostports", rule));

        let mut rule = family(addr).to_vec();
        rule.extend([Expr::meta(Meta::Protocol, A), Expr::destination_port(Reg(1))]);
        rule.extend(to_pod(Kind::HostPort.set(v6), A));
        rules.push(("hostports", rule));

        let mut rule = family(addr).to_vec();
        rule.extend(Expr::translated());
        rule.extend([Expr::source(addr, A), Expr::destination(addr, Reg(size))]);
        rule.extend([Expr::lookup(Kind::Hairpin.set(v6), A), Expr::masquerade()]);
        rules.push(("postrouting", rule));

        if !v6 {
            let mut rule = family(addr).to_vec();
            rule.extend(Expr::translated());
            rule.extend([
                Expr::source(addr, A),
                Expr::mask(A, &[255, 0, 0, 0]),
                Expr::equal(A, &[127, 0, 0, 0]),
            ]);
            rule.extend([
                Expr::destination(addr, A),
                Expr::lookup(Kind::Snat.set(v6), A),
                Expr::masquerade(),
            ]);
            rules.push(("postrouting", rule));
        }

        let mut rule = family(addr).to_vec();
        rule.extend([Expr::source(addr, A), Expr::meta(Meta::OutIfname, Reg(size))]);
        rule.extend([Expr::lookup(Kind::Local.set(v6), A), Expr::verdict(Verdict::Return)]);
        rules.push(("postrouting", rule));

        // Multicast keeps its source: 224.0.0.0/4 and ff00::/8.
        let (mask, multicast): (&[u8], &[u8]) =
            if v6 { (&FF00, &FF00) } else { (&[240, 0, 0, 0], &[224, 0, 0, 0]) };
        let mut rule = family(addr).to_vec();
        rule.extend([Expr::source(addr, A), Expr::lookup(Kind::Masq.set(v6), A)]);
        rule.extend([
            Expr::destination(addr, A),
            Expr::mask(A, mask),
            Expr::unequal(A, multicast),
            Expr::masquerade(),
        ]);
        rules.push(("postrouting", rule));
    }
    rules
}

/// Goes on for packets of one family: the offsets of addresses differ.
fn family(addr: Part) -> [Expr; 2] {
    let number = if addr == Part::Ip6 { 10 } else { 2 };
    [Expr::meta(Meta::Family, A), Expr::equal(A, &[number])]
}
