//! The Container Network Interface, versions 0.1.0 to 1.1.0: what a runtime and a plugin say to each other.
//!
//! Configuration comes in ([`NetworkList`], [`PluginConf`]), a [`NetResult`] or an [`Error`] goes out, and libcni's cache
//! ([`CacheEntry`]) keeps a result between ADD and DEL. Everything here is parsing and printing: no file, no process.
#![forbid(unsafe_code)]

mod args;
mod cache;
mod cidr;
mod conf;
#[cfg(test)]
mod damage;
mod error;
pub mod go_json;
mod names;
mod result;
mod version;

pub use args::Args;
pub use cache::{CacheEntry, cache_file_name};
pub use cidr::{Cidr, CidrError};
pub use conf::{
    Attachment, ConfError, Dns, IpamConf, MAX_BYTES, NetworkList, PluginConf, PluginEntry, PortMapping,
    bool_or_string,
};
pub use error::{Code, Error};
pub use names::{NameError, check_container_id, check_ifname, check_network_name};
pub use result::{Interface, IpConfig, NetResult, ResultError, Route, empty_is_none};
pub use version::{Version, VersionReport};
