//! How a session ended: a `metav1.Status` in JSON on the error channel.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Channel, Frame};

const SUCCESS: &str = "Success";
const NON_ZERO: &str = "NonZeroExitCode";
const EXIT_CODE: &str = "ExitCode";

/// The part of `metav1.Status` that streams use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Always there and always empty, as Go writes it.
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// `Success` or `Failure`.
    #[serde(default)]
    pub status: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For programs: `NonZeroExitCode`, `InternalError`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The exit code, for `NonZeroExitCode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// An HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
}

/// What stands behind a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// `ExitCode` with the number.
    #[serde(default)]
    pub causes: Vec<Cause>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What kind.
    #[serde(default)]
    pub reason: String,
    /// Its value.
    #[serde(default)]
    pub message: String,
}

impl Status {
    /// The process ended by itself.
    pub fn exited(code: i32) -> Self {
        if code == 0 {
            return Self { status: SUCCESS.into(), ..Self::default() };
        }
        Self {
            status: "Failure".into(),
            message: format!("command terminated with non-zero exit code: exit status {code}"),
            reason: NON_ZERO.into(),
            details: Some(Details {
                causes: vec![Cause { reason: EXIT_CODE.into(), message: code.to_string() }],
            }),
            ..Self::default()
        }
    }

    /// It could not be run, or its end is not known.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            status: "Failure".into(),
            message: message.into(),
            reason: "InternalError".into(),
            code: Some(500),
            ..Self::default()
        }
    }

    /// The exit code that it tells; `Err` with the message when there is none.
    pub fn exit_code(&self) -> Result<i32, &str> {
        if self.status == SUCCESS {
            return Ok(0);
        }
        let causes = self.details.iter().flat_map(|details| &details.causes);
        let code =
            causes.filter(|cause| cause.reason == EXIT_CODE).find_map(|cause| cause.message.parse().ok());
        match code {
            Some(code) if self.reason == NON_ZERO => Ok(code),
            _ => Err(&self.message),
        }
    }

    /// The message on the error channel.
    pub fn encode(&self) -> Bytes {
        // Strings, numbers and maps with string keys: serialization cannot fail.
        Frame::encode_data(Channel::Error, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a payload of [`Channel::Error`]. What is no JSON is a plain message, as older servers send it.
    pub fn decode(payload: &[u8]) -> Self {
        serde_json::from_slice(payload).unwrap_or_else(|_| Self::failed(String::from_utf8_lossy(payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(status: &Status) -> String {
        String::from_utf8(status.encode()[1..].to_vec()).unwrap()
    }

    #[test]
    fn success_and_failure_look_as_clients_expect() {
        assert_eq!(json(&Status::exited(0)), r#"{"metadata":{},"status":"Success"}"#);
        assert_eq!(
            json(&Status::exited(3)),
            r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#
        );
    }

    #[test]
    fn an_exit_code_comes_through() {
        for code in [0, 1, 137, 255] {
            assert_eq!(Status::decode(&Status::exited(code).encode()[1..]).exit_code(), Ok(code));
        }
        assert_eq!(Status::failed("no such container").exit_code(), Err("no such container"));
    }

    #[test]
    fn plain_text_is_a_message() {
        assert_eq!(Status::decode(b"container gone").exit_code(), Err("container gone"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Status::decode(&bytes).exit_code().is_ok();
        }
    }
}
