//! One message: a channel and its payload.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::MAX_MESSAGE;

/// Where a message's bytes belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Channel {
    /// To the process.
    Stdin = 0,
    /// From the process; with a terminal all its output.
    Stdout = 1,
    /// From the process, without a terminal.
    Stderr = 2,
    /// How it ended: one [`crate::Status`].
    Error = 3,
    /// The size of the client's terminal: one [`Resize`].
    Resize = 4,
}

/// In v5, the channel number of "the channel in the next byte is closed".
const CLOSE: u8 = 255;

impl Channel {
    fn from_byte(byte: u8) -> Result<Self, DecodeError> {
        Ok(match byte {
            0 => Self::Stdin,
            1 => Self::Stdout,
            2 => Self::Stderr,
            3 => Self::Error,
            4 => Self::Resize,
            other => return Err(DecodeError::UnknownChannel(other)),
        })
    }
}

/// A decoded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a channel. They may be none: a server says so that the connection stands.
    Data(Channel, Bytes),
    /// Nothing more comes on a channel (v5 only).
    Close(Channel),
}

impl Frame {
    /// The binary message for it.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Data(channel, payload) => Self::encode_data(*channel, payload),
            Self::Close(channel) => Bytes::copy_from_slice(&[CLOSE, *channel as u8]),
        }
    }

    /// The binary message for a channel's bytes.
    pub fn encode_data(channel: Channel, payload: &[u8]) -> Bytes {
        let mut message = BytesMut::with_capacity(payload.len() + 1);
        message.put_u8(channel as u8);
        message.put_slice(payload);
        message.freeze()
    }

    /// Reads a binary message.
    pub fn decode(message: Bytes) -> Result<Self, DecodeError> {
        if message.len() > MAX_MESSAGE {
            return Err(DecodeError::TooLong(message.len()));
        }
        match *message {
            [] => Err(DecodeError::Empty),
            [CLOSE, channel] => Ok(Self::Close(Channel::from_byte(channel)?)),
            [CLOSE, ..] => Err(DecodeError::MalformedClose),
            [channel, ..] => Ok(Self::Data(Channel::from_byte(channel)?, message.slice(1..))),
        }
    }
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Resize {
    /// The message for it.
    pub fn encode(self) -> Bytes {
        let json = format!(r#"{{"Width":{},"Height":{}}}"#, self.width, self.height);
        Frame::encode_data(Channel::Resize, json.as_bytes())
    }

    /// Reads a payload of [`Channel::Resize`].
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(payload).map_err(|error| DecodeError::MalformedResize(error.to_string()))
    }
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It has not even a channel.
    #[error("a message without a channel")]
    Empty,
    /// The channel does not exist.
    #[error("channel {0} does not exist")]
    UnknownChannel(u8),
    /// A close signal names exactly one channel.
    #[error("a close signal that does not name one channel")]
    MalformedClose,
    /// Longer than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes is over the limit of {MAX_MESSAGE}")]
    TooLong(usize),
    /// Not a terminal size.
    #[error("malformed terminal size: {0}")]
    MalformedResize(String),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_look_as_other_implementations_expect() {
        assert_eq!(&Frame::encode_data(Channel::Stdout, b"hi")[..], b"\x01hi");
        assert_eq!(&Frame::Close(Channel::Stdin).encode()[..], [255, 0]);
        assert_eq!(&Resize { width: 80, height: 24 }.encode()[..], b"\x04{\"Width\":80,\"Height\":24}");
    }

    #[test]
    fn what_is_no_message_is_refused_by_name() {
        for (bytes, expected) in [
            (&b""[..], DecodeError::Empty),
            (b"\x05x", DecodeError::UnknownChannel(5)),
            (b"\xff", DecodeError::MalformedClose),
            (b"\xff\x00\x01", DecodeError::MalformedClose),
            (b"\xff\x09", DecodeError::UnknownChannel(9)),
        ] {
            assert_eq!(Frame::decode(Bytes::from_static(bytes)), Err(expected));
        }
        let long = Bytes::from(vec![1; MAX_MESSAGE + 1]);
        assert_eq!(Frame::decode(long), Err(DecodeError::TooLong(MAX_MESSAGE + 1)));
    }

    #[test]
    fn a_size_that_no_terminal_has_is_refused() {
        for payload in ["", "{}", r#"{"Width":-1,"Height":2}"#, r#"{"Width":70000,"Height":2}"#] {
            assert!(Resize::decode(payload.as_bytes()).is_err(), "{payload}");
        }
        assert_eq!(Resize::decode(br#"{"Width":1,"Height":2,"X":3}"#), Ok(Resize { width: 1, height: 2 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Resize::decode(&bytes);
            if let Ok(frame) = Frame::decode(Bytes::from(bytes.clone())) {
                prop_assert_eq!(&frame.encode()[..], &bytes[..]);
            }
        }
    }
}
