//! From a Pod to the configurations that go over the CRI. Pure: the node's facts are arguments.

mod dns;
mod node;

pub use dns::{ResolvConf, dns_config};
pub use node::Node;
