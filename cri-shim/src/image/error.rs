//! What goes wrong with images.

use std::io;
use std::path::PathBuf;

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// The reference is not one.
    #[error("invalid image reference {reference:?}: {reason}")]
    Reference {
        /// As it was given.
        reference: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No registry has it.
    #[error("{reference}: not found")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// The registry wants other credentials.
    #[error("{url}: access denied ({status})")]
    Denied {
        /// What was asked, without its query.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The registry answered otherwise.
    #[error("{url}: {status}{text}")]
    Status {
        /// What was asked, without its query.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of its answer.
        text: String,
    },
    /// It could not be asked.
    #[error("{url}: {reason}")]
    Transport {
        /// What was asked, without its query.
        url: String,
        /// Connecting, TLS, reading, a deadline.
        reason: String,
    },
    /// What arrived is not what its digest says.
    #[error("{what}: digest is {found}, should be {wanted}")]
    Digest {
        /// A manifest, a layer, a configuration.
        what: String,
        /// Of what arrived.
        found: String,
        /// Of what was asked for.
        wanted: String,
    },
    /// A document is malformed, too large, or of a kind that is no image.
    #[error("{what}: {reason}")]
    Malformed {
        /// The document.
        what: String,
        /// Why.
        reason: String,
    },
    /// An index has nothing for this machine.
    #[error("{reference}: no image for {platform}")]
    Platform {
        /// What was asked for.
        reference: String,
        /// `os/architecture`.
        platform: String,
    },
    /// The child that unpacks refused the layer.
    #[error("unpacking layer {layer}: {reason}")]
    Unpack {
        /// Its digest.
        layer: String,
        /// The child's words.
        reason: String,
    },
    /// A `hosts.toml` is wrong.
    #[error("{path}: {reason}", path = path.display())]
    Hosts {
        /// The file.
        path: PathBuf,
        /// Key and reason.
        reason: String,
    },
    /// The store's files.
    #[error("{operation} {path}: {source}", path = path.display())]
    Io {
        /// What was done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store's records.
    #[error("image records: {0}")]
    Records(String),
    /// Another caller's pull of the same image, which this one had joined, failed.
    #[error("{0}")]
    Shared(std::sync::Arc<ImageError>),
}

impl ImageError {
    pub(super) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    pub(super) fn malformed(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Malformed { what: what.into(), reason: reason.to_string() }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// redb has an error type per operation; all of them mean that the records cannot be used.
macro_rules! records {
    ($($error:ty),*) => {$(
        impl From<$error> for ImageError {
            fn from(error: $error) -> Self {
                Self::Records(error.to_string())
            }
        }
    )*};
}
records!(
    redb::DatabaseError,
    redb::TransactionError,
    redb::TableError,
    redb::StorageError,
    redb::CommitError
);
