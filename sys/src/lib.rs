//! The Linux kernel, synchronously: descriptors, mounts, namespaces, cgroups and processes.
//!
//! This crate knows neither containers nor pods. It is the only place, beside the runtime's clone path, where
//! `unsafe` is allowed; each block says why it is sound (see `docs/unsafe.md`).

pub mod cgroup;
pub mod error;
pub mod fs;
pub mod heap;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod pidfd;
pub mod probe;
pub mod proc;
pub mod process;
pub mod seqpacket;
pub mod sysctl;
pub mod terminal;

pub use error::{During, Error, Result};
