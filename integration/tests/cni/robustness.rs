//! What people and other programs do to a network: odd configurations, broken files, things taken away.

use std::fs;

use integration::runner::check;
use serde_json::{Value, json};

use crate::host::*;

fn message(answer: &Answer) -> &str {
    answer.json["msg"].as_str().unwrap_or_default()
}

pub(crate) fn go_habits() -> Result {
    let host = Host::new()?;
    let conf = json!({
        "cniVersion": "1.1.0", "name": "net", "type": "bridge", "Bridge": "cni0", "ISDEFAULTGATEWAY": true, "Mtu": 1400,
        "vlan": null, "vlanTrunk": null, "ipMasqBackend": null, "dns": null, "args": null, "runtimeConfig": null,
        "ipam": {
            "type": "host-local", "datadir": host.data, "resolvConf": null, "gateway": "", "rangeStart": null,
            "Subnet": "10.77.0.0/24", "ranges": null, "routes": null,
        },
    });
    let result = host.new_pod(&conf, "one")?;
    check(addr(&result, 0) == "10.77.0.2" && result["ips"][0]["gateway"] == "10.77.0.1", || {
        result.to_string()
    })?;
    check(result["interfaces"][2]["mtu"] == 1400, || result.to_string())?;
    check(result["routes"][0]["dst"] == "0.0.0.0/0", || result.to_string())?;
    let mut again = with_result(&conf, &result);
    again["ipam"]["routes"] = Value::Null;
    let answer = call(&again, "CHECK", "one", &[])?;
    check(answer.ok, || answer.json.to_string())?;
    host.del(&again, "one")?;
    // Of the places for a hardware address the runtime's is the strongest, CNI_ARGS the weakest.
    let mut conf = conf;
    for (key, value, expected) in [
        ("name", json!("net"), "02:00:00:00:00:01"),
        ("args", json!({ "cni": { "mac": "02:00:00:00:00:02" } }), "02:00:00:00:00:02"),
        ("RuntimeConfig", json!({ "mac": "02:00:00:00:00:03" }), "02:00:00:00:00:03"),
    ] {
        if key == "RuntimeConfig" {
            conf.as_object_mut().map(|conf| conf.remove("runtimeConfig"));
        }
        conf[key] = value;
        let answer = call(&conf, "ADD", "one", &[("CNI_ARGS", "MAC=02:00:00:00:00:01")])?;
        check(answer.json["interfaces"][2]["mac"] == expected, || answer.json.to_string())?;
        host.del(&conf, "one")?;
    }
    Ok(())
}

pub(crate) fn wrong_values() -> Result {
    let host = Host::new()?;
    host.pod("one")?;
    let before = host.snapshot()?;
    let bridge = host.bridge();
    let mapping = json!([{ "hostPort": 70000, "containerPort": 80, "protocol": "tcp" }]);
    let result = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "10.77.0.2/24" }] });
    let portmap = portmap(&result, mapping);
    let ranges = |text: &str| json!([[{ "subnet": text }]]);
    for (base, pointer, value, code, words) in [
        (&bridge, "/mtu", json!("big"), 7, ["mtu", "\"big\""]),
        (&bridge, "/isGateway", json!(3), 7, ["isGateway", "3"]),
        (&bridge, "/bridge", json!("a/b"), 7, ["interface name", "a/b"]),
        (&bridge, "/vlan", json!(100), 2, ["vlan", "100"]),
        (&bridge, "/macspoofchk", json!(true), 2, ["macspoofchk", "true"]),
        (&bridge, "/ipam/ranges", ranges("10.77.0.0/33"), 7, ["ipam: ranges: 0: 0: subnet", "10.77.0.0/33"]),
        (&bridge, "/ipam/ranges", ranges("10.77.0.1/24"), 7, ["host bits", "10.77.0.1/24"]),
        (&bridge, "/ipam/subnet", json!(7), 7, ["ipam: subnet", "7"]),
        (&bridge, "/ipam/routes", json!([{ "dst": "x" }]), 7, ["routes: 0: dst", "\"x\""]),
        (&bridge, "/ipam/type", json!(5), 6, ["ipam: type", "5"]),
        (&bridge, "/runtimeConfig", json!({ "ips": [5] }), 7, ["runtimeConfig.ips: 0", "5"]),
        (&bridge, "/cniVersion", json!(1), 6, ["cniVersion", "1"]),
        (&portmap, "/snat", json!("maybe"), 7, ["snat", "maybe"]),
        (&portmap, "/name", json!("net"), 7, ["portMappings: 0: hostPort", "70000"]),
    ] {
        let mut conf = base.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
        if let Some(parent) = conf.pointer_mut(parent) {
            parent[key] = value;
        }
        let answer = call(&conf, "ADD", "one", &[])?;
        let named = words.iter().all(|word| message(&answer).contains(word));
        check(!answer.ok && answer.json["code"] == code && named, || format!("{pointer}: {}", answer.json))?;
        // A runtime cleans up after a refused ADD with the same configuration, and would try for ever. What no part of the
        // request can be read of is another matter: nothing was ever made from it.
        if code != 6 {
            host.del(&conf, "one")?;
        }
        host.same(&before, pointer)?;
    }
    for (args, word) in [("IPP=10.77.0.9", "IPP"), ("nonsense", "nonsense")] {
        let answer = call(&bridge, "ADD", "one", &[("CNI_ARGS", args)])?;
        check(answer.json["code"] == 4 && message(&answer).contains(word), || answer.json.to_string())?;
        check(call(&bridge, "DEL", "one", &[("CNI_ARGS", args)])?.ok, || format!("DEL with {args}"))?;
    }
    host.same(&before, "refused arguments")?;
    let args = [("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=a;IP=10.77.0.9")];
    let answer = call(&bridge, "ADD", "one", &args)?;
    check(answer.ok && addr(&answer.json, 0) == "10.77.0.9", || answer.json.to_string())
}

