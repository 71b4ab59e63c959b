//! Network configuration: the lists that an administrator writes, and the object that a plugin reads from its stdin.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::names::{NameError, check_network_name};
use crate::version::Version;

#[cfg(test)]
mod tests;

/// The longest configuration or result that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// It is longer than [`MAX_BYTES`].
    #[error("a configuration of {0} bytes is too long")]
    TooLong(usize),
    /// It is no JSON, or a field has the wrong type.
    #[error("the configuration cannot be decoded: {0}")]
    Json(#[from] serde_json::Error),
    /// The network's name is missing or not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// None of the versions that it lists is one that we know.
    #[error("the configuration's cniVersion {0:?} is not known")]
    Version(String),
    /// A list has no plugin.
    #[error("the configuration lists no plugin")]
    NoPlugins,
    /// A plugin has no `type`, or one that is no file name.
    #[error("the configuration has a plugin of type {0:?}")]
    PluginType(String),
}

/// A list of plugins that together make a network.
#[derive(Debug, Clone)]
pub struct NetworkList {
    /// The network's name.
    pub name: String,
    /// The highest listed version that we know; every plugin is asked in it.
    pub version: Version,
    /// Do not ask the plugins to CHECK.
    pub disable_check: bool,
    /// Do not ask the plugins for GC.
    pub disable_gc: bool,
    /// Do not look for further plugins in the folder that is named as the network.
    pub load_only_inlined: bool,
    /// The plugins in the order of ADD.
    pub plugins: Vec<PluginEntry>,
}

/// One plugin of a list.
#[derive(Debug, Clone)]
pub struct PluginEntry {
    /// The file name of the plugin.
    pub kind: String,
    /// The capabilities that it declares.
    pub capabilities: BTreeMap<String, bool>,
    raw: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawList {
    #[serde(default)]
    cni_version: String,
    #[serde(default)]
    cni_versions: Vec<String>,
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "bool_or_string")]
    disable_check: bool,
    #[serde(default, rename = "disableGC", deserialize_with = "bool_or_string")]
    disable_gc: bool,
    #[serde(default, deserialize_with = "bool_or_string")]
    load_only_inlined_plugins: bool,
    #[serde(default)]
    plugins: Vec<Map<String, Value>>,
}

impl NetworkList {
    /// Reads a `.conflist`.
    pub fn parse_list(bytes: &[u8]) -> Result<Self, ConfError> {
        let raw: RawList = decode(bytes)?;
        check_network_name(&raw.name)?;
        let version = std::iter::once(&raw.cni_version)
            .filter(|version| raw.cni_versions.is_empty() || !version.is_empty())
            .chain(&raw.cni_versions)
            .filter_map(|text| Version::parse(text))
            .max()
            .ok_or(ConfError::Version(raw.cni_version))?;
        let plugins = raw.plugins.into_iter().map(PluginEntry::new).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            name: raw.name,
            version,
            disable_check: raw.disable_check,
            disable_gc: raw.disable_gc,
            load_only_inlined: raw.load_only_inlined_plugins,
            plugins,
        })
    }

    /// Reads the `.conf` of a single plugin as a list of one.
    pub fn parse_single(bytes: &[u8]) -> Result<Self, ConfError> {
        let raw: Map<String, Value> = decode(bytes)?;
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, version) = (text("name"), text("cniVersion"));
        check_network_name(&name)?;
        let version = Version::parse(&version).ok_or(ConfError::Version(version))?;
        let plugins = vec![PluginEntry::new(raw)?];
        Ok(Self { name, version, disable_check: false, disable_gc: false, load_only_inlined: true, plugins })
    }

    /// Appends a plugin from a file of its own.
    pub fn push_plugin(&mut self, bytes: &[u8]) -> Result<(), ConfError> {
        self.plugins.push(PluginEntry::new(decode(bytes)?)?);
        Ok(())
    }

    /// Refuses a list without plugins.
    pub fn check_not_empty(&self) -> Result<(), ConfError> {
        if self.plugins.is_empty() { Err(ConfError::NoPlugins) } else { Ok(()) }
    }

    /// What a plugin of this list reads from its stdin.
    ///
    /// `runtime_args` are all that the runtime has to say; the plugin gets those whose capability it declares.
    pub fn request(
        &self,
        plugin: &PluginEntry,
        prev_result: Option<Value>,
        runtime_args: &Map<String, Value>,
        extra: Map<String, Value>,
    ) -> Vec<u8> {
        let mut object = plugin.raw.clone();
        object.insert("name".into(), json!(self.name));
        object.insert("cniVersion".into(), json!(self.version.as_str()));
        if let Some(prev) = prev_result {
            object.insert("prevResult".into(), prev);
        }
        let declared: Map<_, _> = runtime_args
            .iter()
            .filter(|(key, _)| plugin.capabilities.get(key.as_str()).copied().unwrap_or(false))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !declared.is_empty() {
            object.insert("runtimeConfig".into(), Value::Object(declared));
        }
        object.extend(extra);
        Value::Object(object).to_string().into_bytes()
    }
}

