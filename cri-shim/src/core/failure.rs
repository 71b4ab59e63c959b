//! Why a call failed, in the few kinds that a CRI client branches on.

/// A refused or failed call. Cloneable, since every caller that joined the same operation gets it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// Becomes the gRPC code.
    pub code: Code,
    /// Operation, target and cause, for people.
    pub message: String,
}

/// The gRPC codes that the kubelet's retry logic tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// No such sandbox, container or image.
    NotFound,
    /// The request can never succeed as it is.
    InvalidArgument,
    /// The name belongs to another object.
    AlreadyExists,
    /// The object's state does not allow it.
    FailedPrecondition,
    /// A time limit of the request passed.
    DeadlineExceeded,
    /// Known to the protocol and not to this daemon.
    Unimplemented,
    /// It may work later: a monitor or the network is gone.
    Unavailable,
    /// A system call or a program failed.
    Internal,
}

impl Failure {
    /// A failure of the given kind.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The request can never succeed as it is.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// The request lacks a message that every client sends.
    pub(crate) fn missing(field: &str) -> Self {
        Self::invalid(format!("{field} is missing"))
    }

    /// A field that is not implemented and not at its default.
    pub(crate) fn refused(field: &str) -> Self {
        Self::new(Code::Unimplemented, format!("{field} is not supported"))
    }

    /// No such object.
    pub(crate) fn not_found(kind: &str, id: &str) -> Self {
        Self::new(Code::NotFound, format!("no {kind} with id {id:?}"))
    }

    /// The object's state does not allow it.
    pub(crate) fn state(message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, message)
    }

    /// A system call or a program failed.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }
}
