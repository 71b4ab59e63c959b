//! The rules of the kinds of the core group that carry no pod.

pub(crate) mod config_map;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod limit_range;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod resource_quota;
mod resources;
pub(crate) mod secret;
pub mod service;

#[cfg(test)]
mod tests;
