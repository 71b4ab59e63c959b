//! Which ports of the nodes are taken: a bit for each, kept as upstream keeps them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::InvalidRange;

/// Of so many ports one is for who asks, but not less and not more than so many.
const STEP: u16 = 32;
const LEAST: u16 = 16;
const MOST: u16 = 128;

/// Ports from the first to the last, `30000-32767`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last, which is one of them.
    pub last: u16,
}

impl PortRange {
    fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// How many of the first ports are for who asks for them.
    fn reserved(self) -> u16 {
        match self.last - self.first {
            more if more < LEAST => 0,
            more => ((more + 1) / STEP).clamp(LEAST, MOST),
        }
    }
}

impl FromStr for PortRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let wrong = |why| InvalidRange { text: text.to_owned(), why };
        let (first, last) = text.split_once('-').ok_or(wrong("is no FIRST-LAST"))?;
        let port = |port: &str| port.parse::<u16>().map_err(|_| wrong("has a port that is none"));
        let (first, last) = (port(first)?, port(last)?);
        if first == 0 || last < first {
            return Err(wrong("is empty or begins at 0"));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Why a port cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PortFault {
    /// It is none of those that are given out.
    #[error("provided port is not in the valid range. The range of valid ports is {0}")]
    NotInRange(PortRange),
    /// Somebody has it.
    #[error("provided port is already allocated")]
    Taken,
    /// Somebody has each of them.
    #[error("range is full")]
    Full,
}

/// Which ports of a range are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ports {
    range: PortRange,
    taken: Vec<bool>,
}

impl Ports {
    /// None is taken.
    pub(super) fn new(range: PortRange) -> Self {
        Self { range, taken: vec![false; range.count()] }
    }

    /// What is stored: a `RangeAllocation`; none where it is of no range.
    pub(super) fn read(stored: &Value) -> Option<Self> {
        let range: PortRange = stored["range"].as_str()?.parse().ok()?;
        let data = STANDARD.decode(stored["data"].as_str().unwrap_or_default()).ok()?;
        let mut ports = Self::new(range);
        // A number of which each bit is a port, its lowest bit the first one.
        for (index, taken) in ports.taken.iter_mut().enumerate() {
            let byte = data.len().checked_sub(1 + index / 8).map_or(0, |at| data[at]);
            *taken = byte >> (index % 8) & 1 == 1;
        }
        Some(ports)
    }

    /// As it is stored.
    pub(super) fn to_json(&self) -> Value {
        let mut data = vec![0u8; self.taken.len().div_ceil(8)];
        for (index, _) in self.taken.iter().enumerate().filter(|(_, taken)| **taken) {
            data[index / 8] |= 1 << (index % 8);
        }
        data.reverse();
        let leading = data.iter().take_while(|byte| **byte == 0).count();
        json!({
            "apiVersion": "v1",
            "kind": "RangeAllocation",
            "metadata": {},
            "range": self.range.to_string(),
            "data": STANDARD.encode(&data[leading..]),
        })
    }

    /// The ports that there are.
    pub(super) fn range(&self) -> PortRange {
        self.range
    }

    /// The place of a port, which may be any number that somebody wrote.
    fn index(&self, port: i64) -> Option<usize> {
        let index = usize::try_from(port.checked_sub(self.range.first.into())?).ok()?;
        Some(index).filter(|index| *index < self.taken.len())
    }

    /// Whether a port is taken.
    pub(super) fn has(&self, port: i64) -> bool {
        self.index(port).is_some_and(|index| self.taken[index])
    }

    /// The ports that are taken.
    pub(super) fn iter(&self) -> impl Iterator<Item = i64> {
        let taken = (self.range.first..=self.range.last).zip(&self.taken);
        taken.filter(|(_, taken)| **taken).map(|(port, _)| port.into())
    }

    /// Takes a port.
    pub(super) fn take(&mut self, port: i64) -> Result<(), PortFault> {
        let index = self.index(port).ok_or(PortFault::NotInRange(self.range))?;
        match std::mem::replace(&mut self.taken[index], true) {
            true => Err(PortFault::Taken),
            false => Ok(()),
        }
    }

