//! What a source of pods says.

use std::path::PathBuf;

use api_k8s::v1::Pod;
use api_objects::FieldError;

/// One change of the wanted pods.
#[derive(Debug)]
pub enum SourceEvent {
    /// This pod is wanted: defaulted, validated, with its static name, UID and annotations. A manifest that
    /// changed is another pod: its old UID is [`SourceEvent::Gone`] first.
    Set {
        /// Where it was read.
        file: PathBuf,
        /// The pod.
        pod: Box<Pod>,
    },
    /// The pod with this UID is no longer wanted.
    Gone {
        /// The pod's UID.
        uid: String,
    },
    /// A file that holds no pod that can be run. What it held before keeps running, but for what has become no
    /// file at all ([`ManifestError::NoFile`]): that pod is [`SourceEvent::Gone`] first.
    Bad {
        /// Where it was read.
        file: PathBuf,
        /// `NAMESPACE/NAME` as the manifest has it, where that could be read.
        name: Option<String>,
        /// What is wrong with it.
        error: ManifestError,
    },
    /// A file that was bad is gone, and with it what was said of it.
    Dropped {
        /// Where it was.
        file: PathBuf,
    },
    /// Everything that was there at the start has been told; only now may pods without a manifest be ended.
    Synced,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("reading: {0}")]
    Read(#[source] std::io::Error),
    /// Something that is there under a manifest's name, but cannot be read as a file.
    #[error("not a file but {0}")]
    NoFile(&'static str),
    /// Neither YAML nor JSON.
    #[error("parsing: {0}")]
    Syntax(String),
    /// A document that is not one v1 Pod.
    #[error("{0}")]
    Kind(String),
    /// Fields that are unknown, missing, wrong, or not implemented.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields(Vec<FieldError>),
    /// The typed decoding failed.
    #[error(transparent)]
    Decode(#[from] api_k8s::DecodeError),
    /// Another file holds a pod of this name.
    #[error("pod {name} is already defined by {}", .first.display())]
    Duplicate {
        /// `NAMESPACE/NAME`.
        name: String,
        /// The file that was there first.
        first: PathBuf,
    },
}