impl PluginEntry {
    fn new(raw: Map<String, Value>) -> Result<Self, ConfError> {
        let kind = raw.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        if kind.is_empty() || kind.contains('/') || kind == "." || kind == ".." {
            return Err(ConfError::PluginType(kind));
        }
        let capabilities = match raw.get("capabilities") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(value) => BTreeMap::deserialize(value)?,
        };
        Ok(Self { kind, capabilities, raw })
    }
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, ConfError> {
    if bytes.len() > MAX_BYTES {
        return Err(ConfError::TooLong(bytes.len()));
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// The part of its stdin that every plugin reads; its own keys it reads from the same bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginConf {
    /// The version of this request.
    #[serde(default)]
    pub cni_version: String,
    /// The network's name.
    #[serde(default)]
    pub name: String,
    /// The plugin's file name.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// Which plugin gives the addresses.
    #[serde(default)]
    pub ipam: IpamConf,
    /// The resolver configuration to report.
    #[serde(default)]
    pub dns: Dns,
    /// The result so far, or on DEL and CHECK the whole ADD's.
    #[serde(default)]
    pub prev_result: Option<Value>,
    /// The runtime's arguments for declared capabilities.
    #[serde(default)]
    pub runtime_config: Map<String, Value>,
    /// Arguments by convention, under `cni`.
    #[serde(default)]
    pub args: Option<Value>,
    /// GC: the attachments that live.
    #[serde(default, rename = "cni.dev/valid-attachments")]
    pub valid_attachments: Option<Vec<Attachment>>,
}

/// The key of an attachment within a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    /// CNI_CONTAINERID.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// CNI_IFNAME.
    pub ifname: String,
}

/// The `ipam` object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct IpamConf {
    /// The plugin's file name, its `type`; empty for none.
    pub kind: String,
    /// The whole object, for the plugin of that type.
    pub object: Map<String, Value>,
}

impl TryFrom<Map<String, Value>> for IpamConf {
    type Error = String;

    fn try_from(object: Map<String, Value>) -> Result<Self, String> {
        let kind = object.iter().find(|(key, _)| key.eq_ignore_ascii_case("type")).map(|(_, value)| value);
        let kind = match kind {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(kind)) => kind.clone(),
            Some(other) => return Err(format!("type: {other} is no file name")),
        };
        Ok(Self { kind, object })
    }
}

/// Resolver configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Addresses of servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Domains to search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One entry of the capability `portMappings`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port on the host; 0 asks for nothing.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`, in any case.
    #[serde(default = "tcp")]
    pub protocol: String,
    /// The host's address to listen at; empty for all.
    #[serde(default, rename = "hostIP", skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
}

fn tcp() -> String {
    "tcp".into()
}

/// Reads a bool that may be spelled as a string, as libcni allows it.
pub fn bool_or_string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(false),
        Value::Bool(value) => Ok(value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        other => Err(D::Error::custom(format!("{other} is neither true nor false"))),
    }
}
