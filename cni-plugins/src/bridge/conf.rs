//! The bridge's configuration: what is implemented, and by name what is not.

use api_cni::{Code, Error, bool_or_string};
use serde::Deserialize;
use serde_json::Value;

use crate::call::Call;
use crate::ruleset;

/// The keys as they are written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    #[serde(default)]
    bridge: String,
    #[serde(default, deserialize_with = "bool_or_string")]
    is_gateway: bool,
    #[serde(default, deserialize_with = "bool_or_string")]
    is_default_gateway: bool,
    #[serde(default, deserialize_with = "bool_or_string")]
    force_address: bool,
    #[serde(default, deserialize_with = "bool_or_string")]
    ip_masq: bool,
    #[serde(default)]
    ip_masq_backend: Option<String>,
    #[serde(default)]
    mtu: u32,
    #[serde(default, deserialize_with = "bool_or_string")]
    hairpin_mode: bool,
    #[serde(default, deserialize_with = "bool_or_string")]
    promisc_mode: bool,
    #[serde(default)]
    vlan: u32,
    #[serde(default)]
    vlan_trunk: Option<Vec<Value>>,
    #[serde(default)]
    preserve_default_vlan: Option<bool>,
    #[serde(default, deserialize_with = "bool_or_string")]
    macspoofchk: bool,
    #[serde(default, deserialize_with = "bool_or_string")]
    enabledad: bool,
    #[serde(default, deserialize_with = "bool_or_string")]
    disable_container_interface: bool,
    #[serde(default, deserialize_with = "bool_or_string")]
    port_isolation: bool,
}

/// The checked configuration.
#[derive(Debug)]
pub(super) struct Conf {
    pub(super) bridge: String,
    pub(super) is_gateway: bool,
    pub(super) is_default_gateway: bool,
    pub(super) force_address: bool,
    pub(super) ip_masq: bool,
    pub(super) mtu: Option<u32>,
    pub(super) hairpin_mode: bool,
    pub(super) promisc_mode: bool,
    pub(super) port_isolation: bool,
    pub(super) disable_container_interface: bool,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) nft_table: String,
}

impl Conf {
    pub(super) fn of(call: &Call) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(Code::INVALID_CONFIG, text);
        let keys: Keys = call.keys()?;
        refuse_unsupported(&keys)?;
        let bridge = if keys.bridge.is_empty() { "cni0".into() } else { keys.bridge };
        api_cni::check_ifname(&bridge).map_err(|error| invalid(error.to_string()))?;
        if keys.hairpin_mode && keys.promisc_mode {
            return Err(invalid("hairpinMode and promiscMode exclude each other".into()));
        }
        if keys.disable_container_interface && !call.conf.ipam.kind.is_empty() {
            return Err(invalid(
                "disableContainerInterface leaves no interface for the addresses of ipam".into(),
            ));
        }
        if keys.mtu != 0 && keys.mtu < 68 {
            return Err(invalid(format!("the mtu {} is less than IPv4's least, 68", keys.mtu)));
        }
        let mac = call.argument("mac", "MAC")?;
        let mac = mac
            .map(|text| parse_mac(&text).ok_or_else(|| invalid(format!("{text:?} is no hardware address"))));
        Ok(Self {
            bridge,
            is_gateway: keys.is_gateway || keys.is_default_gateway,
            is_default_gateway: keys.is_default_gateway,
            force_address: keys.force_address,
            ip_masq: keys.ip_masq,
            mtu: (keys.mtu != 0).then_some(keys.mtu),
            hairpin_mode: keys.hairpin_mode,
            promisc_mode: keys.promisc_mode,
            port_isolation: keys.port_isolation,
            disable_container_interface: keys.disable_container_interface,
            mac: mac.transpose()?,
            nft_table: ruleset::table_of(call)?,
        })
    }
}

fn refuse_unsupported(keys: &Keys) -> Result<(), Error> {
    if keys.vlan != 0 {
        return Err(Error::unsupported_field("vlan", keys.vlan));
    }
    if keys.vlan_trunk.as_ref().is_some_and(|trunk| !trunk.is_empty()) {
        return Err(Error::unsupported_field("vlanTrunk", "a list"));
    }
    if keys.preserve_default_vlan == Some(false) {
        return Err(Error::unsupported_field("preserveDefaultVlan", false));
    }
    if let Some(backend) =
        keys.ip_masq_backend.as_ref().filter(|backend| !matches!(backend.as_str(), "" | "nftables"))
    {
        return Err(Error::unsupported_field("ipMasqBackend", backend));
    }
    for (name, value) in [("macspoofchk", keys.macspoofchk), ("enabledad", keys.enabledad)] {
        if value {
            return Err(Error::unsupported_field(name, value));
        }
    }
    Ok(())
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<_> = text
        .split([':', '-'])
        .map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok())?)
        .collect::<Option<_>>()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> Result<Conf, Error> {
        let environment = |key: &str| match key {
            "CNI_COMMAND" => "ADD".into(),
            "CNI_CONTAINERID" => "c".into(),
            "CNI_NETNS" => "/x".into(),
            "CNI_IFNAME" => "eth0".into(),
            _ => String::new(),
        };
        let mut value: Value = serde_json::from_str(text).unwrap();
        value["name"] = "net".into();
        Conf::of(&Call::parse(&environment, value.to_string().into_bytes()).unwrap())
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name_and_its_default_is_not() {
        for (text, name) in [
            (r#"{"vlan":5}"#, "vlan"),
            (r#"{"vlanTrunk":[{"id":1}]}"#, "vlanTrunk"),
            (r#"{"preserveDefaultVlan":false}"#, "preserveDefaultVlan"),
            (r#"{"macspoofchk":"true"}"#, "macspoofchk"),
            (r#"{"enabledad":true}"#, "enabledad"),
            (r#"{"ipMasqBackend":"iptables"}"#, "ipMasqBackend"),
        ] {
            let error = conf(text).unwrap_err();
            assert!(error.code == 2 && error.msg.contains(name), "{text}: {error}");
        }
        assert!(
            conf(r#"{"vlan":0,"vlanTrunk":[],"preserveDefaultVlan":true,"macspoofchk":"false"}"#).is_ok()
        );
    }

    #[test]
    fn a_default_gateway_is_a_gateway_and_the_bridge_has_a_name() {
        let conf = conf(r#"{"isDefaultGateway":"true","args":{"cni":{"mac":"02:00:00:00:00:0A"}}}"#).unwrap();
        assert!(conf.is_gateway && conf.bridge == "cni0" && conf.nft_table == "orlop-cni");
        assert_eq!(conf.mac, Some([2, 0, 0, 0, 0, 10]));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            r#"{"bridge":"a/b"}"#,
            r#"{"hairpinMode":true,"promiscMode":true}"#,
            r#"{"mtu":10}"#,
            r#"{"disableContainerInterface":true,"ipam":{"type":"host-local"}}"#,
            r#"{"args":{"cni":{"mac":"02:00"}}}"#,
            r#"{"isGateway":3}"#,
        ] {
            assert_eq!(conf(text).unwrap_err().code, 7, "{text}");
        }
    }
}
