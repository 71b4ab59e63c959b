//! Ranges of addresses and the choice of a free one. Pure.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use api_cni::{Cidr, Code, Error, Version, empty_is_none};
use serde::Deserialize;

/// A range as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Keys {
    pub(super) subnet: Cidr,
    #[serde(default, deserialize_with = "empty_is_none")]
    pub(super) range_start: Option<IpAddr>,
    #[serde(default, deserialize_with = "empty_is_none")]
    pub(super) range_end: Option<IpAddr>,
    #[serde(default, deserialize_with = "empty_is_none")]
    pub(super) gateway: Option<IpAddr>,
}

/// A checked range: both ends are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) subnet: Cidr,
    pub(super) start: IpAddr,
    pub(super) end: IpAddr,
    /// Never given out.
    pub(super) gateway: Option<IpAddr>,
}

impl Range {
    fn new(keys: &Keys) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(Code::INVALID_CONFIG, text);
        let subnet = keys.subnet;
        if subnet.network() != subnet {
            return Err(invalid(format!(
                "the subnet {subnet} has host bits set; is {} meant?",
                subnet.network()
            )));
        }
        if subnet.width() - subnet.prefix < 2 {
            return Err(invalid(format!("the subnet {subnet} is too small to give out addresses of")));
        }
        let inside = |what: &str, addr: IpAddr| {
            if subnet.contains(addr) {
                Ok(addr)
            } else {
                Err(invalid(format!("the {what} {addr} is not in {subnet}")))
            }
        };
        let first = Cidr::step(subnet.addr, 1).unwrap_or(subnet.addr);
        // The last address of an IPv4 subnet is its broadcast address.
        let last = match subnet.last() {
            IpAddr::V4(addr) => IpAddr::V4((addr.to_bits() - 1).into()),
            addr => addr,
        };
        let range = Self {
            subnet,
            start: keys.range_start.map_or(Ok(first), |addr| inside("rangeStart", addr))?,
            end: keys.range_end.map_or(Ok(last), |addr| inside("rangeEnd", addr))?,
            gateway: Some(keys.gateway.unwrap_or(first)),
        };
        if range.start > range.end {
            return Err(invalid(format!("rangeStart {} is after rangeEnd {}", range.start, range.end)));
        }
        Ok(range)
    }

    fn contains(&self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.start.is_ipv4() && (self.start..=self.end).contains(&addr)
    }

    /// The number of addresses.
    fn len(&self) -> u128 {
        Cidr::distance(self.start, self.end).unwrap_or(0).saturating_add(1)
    }
}

/// Ranges of one family, of which an attachment gets one address.
#[derive(Debug, Clone)]
pub(super) struct RangeSet(Vec<Range>);

impl RangeSet {
    pub(super) fn new(keys: Vec<Keys>) -> Result<Self, Error> {
        let ranges = keys.iter().map(Range::new).collect::<Result<Vec<_>, _>>()?;
        let invalid = |text: String| Err(Error::new(Code::INVALID_CONFIG, text));
        let Some(first) = ranges.first() else { return invalid("ipam has an empty set of ranges".into()) };
        if let Some(other) = ranges.iter().find(|range| range.start.is_ipv4() != first.start.is_ipv4()) {
            return invalid(format!(
                "{} and {} are of different families in one set",
                first.subnet, other.subnet
            ));
        }
        Ok(Self(ranges))
    }

    /// The range that an address lies in.
    pub(super) fn range_of(&self, addr: IpAddr) -> Option<Range> {
        self.0.iter().copied().find(|range| range.contains(addr))
    }

    /// The wanted address, if it may be given out.
    pub(super) fn pick_wanted(
        &self,
        addr: IpAddr,
        taken: &HashSet<IpAddr>,
    ) -> Result<(IpAddr, Range), Error> {
        let refuse = |why: &str| Err(Error::new(Code::IPAM, format!("the wanted address {addr} {why}")));
        match self.range_of(addr) {
            None => refuse("is in no range"),
            Some(range) if range.gateway == Some(addr) => refuse("is the gateway's"),
            Some(_) if taken.contains(&addr) => refuse("is taken"),
            Some(range) => Ok((addr, range)),
        }
    }

    /// The first free address after `last`, around to it again.
    ///
    /// Going on from the last one, and not taking the lowest, leaves an address alone for long after it was given back.
    pub(super) fn pick(&self, last: Option<IpAddr>, taken: &HashSet<IpAddr>) -> Option<(IpAddr, Range)> {
        let mut place = 0;
        let mut addr = self.0[0].start;
        if let Some((index, last)) =
            last.and_then(|last| Some((self.0.iter().position(|r| r.contains(last))?, last)))
        {
            (place, addr) = self.after(index, last);
        }
        let total = self.0.iter().fold(0u128, |sum, range| sum.saturating_add(range.len()));
        for _ in 0..total {
            let range = self.0[place];
            if range.gateway != Some(addr) && !taken.contains(&addr) {
                return Some((addr, range));
            }
            (place, addr) = self.after(place, addr);
        }
        None
    }

    fn after(&self, place: usize, addr: IpAddr) -> (usize, IpAddr) {
        match Cidr::step(addr, 1).filter(|next| self.0[place].contains(*next)) {
            Some(next) => (place, next),
            None => {
                let place = (place + 1) % self.0.len();
                (place, self.0[place].start)
            }
        }
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            write!(f, "{}{}-{}", if index > 0 { ", " } else { "" }, range.start, range.end)?;
        }
        Ok(())
    }
}

/// Refuses more sets than a version's result has room for: before 0.3.0 it is one address of each family.
pub(super) fn check_expressible(sets: &[RangeSet], version: Version) -> Result<(), Error> {
    let v4 = sets.iter().filter(|set| set.0[0].start.is_ipv4()).count();
    if version < Version::V0_3_0 && (v4 > 1 || sets.len() - v4 > 1) {
        let text = format!("CNI {version} has no room for more than one address of a family");
        return Err(Error::new(Code::INVALID_CONFIG, text));
    }
    Ok(())
}

/// Refuses ranges that overlap, in one set or in two: an address would be given out twice.
pub(super) fn check_apart(sets: &[RangeSet]) -> Result<(), Error> {
    let all: Vec<_> = sets.iter().flat_map(|set| &set.0).collect();
    for (index, one) in all.iter().enumerate() {
        if let Some(other) =
            all[index + 1..].iter().find(|other| one.contains(other.start) || other.contains(one.start))
        {
            let text =
                format!("the ranges {}-{} and {}-{} overlap", one.start, one.end, other.start, other.end);
            return Err(Error::new(Code::INVALID_CONFIG, text));
        }
    }
    Ok(())
}
