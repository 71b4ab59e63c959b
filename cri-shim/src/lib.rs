//! The CRI daemon: pods and containers for a kubelet, images from registries.
//!
//! `server/` translates gRPC and decides nothing, `core/` decides and touches nothing, [`effects`] is the one seam
//! where something happens to the machine. A pod's processes belong to its monitor and not to this daemon, which
//! may be killed at any moment: everything it needs to go on lies under [`Config::state`].
#![forbid(unsafe_code)]

mod config;
mod core;
mod disk;
mod effects;
mod engine;
mod image;
mod monitor;
pub mod network;
mod paths;
mod rootfs;
mod run;
mod server;
pub mod stream;
#[doc(hidden)]
pub mod translate;

pub use config::{Config, ConfigFile};
pub use image::unpack_main;
pub use run::{Claim, Error, run};
