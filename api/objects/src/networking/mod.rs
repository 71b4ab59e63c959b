//! The rules of the networking and discovery groups.

mod addresses;
pub(crate) mod endpoint_slice;
pub(crate) mod ingress;
pub(crate) mod ingress_class;
pub(crate) mod network_policy;

pub(crate) use addresses::{create_address, create_range, update_address, update_range};

#[cfg(test)]
mod tests;