pub(crate) fn old_versions() -> Result {
    let host = Host::new()?;
    host.pod("one")?;
    let mut two = host.bridge();
    two["ipam"]["ranges"] = json!([[{ "subnet": "10.77.0.0/24" }], [{ "subnet": "10.78.0.0/24" }]]);
    let mut none = host.bridge();
    none["ipam"] = json!({});
    none["isDefaultGateway"] = json!(false);
    for (conf, word) in [(&mut two, "more than one address"), (&mut none, "0 IPv4 and 0 IPv6")] {
        let result = host.add(conf, "one")?;
        host.del(&with_result(conf, &result), "one")?;
        let before = host.snapshot()?;
        for version in ["0.1.0", "0.2.0"] {
            conf["cniVersion"] = json!(version);
            let answer = call(conf, "ADD", "one", &[])?;
            check(answer.json["code"] == 7 && message(&answer).contains(word), || answer.json.to_string())?;
            check(answer.json["cniVersion"] == version, || answer.json.to_string())?;
            host.same(&before, version)?;
        }
    }
    Ok(())
}

pub(crate) fn no_programs() -> Result {
    let host = Host::new()?;
    let (conf, env) = (host.bridge(), [("PATH", "/nowhere")]);
    host.pod("one")?;
    let ask = |conf: &Value, verb: &str| -> Result<Value> {
        let answer = call(conf, verb, "one", &env)?;
        check(answer.ok, || format!("{verb}: {} {}", answer.json, answer.stderr))?;
        Ok(answer.json)
    };
    let result = ask(&conf, "ADD")?;
    let map = portmap(&result, json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]));
    ask(&map, "ADD")?;
    check(run("nft list table inet orlop-cni")?.contains("8080"), || "no host port".into())?;
    ask(&with_result(&conf, &result), "CHECK")?;
    ask(&map, "CHECK")?;
    ask(&map, "DEL")?;
    ask(&with_result(&conf, &result), "DEL").map(drop)
}

pub(crate) fn foreign_bridge_mac() -> Result {
    let host = Host::new()?;
    run("ip link add cni0 type bridge")?;
    let mac = || -> Result<String> {
        let link = run("ip -br link show cni0")?;
        Ok(link.split_whitespace().nth(2).unwrap_or_default().to_owned())
    };
    let before = mac()?;
    let mut conf = host.bridge();
    for number in 0..8 {
        // A port with a lower address than the bridge's would hand it over; names are hashes, so try some.
        let result = host.new_pod(&conf, &format!("p{number}"))?;
        check(result["interfaces"][0]["mac"] == before.as_str() && mac()? == before, || result.to_string())?;
    }
    // Without a gateway the bridge is left to its owner, and the result says what it has become.
    run("ip link del cni0")?;
    run("ip link add cni0 type bridge")?;
    conf["isDefaultGateway"] = json!(false);
    for number in 8..12 {
        let result = host.new_pod(&conf, &format!("p{number}"))?;
        check(result["interfaces"][0]["mac"] == mac()?.as_str(), || result.to_string())?;
    }
    Ok(())
}

