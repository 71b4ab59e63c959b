//! The kubelet: static pods from a folder, run over any CRI socket.
#![forbid(unsafe_code)]

pub mod cgroups;
mod config;
mod cri;
pub mod fields;
mod logs;
mod run;
pub mod source;
pub mod translate;
pub mod volumes;

pub use config::{Config, ConfigError, socket};
pub use cri::Error as RuntimeError;
pub use run::{Error, run};
