//! CRI messages in our JSON state: their protobuf encoding, so that a field which a newer daemon knows survives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// For `#[serde(with = …)]`.
pub(crate) fn serialize<M: Message, S: Serializer>(message: &M, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(message.encode_to_vec()))
}

/// For `#[serde(with = …)]`.
pub(crate) fn deserialize<'de, M: Message + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<M, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
    M::decode(bytes.as_slice()).map_err(D::Error::custom)
}
