//! The protocol's versions, and life beside Debian's plugins.

use std::fs;

use integration::runner::{check, skip};
use serde_json::{Value, json};

use crate::host::*;

fn needs_peers() -> Result {
    if std::path::Path::new(PEERS).join("host-local").exists() {
        Ok(())
    } else {
        skip("Debian's containernetworking-plugins are not installed")
    }
}

pub(crate) fn versions() -> Result {
    let host = Host::new()?;
    let report = call(&json!({ "type": "bridge" }), "VERSION", "", &[])?;
    let known = report.json["supportedVersions"].as_array().cloned().unwrap_or_default();
    check(known.len() == 7, || report.json.to_string())?;
    for version in known.iter().filter_map(Value::as_str) {
        let mut conf = host.bridge();
        conf["cniVersion"] = json!(version);
        let id = version.replace('.', "");
        let result = host.new_pod(&conf, &id)?;
        let old = version < "0.3.0";
        check(result["cniVersion"] == version, || result.to_string())?;
        check(result["ip4"]["ip"].is_string() == old && result["ips"].is_array() != old, || {
            result.to_string()
        })?;
        if !old {
            check(result["ips"][0]["version"].is_string() == (version < "1.0.0"), || result.to_string())?;
            check(result["interfaces"][2]["mtu"].is_u64() == (version >= "1.1.0"), || result.to_string())?;
        }
        let chained = json!({ "cniVersion": version, "name": "net", "type": "portmap", "prevResult": result,
            "runtimeConfig": { "portMappings": [{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }] } });
        let mapped = host.add(&chained, &id)?;
        check(mapped["cniVersion"] == version, || mapped.to_string())?;
        host.del(&chained, &id)?;
        host.del(&conf, &id)?;
    }
    Ok(())
}

pub(crate) fn leases() -> Result {
    needs_peers()?;
    let host = Host::new()?;
    let conf = json!({ "cniVersion": "1.0.0", "name": "net", "type": "host-local",
        "ipam": { "type": "host-local", "dataDir": host.data, "subnet": "10.77.0.0/24" } });
    for id in ["ours", "theirs", "ours2"] {
        host.pod(id)?;
    }
    let ours = host.add(&conf, "ours")?;
    let theirs = call_peer("host-local", &conf, "ADD", "theirs")?;
    let ours2 = host.add(&conf, "ours2")?;
    let found = [addr(&ours, 0), addr(&theirs.json, 0), addr(&ours2, 0)];
    check(found == ["10.77.0.2", "10.77.0.3", "10.77.0.4"], || format!("{found:?}"))?;
    let twice = call(&conf, "ADD", "theirs", &[])?;
    check(!twice.ok, || "the peer's lease was not seen".into())?;
    let checked = call_peer("host-local", &with_result(&conf, &ours), "CHECK", "ours")?;
    check(checked.ok, || format!("the peer does not find our lease: {}", checked.json))?;
    let checked = call(&with_result(&conf, &theirs.json), "CHECK", "theirs", &[])?;
    check(checked.ok, || format!("we do not find the peer's lease: {}", checked.json))?;
    // Each gives back what the other gave out.
    host.del(&conf, "theirs")?;
    let deleted = call_peer("host-local", &conf, "DEL", "ours")?;
    check(deleted.ok, || deleted.json.to_string())?;
    let mut left: Vec<_> =
        fs::read_dir(host.data.join("net"))?.flatten().map(|entry| entry.file_name()).collect();
    left.sort();
    check(left == ["10.77.0.4", "last_reserved_ip.0", "lock"], || format!("{left:?}"))
}

pub(crate) fn delegated_ipam() -> Result {
    needs_peers()?;
    let host = Host::new()?;
    // Under another name Debian's plugin is any other IPAM plugin: found in CNI_PATH and run.
    fs::create_dir("/run/plugins")?;
    std::os::unix::fs::symlink(format!("{PEERS}/host-local"), "/run/plugins/some-ipam")?;
    let mut conf = host.bridge();
    conf["cniVersion"] = json!("1.0.0");
    conf["ipam"]["type"] = json!("some-ipam");
    let result = host.new_pod(&conf, "one")?;
    serve("one", 80)?;
    ask(None, &format!("{}:80", addr(&result, 0)))?;
    let checked = call(&with_result(&conf, &result), "CHECK", "one", &[])?;
    check(checked.ok, || checked.json.to_string())?;
    host.del(&conf, "one")?;
    check(!host.data.join("net").join(addr(&result, 0)).exists(), || "the lease is still there".into())?;

    let mut full = conf.clone();
    full["ipam"]["ranges"] =
        json!([[{ "subnet": "10.77.0.0/24", "rangeStart": "10.77.0.9", "rangeEnd": "10.77.0.9" }]]);
    full["name"] = json!("full");
    host.new_pod(&full, "two")?;
    host.pod("three")?;
    let answer = call(&full, "ADD", "three", &[])?;
    check(!answer.ok && answer.json["msg"].is_string(), || answer.json.to_string())?;
    conf["ipam"]["type"] = json!("missing-ipam");
    let answer = call(&conf, "ADD", "three", &[])?;
    check(answer.json["msg"] == "the ipam plugin missing-ipam is not in CNI_PATH", || answer.json.to_string())
}

