//! What goes wrong, in the words that callers of an OCI runtime look for.

use std::path::PathBuf;

/// The result of everything in this crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the runtime.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A system call failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// The command line is wrong; the verb's usage is printed too.
    #[error("{0}")]
    Usage(String),
    /// A JSON document is not what it should be.
    #[error("{}: {source}", path.display())]
    Json {
        /// The document.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A field that this runtime does not implement, or a value that makes no sense.
    #[error("{field}: {reason}")]
    Refused {
        /// Its path in config.json.
        field: String,
        /// Why.
        reason: String,
    },
    /// Something that happened inside of something else.
    #[error("{stage}: {source}")]
    During {
        /// What was being done.
        stage: String,
        /// What failed.
        source: Box<Error>,
    },
    /// The container's state does not allow it, or another sentence that peers know.
    #[error("{0}")]
    Said(String),
}

impl Error {
    /// A sentence.
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self::Said(text.into())
    }

    /// A field refused by name.
    pub(crate) fn refused(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Refused { field: field.into(), reason: reason.into() }
    }
}

/// Says what was being done when something failed.
pub(crate) trait Stage<T> {
    /// Puts a stage in front of the error.
    fn stage(self, stage: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Error>> Stage<T> for Result<T, E> {
    fn stage(self, stage: impl Into<String>) -> Result<T> {
        self.map_err(|error| Error::During { stage: stage.into(), source: Box::new(error.into()) })
    }
}
