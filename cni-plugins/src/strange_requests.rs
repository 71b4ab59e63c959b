//! Requests with a few things wrong, through everything that reads them and changes nothing.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::call::Call;
use crate::{bridge, host_local, portmap, ruleset};

/// A request that says as much as it can.
fn full() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
        "ipMasq": "true", "mtu": 1400, "vlan": 0, "vlanTrunk": [], "nftTable": "t",
        "ipam": {
            "type": "host-local", "dataDir": "/d", "resolvConf": "/r", "subnet": "10.0.0.0/16", "gateway": "10.0.0.1",
            "ranges": [[{ "subnet": "10.1.0.0/16", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.10" }], [{ "subnet": "fd00::/64" }]],
            "routes": [{ "dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1400, "table": 7, "scope": 1 }],
        },
        "args": { "cni": { "mac": "02:00:00:00:00:01", "ips": ["10.0.0.5"] } },
        "runtimeConfig": {
            "mac": "02:00:00:00:00:01", "ips": ["10.0.0.5/16"], "ipRanges": [[{ "subnet": "10.2.0.0/16" }]],
            "portMappings": [{ "hostPort": 80, "containerPort": 80, "protocol": "udp", "hostIP": "::1" }],
        },
        "prevResult": {
            "cniVersion": "1.1.0", "interfaces": [{ "name": "eth0", "sandbox": "/s" }],
            "ips": [{ "interface": 0, "address": "10.0.0.5/16" }, { "interface": 0, "address": "fd00::5/64" }],
            "routes": [{ "dst": "10.0.0.0/8" }], "dns": { "nameservers": ["10.0.0.1"] },
        },
        "cni.dev/valid-attachments": [{ "containerID": "c", "ifname": "eth0" }],
    })
}

/// The JSON pointers to all values below one.
fn pointers(value: &Value, here: &str) -> Vec<String> {
    let below: Vec<_> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (key.replace('/', "~1"), item)).collect(),
        _ => Vec::new(),
    };
    let below = below.into_iter().flat_map(|(key, item)| pointers(item, &format!("{here}/{key}")));
    std::iter::once(here.to_owned()).chain(below).collect()
}

fn foreign() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[{ "subnet": "0.0.0.0/0" }], [{ "subnet": "::/0" }]])),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[0-9]{1,3}(\\.[0-9]{1,3}){3}(/[0-9]{1,3})?".prop_map(Value::from),
        "[0-9a-f:]{0,20}(/[0-9]{1,3})?".prop_map(Value::from),
        ".{0,300}".prop_map(Value::from),
    ]
}

fn environment(verb: &'static str, args: String) -> impl Fn(&str) -> String {
    move |key| match key {
        "CNI_COMMAND" => verb.into(),
        "CNI_CONTAINERID" => "c".into(),
        "CNI_NETNS" => "/x".into(),
        "CNI_IFNAME" => "eth0".into(),
        "CNI_ARGS" => args.clone(),
        _ => String::new(),
    }
}

fn read_by_all(verb: &'static str, args: String, stdin: Vec<u8>) -> Option<[bool; 4]> {
    let call = Call::parse(&environment(verb, args), stdin).ok()?;
    let _ = call.valid_owners();
    Some([
        bridge::decode(&call).is_ok(),
        host_local::decode(&call).is_ok(),
        portmap::decode(&call).is_ok(),
        ruleset::table_of(&call).is_ok(),
    ])
}

#[test]
fn the_full_request_is_good() {
    let mut value = full();
    // One wanted address is not in the ranges that the runtime gives, which only an ADD finds.
    assert_eq!(read_by_all("ADD", "IP=10.0.0.6".into(), value.to_string().into_bytes()), Some([true; 4]));
    value["IsGateway"] = json!(7);
    let found = read_by_all("ADD", String::new(), value.to_string().into_bytes());
    assert_eq!(found, Some([false, true, true, true]));
}

proptest! {
    #[test]
    fn no_request_panics(
        changes in vec((any::<proptest::sample::Index>(), foreign()), 0..5),
        bytes in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..2),
        args in "([A-Z]{1,3}=[0-9.,:]{0,12};?){0,3}",
        verb in proptest::sample::select(&["ADD", "DEL", "CHECK", "GC", "STATUS"][..]),
    ) {
        let mut value = full();
        for (place, foreign) in changes {
            let pointers = pointers(&value, "");
            if let Some(target) = value.pointer_mut(&pointers[place.index(pointers.len())]) {
                *target = foreign;
            }
        }
        let mut stdin = value.to_string().into_bytes();
        for (place, byte) in bytes {
            let place = place.index(stdin.len());
            stdin[place] = byte;
        }
        let _ = read_by_all(verb, args, stdin);
    }
}
