//! libcni's cache: what a runtime keeps of an ADD until the DEL, in a form that libcni reads as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const KIND: &str = "cniCacheV1";

/// The name of an attachment's file in the folder of results.
pub fn cache_file_name(network: &str, container_id: &str, ifname: &str) -> String {
    format!("{network}-{container_id}-{ifname}")
}

/// The content of that file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheEntry {
    kind: String,
    /// CNI_CONTAINERID.
    pub container_id: String,
    config: String,
    /// CNI_IFNAME.
    pub if_name: String,
    /// The network's name.
    pub network_name: String,
    /// The path of the network namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub netns: String,
    /// CNI_ARGS as pairs.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub cni_args: Vec<[String; 2]>,
    /// What the runtime had to say for declared capabilities.
    #[serde(default, skip_serializing_if = "Map::is_empty", deserialize_with = "null_is_no_args")]
    pub capability_args: Map<String, Value>,
    /// The result of the last plugin, in the network's version.
    #[serde(default)]
    pub result: Option<Value>,
    /// Which of several runtimes that share the folder made the attachment. Ours alone; libcni ignores the key.
    #[serde(default, rename = "orlopOwner", skip_serializing_if = "String::is_empty")]
    pub owner: String,
}

impl CacheEntry {
    /// An entry for an attachment made from `config`, the bytes of the network's file.
    pub fn new(network: &str, container_id: &str, if_name: &str, config: &[u8]) -> Self {
        Self {
            kind: KIND.into(),
            container_id: container_id.into(),
            config: STANDARD.encode(config),
            if_name: if_name.into(),
            network_name: network.into(),
            netns: String::new(),
            cni_args: Vec::new(),
            capability_args: Map::new(),
            result: None,
            owner: String::new(),
        }
    }

    /// Reads a file of the cache; none when it is of another kind or broken.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|entry| entry.kind == KIND)
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The configuration that the attachment was made from; none when it is broken.
    pub fn config(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.config).ok()
    }
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<[String; 2]>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn null_is_no_args<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_libcnis_keys_and_survives() {
        let mut entry = CacheEntry::new("net", "abc", "eth0", b"{}");
        entry.cni_args = vec![["IgnoreUnknown".into(), "1".into()]];
        let value: Value = serde_json::from_slice(&entry.to_bytes()).unwrap();
        assert_eq!(value["kind"], "cniCacheV1");
        assert_eq!(value["config"], "e30=");
        assert_eq!(value["ifName"], "eth0");
        assert_eq!(value["cniArgs"], serde_json::json!([["IgnoreUnknown", "1"]]));
        assert_eq!(CacheEntry::parse(&entry.to_bytes()).unwrap(), entry);
        assert_eq!(entry.config().unwrap(), b"{}");
    }

    #[test]
    fn numbers_keep_their_last_digit() {
        let mut entry = CacheEntry::new("net", "abc", "eth0", b"{}");
        entry.result = Some(serde_json::json!({"custom": 6.917178942151061e-211}));
        assert_eq!(CacheEntry::parse(&entry.to_bytes()).unwrap(), entry);
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_entry_never_panics(damage in crate::damage::any()) {
            let mut entry = CacheEntry::new("net", "abc", "eth0", b"{}");
            entry.cni_args = vec![["IgnoreUnknown".into(), "1".into()]];
            let value = serde_json::from_slice(&entry.to_bytes()).unwrap();
            if let Some(entry) = CacheEntry::parse(&damage.of(&value)) {
                let _ = entry.config();
                proptest::prop_assert_eq!(CacheEntry::parse(&entry.to_bytes()).unwrap(), entry);
            }
        }
    }

    #[test]
    fn a_broken_or_foreign_file_is_none() {
        assert_eq!(CacheEntry::parse(b""), None);
        assert_eq!(
            CacheEntry::parse(
                br#"{"kind":"x","containerId":"a","config":"","ifName":"b","networkName":"c"}"#
            ),
            None
        );
    }
}
