//! A block of addresses that Services can have, and the order in which its addresses are tried.
//!
//! ```text
//!   10.96.0.0/24:   .0         .1 ── .16         .17 ───────────── .254      .255
//!                   nobody's   for who asks      given to who does not ask   nobody's (IPv4)
//! ```
//!
//! The lower part of a block is given to who does not ask for an address only when the upper one is full, so that who
//! asks for one finds it free (KEP-3070).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use api_objects::address::Family;

use super::InvalidRange;

/// The bits that blocks of the configuration share, from the largest block to the smallest one.
const BITS_V4: std::ops::RangeInclusive<u8> = 12..=28;
const BITS_V6: std::ops::RangeInclusive<u8> = 64..=124;
/// Of so many addresses one is for who asks, but not less and not more than so many.
const STEP: u128 = 16;
const LEAST: u128 = 16;
const MOST: u128 = 256;

/// A block of addresses, `10.96.0.0/12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    base: IpAddr,
    bits: u8,
}

impl Block {
    /// What a cluster has that is told nothing.
    pub const DEFAULT: Self = Self { base: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 0)), bits: 12 };

    /// The block that a ServiceCIDR names; none where it is none or too large to give addresses out of.
    pub fn of(text: &str) -> Option<Self> {
        let (base, bits) = text.split_once('/')?;
        let block = Self { base: base.parse().ok()?, bits: bits.parse().ok()? };
        let usable = match block.base {
            IpAddr::V4(_) => block.bits <= 32,
            IpAddr::V6(_) => (64..=128).contains(&block.bits),
        };
        (usable && number(block.base) & block.mask() == 0).then_some(block)
    }

    /// The family of its addresses.
    pub fn family(self) -> Family {
        match self.base {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// The bits in which its addresses differ.
    fn mask(self) -> u128 {
        let width = if self.base.is_ipv4() { 32 } else { 128 };
        1u128.checked_shl(width - u32::from(self.bits)).map_or(u128::MAX, |size| size - 1)
    }

    /// The addresses that can be given out, from the first to the last; none where the block is too small for any. The
    /// block's own address is nobody's, nor is the one by which IPv4 means all.
    fn hosts(self) -> Option<(u128, u128)> {
        let (base, top) = (number(self.base), number(self.base) | self.mask());
        let (first, last) = (base + 1, if self.base.is_ipv4() { top.saturating_sub(1) } else { top });
        (first <= last).then_some((first, last))
    }

    /// The first address that can be given out.
    pub fn first(self) -> IpAddr {
        address(self.family(), number(self.base) + 1)
    }

    /// Whether an address can be given out of this block.
    pub fn has(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.base.is_ipv4()
            && self.hosts().is_some_and(|(first, last)| (first..=last).contains(&number(ip)))
    }

    /// Whether all addresses of a block are in this one.
    pub fn covers(self, other: Self) -> bool {
        self.bits <= other.bits && self.overlaps(other)
    }

    /// Whether the blocks have addresses in common.
    pub fn overlaps(self, other: Self) -> bool {
        let shared = self.mask() | other.mask();
        self.base.is_ipv4() == other.base.is_ipv4()
            && number(self.base) | shared == number(other.base) | shared
    }

    /// How many of the first addresses are for who asks for them.
    fn reserved(self) -> u128 {
        match self.mask() {
            mask if mask < STEP => 0,
            mask => (mask / STEP + 1).clamp(LEAST, MOST),
        }
    }

    /// Every address that can be given out, once, in the order in which they are to be tried: the upper part from a
    /// random one on and round, then the lower part likewise.
    pub fn candidates(self, random: u64) -> impl Iterator<Item = IpAddr> {
        let family = self.family();
        let hosts = self.hosts();
        let upper = hosts.and_then(|(first, last)| round(first + self.reserved(), last, random));
        let lower =
            hosts.and_then(|(first, last)| round(first, last.min(first + self.reserved() - 1), random));
        let lower = lower.filter(|_| self.reserved() > 0);
        upper.into_iter().flatten().chain(lower.into_iter().flatten()).map(move |n| address(family, n))
    }
}

/// The numbers of a range, from one of them on and round.
fn round(first: u128, last: u128, random: u64) -> Option<impl Iterator<Item = u128>> {
    let count = last.checked_sub(first)? + 1;
    let start = u128::from(random) % count;
    Some((start..count).chain(0..start).map(move |step| first + step))
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn address(family: Family, number: u128) -> IpAddr {
    match family {
        // Addresses are counted up from that of a block of theirs.
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

impl FromStr for Block {
    type Err = InvalidRange;

    /// Reads a block that a cluster is to have.
    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let wrong = |why| InvalidRange { text: text.to_owned(), why };
        let (base, bits) = text.split_once('/').ok_or(wrong("is no ADDRESS/BITS"))?;
        let base: IpAddr = base.parse().map_err(|_| wrong("does not begin with an address"))?;
        let bits: u8 = bits.parse().map_err(|_| wrong("does not end with a number of bits"))?;
        match base {
            IpAddr::V4(_) if !BITS_V4.contains(&bits) => return Err(wrong("must have from 12 to 28 bits")),
            IpAddr::V6(_) if !BITS_V6.contains(&bits) => return Err(wrong("must have from 64 to 124 bits")),
            _ => {}
        }
        Self::of(text).filter(|block| block.base == base).ok_or(wrong("has bits set behind its prefix"))
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn block(text: &str) -> Block {
        Block::of(text).unwrap()
    }

    #[test]
    fn the_configuration_s_blocks_are_read_and_nonsense_is_named() {
        assert_eq!("10.96.0.0/12".parse::<Block>().unwrap().first().to_string(), "10.96.0.1");
        assert_eq!("fd00:1::/112".parse::<Block>().unwrap().to_string(), "fd00:1::/112");
        for (text, why) in [
            ("10.96.0.0", "is no ADDRESS/BITS"),
            ("x/12", "does not begin with an address"),
            ("10.0.0.0/x", "does not end with a number of bits"),
            ("10.0.0.0/8", "must have from 12 to 28 bits"),
            ("fd00::/48", "must have from 64 to 124 bits"),
            ("10.96.0.1/12", "has bits set behind its prefix"),
        ] {
            assert_eq!(text.parse::<Block>().unwrap_err().to_string(), format!("{text:?} {why}"));
        }
    }

    #[test]
    fn who_asks_for_no_address_has_one_of_the_upper_part_while_there_are_some() {
        for (text, count, reserved, first) in [
            ("10.0.0.0/30", 2, 0, "10.0.0.1"),
            ("10.0.0.0/28", 14, 0, "10.0.0.1"),
            ("10.0.0.0/27", 30, 16, "10.0.0.17"),
            ("10.0.0.0/24", 254, 16, "10.0.0.17"),
            ("10.0.0.0/20", 4094, 256, "10.0.1.1"),
            ("10.0.0.0/16", 65534, 256, "10.0.1.1"),
            ("fd00::/124", 15, 0, "fd00::1"),
            ("fd00::/120", 255, 16, "fd00::11"),
        ] {
            let tried: Vec<IpAddr> = block(text).candidates(0).collect();
            assert_eq!(
                (tried.len(), block(text).reserved(), tried[0].to_string().as_str()),
                (count, reserved, first)
            );
            let lowest = address(block(text).family(), number(block(text).first()));
            let at = tried.iter().position(|ip| *ip == lowest).unwrap();
            assert_eq!(
                at,
                if reserved == 0 { 0 } else { count - usize::try_from(reserved).unwrap() },
                "{text}"
            );
        }
        for none in ["10.0.0.0/31", "10.0.0.0/32", "fd00::/128"] {
            assert_eq!(block(none).candidates(7).count(), 0, "{none}");
        }
        // A block of 2⁶⁴ addresses is not walked through to find one.
        assert!(block("fd00::/64").has(block("fd00::/64").candidates(u64::MAX).next().unwrap()));
    }

    #[test]
    fn blocks_know_what_is_in_them() {
        let of = block("10.0.0.0/24");
        for (ip, inside) in [
            ("10.0.0.0", false),
            ("10.0.0.1", true),
            ("10.0.0.255", false),
            ("10.0.1.1", false),
            ("::a00:1", false),
        ] {
            assert_eq!(of.has(ip.parse().unwrap()), inside, "{ip}");
        }
        assert!(block("fd00::/120").has("fd00::ff".parse().unwrap()));
        for (one, other, overlaps, covers) in [
            ("10.0.0.0/24", "10.0.0.128/25", true, true),
            ("10.0.0.128/25", "10.0.0.0/24", true, false),
            ("10.0.0.0/24", "10.0.0.0/24", true, true),
            ("10.0.0.0/24", "10.0.1.0/24", false, false),
            ("10.0.0.0/24", "fd00::/64", false, false),
        ] {
            let (one, other) = (block(one), block(other));
            assert_eq!((one.overlaps(other), one.covers(other)), (overlaps, covers), "{one} {other}");
        }
        for none in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.1/24", "fd00::/63", "x/24"] {
            assert_eq!(Block::of(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_tried_once_whatever_the_beginning(bits in 20u8..=32, base: u32, random: u64) {
            let block = Block { base: Ipv4Addr::from_bits(base).into(), bits };
            let block = Block { base: Ipv4Addr::from_bits(base & !u32::try_from(block.mask()).unwrap()).into(), bits };
            let tried: Vec<IpAddr> = block.candidates(random).collect();
            let distinct: BTreeSet<IpAddr> = tried.iter().copied().collect();
            prop_assert_eq!(tried.len(), distinct.len());
            let hosts = block.hosts().map_or(0, |(first, last)| last - first + 1);
            prop_assert_eq!(u128::try_from(tried.len()).unwrap(), hosts);
            prop_assert!(tried.iter().all(|ip| block.has(*ip)));
        }
    }
}
