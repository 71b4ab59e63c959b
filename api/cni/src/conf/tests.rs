//! Versions chosen, names refused, requests as plugins get them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::go_json;

fn list(value: &Value) -> Result<NetworkList, ConfError> {
    NetworkList::parse_list(value.to_string().as_bytes())
}

#[test]
fn the_highest_known_version_of_a_list_is_taken() {
    for (one, many, expected) in [
        ("0.4.0", json!([]), Version::V0_4_0),
        ("0.4.0", json!(["0.3.1", "1.1.0", "2.0.0"]), Version::V1_1_0),
        ("", json!(["0.3.1"]), Version::V0_3_1),
        ("", json!([]), Version::V0_1_0),
    ] {
        let value =
            json!({"cniVersion": one, "cniVersions": many, "name": "a", "plugins": [{"type": "bridge"}]});
        assert_eq!(list(&value).unwrap().version, expected, "{one} {many}");
    }
    assert!(matches!(list(&json!({"cniVersion": "9", "name": "a"})), Err(ConfError::Version(_))));
}

#[test]
fn bools_may_be_strings() {
    for (value, expected) in
        [(json!(true), true), (json!("true"), true), (json!("False"), false), (json!(null), false)]
    {
        let value =
            json!({"name": "a", "disableCheck": value, "disableGC": value, "plugins": [{"type": "b"}]});
        let list = list(&value).unwrap();
        assert_eq!((list.disable_check, list.disable_gc), (expected, expected));
    }
    assert!(list(&json!({"name": "a", "disableCheck": 1})).is_err());
}

#[test]
fn what_cannot_name_a_network_or_a_plugin_is_refused() {
    assert!(matches!(list(&json!({"plugins": []})), Err(ConfError::Name(_))));
    assert!(matches!(list(&json!({"name": "a/b"})), Err(ConfError::Name(_))));
    assert!(matches!(list(&json!({"name": "a", "plugins": [{}]})), Err(ConfError::PluginType(_))));
    assert!(matches!(
        list(&json!({"name": "a", "plugins": [{"type": "../b"}]})),
        Err(ConfError::PluginType(_))
    ));
    assert!(matches!(list(&json!({"name": "a"})).unwrap().check_not_empty(), Err(ConfError::NoPlugins)));
}

#[test]
fn a_plugin_gets_its_own_object_with_what_it_declares() {
    let conf = list(&json!({"cniVersion": "1.0.0", "name": "net", "plugins": [
        {"type": "portmap", "capabilities": {"portMappings": true, "bandwidth": false}, "snat": true},
        {"type": "tuning"},
    ]}))
    .unwrap();
    let args = json!({"portMappings": [{"hostPort": 1}], "bandwidth": {}, "dns": {}});
    let args = args.as_object().unwrap();
    let first: Value =
        serde_json::from_slice(&conf.request(&conf.plugins[0], Some(json!({"x": 1})), args, Map::new()))
            .unwrap();
    assert_eq!(first["runtimeConfig"], json!({"portMappings": [{"hostPort": 1}]}));
    assert_eq!(
        (&first["name"], &first["cniVersion"], &first["snat"]),
        (&json!("net"), &json!("1.0.0"), &json!(true))
    );
    assert_eq!(first["prevResult"], json!({"x": 1}));
    let second: Value =
        serde_json::from_slice(&conf.request(&conf.plugins[1], None, args, Map::new())).unwrap();
    assert_eq!(second, json!({"type": "tuning", "name": "net", "cniVersion": "1.0.0"}));
}

#[test]
fn a_single_plugin_becomes_a_list_of_one() {
    let conf = NetworkList::parse_single(br#"{"cniVersion":"0.3.1","name":"n","type":"bridge"}"#).unwrap();
    assert_eq!((conf.plugins.len(), conf.version, conf.name.as_str()), (1, Version::V0_3_1, "n"));
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = NetworkList::parse_list(&bytes);
        let _ = NetworkList::parse_single(&bytes);
        let _ = go_json::from_slice::<PluginConf>(&bytes);
    }

    #[test]
    fn a_damaged_list_never_panics_and_its_request_stays_json(damage in crate::damage::any()) {
        let value = json!({"cniVersion": "1.1.0", "cniVersions": ["1.0.0"], "name": "net", "disableCheck": "true",
            "plugins": [{"type": "bridge", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.0.0.0/8"}]]}},
                {"type": "portmap", "capabilities": {"portMappings": true}}]});
        let bytes = damage.of(&value);
        let _ = (NetworkList::parse_single(&bytes), go_json::from_slice::<PluginConf>(&bytes));
        if let Ok(list) = NetworkList::parse_list(&bytes) {
            for plugin in &list.plugins {
                let request = list.request(plugin, None, &Map::new(), Map::new());
                prop_assert!(serde_json::from_slice::<Value>(&request).is_ok());
            }
        }
    }
}
