//! Images: from registries and files into unpacked layers, and the root filesystems made of them.
//!
//! ```text
//! reference ─▶ registry/ (manifest, blobs) ─▶ unpack/ (a confined child per layer) ─▶ store (redb + layer folders)
//!                                                                                      └─▶ snapshot (overlay)
//! ```
//!
//! A layer is stored once, unpacked, under its diff id; no compressed blob is kept. Its folder is synced before the
//! record that names it, so that a record never points at half a layer, whatever moment the power fails.

mod digest;
mod error;
mod import;
mod layers;
mod manifest;
mod pull;
mod reference;
pub(crate) mod registry;
mod snapshot;
mod store;
mod unpack;

pub(crate) use error::ImageError;
pub(crate) use layers::Progress;
pub(crate) use pull::PullOptions;
pub(crate) use registry::auth::Credentials;
pub(crate) use snapshot::Snapshots;
pub(crate) use store::{Image, ImageStore};
pub use unpack::main as unpack_main;
