//! Where pods come from: a folder of manifests.

mod event;

pub use event::{ManifestError, SourceEvent};