    /// Takes any port, one of the upper part while there are some.
    pub(super) fn take_any(&mut self, random: u64) -> Result<i64, PortFault> {
        let split = self.range.first + self.range.reserved();
        let round = |ports: std::ops::Range<u32>| {
            let step = random % u64::from((ports.end - ports.start).max(1));
            let start = ports.start + u32::try_from(step).unwrap_or(0);
            (start..ports.end).chain(ports.start..start)
        };
        let upper = round(split.into()..u32::from(self.range.last) + 1);
        let mut tried = upper.chain(round(self.range.first.into()..split.into())).map(i64::from);
        let port = tried.find(|port| !self.has(*port)).ok_or(PortFault::Full)?;
        self.take(port).map(|()| port)
    }

    /// Gives a port back; one that is not taken, or is none of these, is nobody's already.
    pub(super) fn free(&mut self, port: i64) {
        if let Some(index) = self.index(port) {
            self.taken[index] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANGE: PortRange = PortRange { first: 30000, last: 32767 };

    #[test]
    fn ranges_are_read_and_nonsense_is_refused() {
        assert_eq!("30000-32767".parse(), Ok(RANGE));
        assert_eq!(RANGE.to_string(), "30000-32767");
        for text in ["30000", "2-1", "0-5", "1-70000"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_taken_once_and_refused_in_upstream_s_words() {
        let mut ports = Ports::new(RANGE);
        assert_eq!(ports.take(30080), Ok(()));
        let said = |port, ports: &mut Ports| ports.take(port).unwrap_err().to_string();
        assert_eq!(said(30080, &mut ports), "provided port is already allocated");
        assert_eq!(
            said(80, &mut ports),
            "provided port is not in the valid range. The range of valid ports is 30000-32767"
        );
        assert_eq!(ports.iter().collect::<Vec<_>>(), [30080]);
        ports.free(30080);
        ports.free(80);
        assert_eq!((ports.has(30080), ports.take(30080)), (false, Ok(())));
    }

    #[test]
    fn the_first_ports_are_kept_for_who_asks_until_there_are_no_others() {
        for (last, reserved) in [(30000, 0), (30015, 0), (30031, 16), (31023, 32), (32767, 86), (65535, 128)]
        {
            let range = PortRange { first: 30000, last };
            assert_eq!(range.reserved(), reserved);
            let mut ports = Ports::new(range);
            let got: Vec<i64> = (0..range.count()).map(|_| ports.take_any(5).unwrap()).collect();
            let upper = range.count() - usize::from(reserved);
            let kept = 30000 + i64::from(reserved);
            assert!(
                got[..upper].iter().all(|port| *port >= kept) && got[upper..].iter().all(|port| *port < kept)
            );
            assert_eq!(ports.take_any(5), Err(PortFault::Full));
        }
    }

    #[test]
    fn they_are_stored_as_a_stock_server_stores_them() {
        let mut ports = Ports::new(PortRange { first: 100, last: 119 });
        assert_eq!(ports.to_json()["data"], "");
        [100, 103, 109].into_iter().for_each(|port| ports.take(port).unwrap());
        // 0b10_0000_1001, its higher byte first.
        assert_eq!(ports.to_json()["data"], STANDARD.encode([0x02, 0x09]));
        assert_eq!(Ports::read(&ports.to_json()), Some(ports));
        assert_eq!(Ports::read(&json!({"range": "x"})), None);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_taken_until_it_is_given_back(steps: Vec<(u8, u8, u64)>) {
            let range = PortRange { first: 1000, last: 1063 };
            let (mut ports, mut model) = (Ports::new(range), std::collections::BTreeSet::new());
            for (step, port, random) in steps {
                let port = 990 + i64::from(port % 90);
                match step % 3 {
                    0 => match ports.take(port) {
                        Ok(()) => prop_assert!(model.insert(port)),
                        Err(PortFault::Taken) => prop_assert!(model.contains(&port)),
                        Err(_) => prop_assert!(!(1000..=1063).contains(&port)),
                    },
                    1 => match ports.take_any(random) {
                        Ok(port) => prop_assert!((1000..=1063).contains(&port) && model.insert(port)),
                        Err(_) => prop_assert_eq!(model.len(), 64),
                    },
                    _ => {
                        ports.free(port);
                        model.remove(&port);
                    }
                }
                ports = Ports::read(&ports.to_json()).unwrap();
                prop_assert!(ports.iter().eq(model.iter().copied()));
            }
        }
    }
}
