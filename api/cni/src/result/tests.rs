//! A result in every version, up and down.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn full() -> NetResult {
    NetResult::from_value(json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            { "name": "cni0", "mac": "0a:58:0a:01:00:01", "mtu": 1500 },
            { "name": "eth0", "mac": "0a:58:0a:01:00:05", "sandbox": "/run/netns/a", "mtu": 1500, "pciID": "0:1" },
        ],
        "ips": [
            { "interface": 1, "address": "10.1.0.5/16", "gateway": "10.1.0.1" },
            { "interface": 1, "address": "10.1.0.6/16" },
            { "interface": 1, "address": "fd00::5/64", "gateway": "fd00::1" },
        ],
        "routes": [{ "dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400, "table": 7 }, { "dst": "::/0" }],
        "dns": { "nameservers": ["10.96.0.10"] },
    }))
    .unwrap()
}

#[test]
fn the_newest_version_loses_nothing() {
    let result = full();
    assert_eq!(NetResult::from_value(result.to_value(Version::V1_1_0)).unwrap(), result);
}

#[test]
fn version_1_0_drops_what_1_1_added() {
    let value = full().to_value(Version::V1_0_0);
    assert_eq!(
        value["interfaces"][1],
        json!({"name": "eth0", "mac": "0a:58:0a:01:00:05", "sandbox": "/run/netns/a"})
    );
    assert_eq!(value["routes"][0], json!({"dst": "0.0.0.0/0", "gw": "10.1.0.1"}));
    assert_eq!(value["ips"][0].get("version"), None);
}

#[test]
fn versions_0_3_and_0_4_say_the_family_and_always_print_dns() {
    for version in [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0] {
        let value = NetResult { dns: Dns::default(), ..full() }.to_value(version);
        assert_eq!(value["ips"][0]["version"], "4");
        assert_eq!(value["ips"][2]["version"], "6");
        assert_eq!(value["dns"], json!({}));
        assert_eq!(value["cniVersion"], version.as_str());
    }
    assert_eq!(NetResult::default().to_value(Version::V0_3_1), json!({"cniVersion": "0.3.1", "dns": {}}));
    assert_eq!(NetResult::default().to_value(Version::V1_0_0), json!({"cniVersion": "1.0.0"}));
}

#[test]
fn version_0_2_keeps_the_first_address_of_each_family() {
    let value = full().to_value(Version::V0_2_0);
    assert_eq!(
        value,
        json!({
            "cniVersion": "0.2.0",
            "ip4": { "ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}] },
            "ip6": { "ip": "fd00::5/64", "gateway": "fd00::1", "routes": [{"dst": "::/0"}] },
            "dns": { "nameservers": ["10.96.0.10"] },
        })
    );
    let up = NetResult::from_value(value).unwrap();
    assert_eq!(up.ips.len(), 2);
    assert_eq!(up.routes.len(), 2);
    assert!(up.interfaces.is_empty());
}

#[test]
fn the_old_versions_are_refused_what_they_have_no_room_for() {
    let one = NetResult { ips: full().ips.into_iter().skip(1).collect(), ..full() };
    for version in [Version::V0_1_0, Version::V0_2_0] {
        assert!(one.check_expressible(version).is_ok());
        assert!(full().check_expressible(version).is_err(), "two addresses of IPv4");
        assert!(NetResult::default().check_expressible(version).is_err(), "no address");
    }
    assert!(full().check_expressible(Version::V0_3_0).is_ok());
    assert!(NetResult::default().check_expressible(Version::V0_3_0).is_ok());
}

#[test]
fn what_go_prints_for_unset_values_is_read() {
    let result = NetResult::from_value(json!({
        "cniVersion": "0.4.0", "interfaces": null, "routes": null, "dns": {},
        "ips": [{ "version": "4", "address": "10.0.0.1/8", "gateway": "" }],
    }));
    assert_eq!(result.unwrap().ips[0].gateway, None);
}

#[test]
fn a_wrong_index_and_an_unknown_version_are_refused() {
    let value = json!({"cniVersion": "1.0.0", "ips": [{"interface": 0, "address": "10.0.0.1/8"}]});
    assert!(matches!(NetResult::from_value(value), Err(ResultError::Index(0, 0))));
    assert!(matches!(NetResult::from_value(json!({"cniVersion": "9"})), Err(ResultError::Version(_))));
}

#[test]
fn the_containers_addresses_are_those_in_a_sandbox() {
    let mut result = full();
    result.ips[1].interface = Some(0);
    let found: Vec<_> = result.container_addresses().map(|addr| addr.to_string()).collect();
    assert_eq!(found, ["10.1.0.5/16", "fd00::5/64"]);
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = NetResult::parse(&bytes);
    }

    #[test]
    fn a_damaged_result_never_panics_and_what_is_read_can_be_printed(
        damage in crate::damage::any(),
        from in proptest::sample::select(&Version::ALL[..]),
        to in proptest::sample::select(&Version::ALL[..]),
    ) {
        if let Ok(result) = NetResult::parse(&damage.of(&full().to_value(from))) {
            let _ = result.container_addresses().count();
            prop_assert!(NetResult::from_value(result.to_value(to)).is_ok());
            prop_assert_eq!(NetResult::from_value(result.to_value(Version::LATEST)).unwrap(), result);
        }
    }

    #[test]
    fn every_version_can_be_read_again(version in proptest::sample::select(&Version::ALL[..])) {
        prop_assert!(NetResult::from_value(full().to_value(version)).is_ok());
    }
}
