//! What Services have of the cluster: an address of each family, and ports on its nodes.
//!
//! ```text
//!   a Service is written ─▶ families settled ─▶ addresses, ports taken ─▶ checked, stored ─▶ what it lost is given back
//!                                                       │                         │
//!                                                       └──◀── given back ◀── refused
//! ```
//!
//! Who has an address is said by an IPAddress object of its name, which is made where there was none: of two writers one
//! is told that it is taken, whichever servers of one store they ask. Ports are bits of one stored map that is replaced
//! if nobody was faster. What a server leaves behind that ends in between belongs to nobody, and is found by
//! [`repair`] and by the controllers: better that an address is lost for a while than that two have it.
//!
//! [`block`], [`ports`], [`families`] and [`wish`] decide; [`allocate`] does it.

mod allocate;
mod block;
pub mod default_range;
mod families;
mod ports;
pub mod repair;
mod store;
mod wish;

use std::fmt;
use std::str::FromStr;

use api_objects::address::Family;

pub(super) use allocate::{Allocation, Outcome, released};
pub use block::Block;
pub use ports::PortRange;
pub(crate) use store::blocks_of;
pub use store::{FAMILY, MANAGED_BY, MANAGER};

/// A text is no range, or one that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {why}")]
pub struct InvalidRange {
    text: String,
    why: &'static str,
}

/// The blocks of addresses that a cluster begins with: one, or one of each family, `10.96.0.0/12,fd00:10:96::/112`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    /// Of its family a Service has an address that asks for none.
    pub primary: Block,
    /// The other family's.
    pub secondary: Option<Block>,
}

impl Ranges {
    /// The blocks.
    pub fn blocks(&self) -> impl Iterator<Item = Block> {
        std::iter::once(self.primary).chain(self.secondary)
    }
}

impl FromStr for Ranges {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let (primary, secondary) = match text.split_once(',') {
            Some((primary, secondary)) => (primary.parse::<Block>()?, Some(secondary.parse::<Block>()?)),
            None => (text.parse::<Block>()?, None),
        };
        if secondary.is_some_and(|secondary| secondary.family() == primary.family()) {
            return Err(InvalidRange { text: text.to_owned(), why: "has two blocks of one family" });
        }
        Ok(Self { primary, secondary })
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks: Vec<String> = self.blocks().map(|block| block.to_string()).collect();
        f.write_str(&blocks.join(","))
    }
}

/// What Services can have.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// The addresses that the cluster begins with.
    pub ranges: Ranges,
    /// The ports of nodes.
    pub node_ports: PortRange,
}

impl Network {
    /// The families of addresses that Services can have, the usual one first.
    pub fn families(&self) -> Vec<Family> {
        self.ranges.blocks().map(Block::family).collect()
    }
}

impl Default for Network {
    fn default() -> Self {
        let primary = Block::DEFAULT;
        Self {
            ranges: Ranges { primary, secondary: None },
            node_ports: PortRange { first: 30000, last: 32767 },
        }
    }
}

#[cfg(test)]
mod tests;
