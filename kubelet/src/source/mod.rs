//! Where pods come from: a folder of manifests.
//!
//! [`watch`] is the thin shell (inotify, a slow rescan, a channel), `folder` decides what a change means, and
//! `manifest` makes a static pod of bytes.

mod event;
mod folder;
mod manifest;
mod refusals;
mod watch;

pub use event::{ManifestError, SourceEvent};
pub use manifest::read_manifest;
pub(crate) use refusals::Refusals;
pub use watch::{SourceConfig, watch};
