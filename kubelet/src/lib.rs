//! The kubelet: static pods from a folder, run over any CRI socket.
#![forbid(unsafe_code)]

pub mod cgroups;
mod logs;
pub mod source;
pub mod translate;
