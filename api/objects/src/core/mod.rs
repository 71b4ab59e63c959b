//! The rules of the kinds of the core group that carry no pod.

pub(crate) mod claim;
pub(crate) mod config_map;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod limit_range;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod node_selector;
pub(crate) mod resource_quota;
pub(crate) mod resources;
pub(crate) mod secret;
pub mod service;
pub(crate) mod service_account;
pub(crate) mod volume;

pub(crate) use resources::{container_name, is_extended, quantity};
pub(crate) use volume::driver_name;

#[cfg(test)]
mod tests;
