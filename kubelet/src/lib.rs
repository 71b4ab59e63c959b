//! The kubelet: static pods from a folder, run over any CRI socket.
#![forbid(unsafe_code)]

pub mod cgroups;
mod config;
mod core;
mod cri;
mod facts;
pub mod fields;
mod images;
mod logs;
mod probe;
mod run;
mod server;
pub mod source;
mod store;
mod tasks;
pub mod translate;
pub mod volumes;
mod worker;

pub use config::{Config, ConfigError};
pub use cri::Error as RuntimeError;
pub use run::{Error, run};