pub(crate) fn broken_leases() -> Result {
    let host = Host::new()?;
    let mut conf = host.bridge();
    conf["ipam"]["ranges"] = json!([[{ "subnet": "10.77.0.0/24" }]]);
    let dir = host.data.join("net");
    fs::create_dir(&dir)?;
    fs::write(dir.join("10.77.0.2"), [0xff, 0xfe, 0x00, b'\r', b'\n', 0x80])?;
    fs::create_dir(dir.join("10.77.0.3"))?;
    fs::write(dir.join("10.77.0.4"), vec![b'a'; 1 << 20])?;
    fs::write(dir.join("10.77.0.5"), "")?;
    fs::write(dir.join("not-an-address"), "x")?;
    fs::write(dir.join("last_reserved_ip.0"), [0xff; 100])?;
    // The empty file was torn by a kill and is nobody's.
    let result = host.new_pod(&conf, "one")?;
    check(addr(&result, 0) == "10.77.0.5", || result.to_string())?;
    let second = host.new_pod(&conf, "two")?;
    check(addr(&second, 0) == "10.77.0.6", || second.to_string())?;
    let answer = call(&with_result(&conf, &result), "CHECK", "one", &[])?;
    check(answer.ok, || answer.json.to_string())?;
    let answer = call(&conf, "STATUS", "", &[])?;
    check(answer.ok, || answer.json.to_string())?;
    host.del(&conf, "one")?;
    check(!dir.join("10.77.0.5").exists() && dir.join("10.77.0.2").exists(), || {
        "DEL took what is not its own".into()
    })?;
    let mut gc = conf.clone();
    gc["cni.dev/valid-attachments"] = json!([{ "containerID": "two", "ifname": "eth0" }]);
    let answer = call(&gc, "GC", "", &[])?;
    check(answer.ok, || answer.json.to_string())?;
    let left: Vec<_> = (2..7).filter(|number| dir.join(format!("10.77.0.{number}")).exists()).collect();
    check(left == [3, 6], || format!("after GC there are {left:?}"))
}

pub(crate) fn check_finds() -> Result {
    let host = Host::new()?;
    let conf = host.bridge();
    for (number, (damage, word)) in [
        ("ip -n POD addr del ADDR/24 dev eth0", "does not have the address ADDR/24"),
        ("ip -n POD -6 addr del ADDR6/64 dev eth0", "does not have the address ADDR6/64"),
        ("ip -n POD route del default", "does not have the route 0.0.0.0/0"),
        ("ip -n POD link set eth0 down", "down"),
        ("ip -n POD link set eth0 address 02:00:00:00:00:09", "02:00:00:00:00:09"),
        ("ip link set HOST nomaster", "no port of cni0"),
        ("ip link set HOST down", "down"),
        ("ip -n POD link del eth0", "gone"),
        ("rm LEASES/net/ADDR", "holds no lease of ADDR"),
        ("rm LEASES/net/ADDR LEASES/net/ADDR6", "holds no address"),
        ("nft flush set inet orlop-cni masq4", "masq4"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("p{number}");
        let result = host.new_pod(&conf, &id)?;
        let healthy = call(&with_result(&conf, &result), "CHECK", &id, &[])?;
        check(healthy.ok, || format!("before {damage}: {}", healthy.json))?;
        let fill = |text: &str| {
            text.replace("POD", &id)
                .replace("HOST", result["interfaces"][1]["name"].as_str().unwrap_or_default())
                .replace("ADDR6", &addr(&result, 1))
                .replace("ADDR", &addr(&result, 0))
                .replace("LEASES", &host.data.to_string_lossy())
        };
        run(&fill(damage))?;
        let answer = call(&with_result(&conf, &result), "CHECK", &id, &[])?;
        check(answer.json["code"] == 102 && message(&answer).contains(&fill(word)), || {
            format!("{}: {}", fill(damage), answer.json)
        })?;
        host.del(&with_result(&conf, &result), &id)?;
    }
    Ok(())
}

pub(crate) fn port_isolation() -> Result {
    let host = Host::new()?;
    let mut conf = host.bridge();
    conf["portIsolation"] = json!(true);
    let one = host.new_pod(&conf, "one")?;
    host.new_pod(&conf, "two")?;
    conf["portIsolation"] = json!(false);
    host.new_pod(&conf, "open")?;
    serve("one", 80)?;
    let target = format!("{}:80", addr(&one, 0));
    ask(None, &target)?;
    ask(Some("open"), &target)?;
    silent(Some("two"), &target)
}

pub(crate) fn container_interface_down() -> Result {
    let host = Host::new()?;
    let mut conf = host.bridge();
    conf["disableContainerInterface"] = json!(true);
    host.pod("one")?;
    let answer = call(&conf, "ADD", "one", &[])?;
    check(answer.json["code"] == 7 && message(&answer).contains("disableContainerInterface"), || {
        answer.json.to_string()
    })?;
    conf["ipam"] = json!({});
    conf["isDefaultGateway"] = json!(false);
    let result = host.add(&conf, "one")?;
    let state = || run("ip -n one -br link show eth0");
    check(!state()?.contains("UP"), || "eth0 is up".into())?;
    let answer = call(&with_result(&conf, &result), "CHECK", "one", &[])?;
    check(answer.ok, || answer.json.to_string())?;
    host.del(&conf, "one")?;
    check(state().is_err(), || "eth0 is still there".into())
}