pub(crate) fn foreign_bridge() -> Result {
    needs_peers()?;
    let host = Host::new()?;
    fs::create_dir("/run/plugins")?;
    let program = integration::world::bin("orlop-cni").canonicalize()?;
    std::os::unix::fs::symlink(program, "/run/plugins/host-local")?;
    let mut conf = host.bridge();
    conf["cniVersion"] = json!("1.0.0");
    conf["ipMasq"] = json!(false);
    conf["ipam"]["ranges"] = json!([[{ "subnet": "10.77.0.0/24" }]]);
    host.pod("one")?;
    let result = call_peer("bridge", &conf, "ADD", "one")?;
    check(result.ok && addr(&result.json, 0) == "10.77.0.2", || {
        format!("{} {}", result.json, result.stderr)
    })?;
    let mut map =
        portmap(&result.json, json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]));
    map["cniVersion"] = json!("1.0.0");
    host.add(&map, "one")?;
    serve("one", 80)?;
    ask(Some("outside"), &format!("{HOST}:8080"))?;
    ask(None, "127.0.0.1:8080")?;
    ask(Some("one"), &format!("{HOST}:8080"))?;
    host.del(&map, "one")?;
    let deleted = call_peer("bridge", &conf, "DEL", "one")?;
    check(deleted.ok, || deleted.json.to_string())?;
    check(!host.data.join("net/10.77.0.2").exists(), || "our host-local kept the lease".into())
}

pub(crate) fn refusals() -> Result {
    let host = Host::new()?;
    host.pod("one")?;
    let base = host.bridge();
    let changed = |key: &str, value: Value| {
        let mut conf = base.clone();
        conf[key] = value;
        conf
    };
    for (conf, code, word) in [
        (changed("cniVersion", json!("9.0.0")), 1, "9.0.0"),
        (changed("vlan", json!(7)), 2, "vlan"),
        (changed("macspoofchk", json!("true")), 2, "macspoofchk"),
        (changed("name", json!("a/b")), 7, "a/b"),
        (changed("ipam", json!({ "type": "host-local" })), 7, "range"),
        (changed("mtu", json!(1)), 7, "mtu"),
    ] {
        let answer = call(&conf, "ADD", "one", &[])?;
        let text = answer.json["msg"].as_str().unwrap_or_default();
        check(!answer.ok && answer.json["code"] == code && text.contains(word), || {
            format!("{word}: {}", answer.json)
        })?;
    }
    let answer = call(&base, "ADD", "no-such-namespace", &[("CNI_NETNS", "/run/nothing")])?;
    check(answer.json["code"] == 8, || answer.json.to_string())?;
    let answer = call(&base, "ADD", "own", &[("CNI_NETNS", "/proc/self/ns/net")])?;
    check(answer.json["code"] == 8, || answer.json.to_string())?;
    let answer = call(&base, "ADD", "one", &[("CNI_IFNAME", "a/b")])?;
    check(answer.json["code"] == 4, || answer.json.to_string())?;
    let answer = call(&base, "ADD", "one", &[("CNI_NETNS", "/etc/hostname")])?;
    check(answer.json["code"] == 8, || answer.json.to_string())
}

pub(crate) fn loopback() -> Result {
    Host::new()?;
    run("ip netns add one")?;
    let conf = json!({ "cniVersion": "1.0.0", "name": "lo", "type": "loopback" });
    // It wants nothing of CNI_ARGS, so nothing that stands there is wrong.
    let answer = call(&conf, "ADD", "one", &[("CNI_ARGS", "none")])?;
    check(answer.json["ips"][0]["address"] == "127.0.0.1/8", || answer.json.to_string())?;
    check(run("ip -n one -br link show lo")?.contains("LOOPBACK,UP"), || "lo is down".into())?;
    let checked = call(&with_result(&conf, &answer.json), "CHECK", "one", &[])?;
    check(checked.ok, || checked.json.to_string())?;
    check(call(&conf, "DEL", "one", &[])?.ok, || "DEL failed".into())?;
    check(!run("ip -n one -br link show lo")?.contains("LOOPBACK,UP"), || "lo is up".into())?;
    run("ip netns del one")?;
    check(call(&conf, "DEL", "one", &[])?.ok, || "DEL without the namespace failed".into())
}
