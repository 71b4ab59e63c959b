//! Why bytes could not be read, or an object not be written.

/// A body that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The body does not begin with the four bytes that announce the encoding.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoPrefix,
    /// A longer body than is read.
    #[error("a body of more than {} bytes", super::MAX_SIZE)]
    TooLarge,
    /// Neither the body nor the caller says what it is.
    #[error("Object 'Kind' is missing")]
    NoKind,
    /// A kind that the table does not have.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    UnknownKind {
        /// `GROUP/VERSION`, or the version alone for the core group.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// A field of a message is malformed.
    #[error("proto: {message}.{field}: {fault}")]
    Field {
        /// The innermost message, `core.v1.Container`.
        message: String,
        /// Its field as JSON calls it; `#7` where the bytes name no known one, `(tag)` where they end before one.
        field: String,
        /// What is wrong.
        fault: Fault,
    },
}

/// What can be wrong with a field's bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// The bytes end within a value.
    #[error("unexpected end of data")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("integer overflow")]
    Overflow,
    /// A field number that there cannot be.
    #[error("illegal tag")]
    Tag,
    /// A wire type that does not exist, or a group that ends without having begun.
    #[error("illegal wireType {0}")]
    NoWireType(u8),
    /// A wire type that does not fit the field.
    #[error("wrong wireType = {0}")]
    WireType(u8),
    /// Text that is not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// Bytes that should be JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// A time outside the years 0 to 9999.
    #[error("time out of range")]
    Time,
    /// Not a number, or infinite.
    #[error("not a finite number")]
    Number,
    /// A value that is neither a number nor text.
    #[error("impossible IntOrString.Type")]
    IntOrString,
    /// Messages in messages, deeper than any honest object.
    #[error("nested deeper than {} levels", super::MAX_DEPTH)]
    Depth,
    /// More values than any honest object has.
    #[error("more values than an object may have")]
    Count,
}

impl Fault {
    /// The error of a field.
    pub(super) fn at(self, message: impl Into<String>, field: impl Into<String>) -> DecodeError {
        DecodeError::Field { message: message.into(), field: field.into(), fault: self }
    }
}

/// An object that cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EncodeError {
    /// It does not say what it is.
    #[error("apiVersion or kind is missing")]
    NoKind,
    /// A kind that the table does not have.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    UnknownKind {
        /// `GROUP/VERSION`, or the version alone for the core group.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// A value is not of its field's type.
    #[error("{message}.{field}: not {wanted}")]
    Type {
        /// The innermost message, `core.v1.Container`.
        message: String,
        /// Its field as JSON calls it.
        field: String,
        /// The type.
        wanted: &'static str,
    },
    /// A watch's event of 4 GiB.
    #[error("an event of more than 4 GiB")]
    TooLarge,
    /// Objects in objects, deeper than a decoder takes.
    #[error("{message}: nested deeper than {} levels", super::MAX_DEPTH)]
    Depth {
        /// The message that would be one too many.
        message: String,
    },
}
