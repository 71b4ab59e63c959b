//! An address with its prefix length.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address and the length of its network's prefix, such as `10.1.0.5/16`. Host bits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// The address.
    pub addr: IpAddr,
    /// The prefix length, at most 32 or 128.
    pub prefix: u8,
}

/// Text that is no address with a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address with a prefix length, such as 10.1.0.0/16")]
pub struct CidrError(String);

impl Cidr {
    /// An address with a prefix length; none when the length exceeds the family's.
    pub fn new(addr: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= width(addr)).then_some(Self { addr, prefix })
    }

    /// A single address: prefix 32 or 128.
    pub fn host(addr: IpAddr) -> Self {
        Self { addr, prefix: width(addr) }
    }

    /// The number of bits of an address of this family.
    pub fn width(self) -> u8 {
        width(self.addr)
    }

    /// The same prefix with the host bits cleared.
    #[must_use]
    pub fn network(self) -> Self {
        Self { addr: from_number(self.addr, to_number(self.addr) & !self.host_mask()), ..self }
    }

    /// The last address of the prefix: all host bits set.
    pub fn last(self) -> IpAddr {
        from_number(self.addr, to_number(self.addr) | self.host_mask())
    }

    /// Whether the address lies in this prefix.
    pub fn contains(self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.addr.is_ipv4()
            && to_number(addr) & !self.host_mask() == to_number(self.addr) & !self.host_mask()
    }

    /// Whether this is `0.0.0.0/0` or `::/0`.
    pub fn is_default(self) -> bool {
        self.prefix == 0
    }

    fn host_mask(self) -> u128 {
        match u32::from(self.width() - self.prefix) {
            128 => u128::MAX,
            bits => (1 << bits) - 1,
        }
    }

    /// The address `offset` steps above `addr`; none past the end of the family.
    pub fn step(addr: IpAddr, offset: u128) -> Option<IpAddr> {
        let sum = to_number(addr).checked_add(offset)?;
        (addr.is_ipv6() || sum <= u128::from(u32::MAX)).then(|| from_number(addr, sum))
    }

    /// The distance from `low` up to `high`, which must be of one family and in this order.
    pub fn distance(low: IpAddr, high: IpAddr) -> Option<u128> {
        (low.is_ipv4() == high.is_ipv4()).then(|| to_number(high).checked_sub(to_number(low)))?
    }
}

fn width(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

fn to_number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

fn from_number(family: IpAddr, number: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let error = || CidrError(text.to_owned());
        let (addr, prefix) = text.split_once('/').ok_or_else(error)?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        let addr = addr.parse::<IpAddr>().map_err(|_| error())?;
        Self::new(addr, prefix.parse().map_err(|_| error())?).ok_or_else(error)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn the_network_the_last_address_and_membership_follow_the_prefix() {
        assert_eq!(cidr("10.1.2.3/16").network().to_string(), "10.1.0.0/16");
        assert_eq!(cidr("10.1.2.3/16").last().to_string(), "10.1.255.255");
        assert_eq!(cidr("::1/0").network().to_string(), "::/0");
        assert!(cidr("fd00::/64").contains("fd00::5".parse().unwrap()));
        assert!(!cidr("0.0.0.0/0").contains("fd00::5".parse().unwrap()));
        assert!(cidr("1.2.3.4/32").contains("1.2.3.4".parse().unwrap()));
    }

    #[test]
    fn text_without_a_proper_prefix_is_refused() {
        for bad in [
            "",
            "10.0.0.1",
            "10.0.0.1/",
            "10.0.0.1/33",
            "10.0.0/8",
            "::/129",
            "a/8",
            "10.0.0.1/+8",
            "1.1.1.1/0x8",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,60}") {
            let _ = text.parse::<Cidr>();
        }

        #[test]
        fn printing_and_parsing_agree(bits: u128, prefix in 0u8..=128) {
            let value = Cidr::new(IpAddr::V6(Ipv6Addr::from_bits(bits)), prefix).unwrap();
            prop_assert_eq!(cidr(&value.to_string()), value);
            prop_assert!(value.contains(value.network().addr) && value.contains(value.last()));
        }
    }
}
