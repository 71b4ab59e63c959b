//! The addresses of Services: each is said by an IPAddress to be a Service's, and lies in a ServiceCIDR that stays as
//! long as it is the only one.

mod ranges;
mod repair;

use std::net::IpAddr;

use api_objects::check::texts;

pub use ranges::ServiceRanges;
pub use repair::AddressRepair;

use super::index::Index;
use super::item::Item;
use crate::apiserver::services::{Block, blocks_of};
use crate::client::Gvr;

static SERVICES: Gvr = Gvr::of("", "v1", "services");
static RANGES: Gvr = Gvr::of("networking.k8s.io", "v1", "servicecidrs");
static ADDRESSES: Gvr = Gvr::of("networking.k8s.io", "v1", "ipaddresses");

/// The blocks of a ServiceCIDR.
fn blocks(range: &Item) -> Vec<Block> {
    blocks_of(&range.value())
}

/// Whether any ServiceCIDR has an address.
fn in_some_range(index: &Index, address: IpAddr) -> bool {
    index.all(&RANGES).any(|range| blocks(range).iter().any(|block| block.has(address)))
}

/// The addresses of a Service; a headless one has none.
fn addresses(service: &Item) -> Vec<IpAddr> {
    let service = service.value();
    texts(&service["spec"], "clusterIPs").filter_map(|(_, address)| address.parse().ok()).collect()
}
