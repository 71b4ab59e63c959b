//! The error object that a plugin prints on stdout.

use serde::{Deserialize, Serialize};

/// The well-known error codes (specification, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code;

impl Code {
    /// The plugin does not speak the configuration's version.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A field of the configuration is not supported; the message names it and its value.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is unknown or gone; the runtime need not clean up.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or invalid.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Reading or writing failed.
    pub const IO: u32 = 5;
    /// Some text could not be decoded.
    pub const DECODE: u32 = 6;
    /// The network configuration is invalid.
    pub const INVALID_CONFIG: u32 = 7;
    /// The network namespace cannot be used (libcni's own).
    pub const INVALID_NETNS: u32 = 8;
    /// The runtime should try again later.
    pub const TRY_LATER: u32 = 11;
    /// STATUS: no ADD can succeed at present.
    pub const NOT_AVAILABLE: u32 = 50;
    /// STATUS: and containers already attached may have no connectivity.
    pub const LIMITED: u32 = 51;
    /// The plugin's own: an operation on the kernel failed.
    pub const PLUGIN: u32 = 100;
    /// Reading or writing a lease failed, or no address is free.
    pub const IPAM: u32 = 101;
    /// What CHECK expects is not there.
    pub const CHECK: u32 = 102;
    /// Unclassified (libcni's own).
    pub const INTERNAL: u32 = 999;
}

/// Why a plugin refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("code {code}: {msg}{}", detail_suffix(.details))]
pub struct Error {
    /// The version of the request, when it could be read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cni_version: String,
    /// One of [`Code`], or 100 and above for the plugin's own.
    pub code: u32,
    /// One line for a person.
    pub msg: String,
    /// More, when there is more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

fn detail_suffix(details: &str) -> String {
    if details.is_empty() { String::new() } else { format!(" ({details})") }
}

impl Error {
    /// An error without details.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { cni_version: String::new(), code, msg: msg.into(), details: String::new() }
    }

    /// The same error with details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// A field that is known and not implemented.
    pub fn unsupported_field(field: &str, value: impl std::fmt::Display) -> Self {
        Self::new(
            Code::UNSUPPORTED_FIELD,
            format!("the field {field} is not supported (its value is {value})"),
        )
    }

    /// Reads what a failed plugin printed; none when that is not an error object.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|error| error.code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_object_survives_its_json() {
        let error = Error::new(Code::INVALID_CONFIG, "bad subnet").with_details("10.0.0.1/33");
        let bytes = serde_json::to_vec(&error).unwrap();
        assert_eq!(Error::parse(&bytes).unwrap(), error);
        assert_eq!(error.to_string(), "code 7: bad subnet (10.0.0.1/33)");
    }

    #[test]
    fn text_that_is_no_error_object_is_none() {
        assert_eq!(Error::parse(b"panic: boom"), None);
        assert_eq!(Error::parse(b"{\"cniVersion\":\"1.0.0\"}"), None);
    }
}
