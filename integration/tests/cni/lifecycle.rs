//! What ADD makes and DEL takes away, whatever happens between.

use std::collections::BTreeSet;

use integration::runner::{TestError, check, fail};
use serde_json::{Value, json};

use crate::host::*;

fn ports() -> Value {
    json!([
        { "hostPort": 8080, "containerPort": 80, "protocol": "tcp" },
        { "hostPort": 8081, "containerPort": 80, "protocol": "udp" },
    ])
}

/// A host whose first pod has come and gone: the bridge and the fixed table stay from then on.
fn used_host() -> Result<Host> {
    let host = Host::new()?;
    let conf = host.bridge();
    let result = host.new_pod(&conf, "first")?;
    host.add(&portmap(&result, ports()), "first")?;
    host.del(&portmap(&result, ports()), "first")?;
    host.del(&conf, "first")?;
    Ok(host)
}

pub(crate) fn del() -> Result {
    let host = used_host()?;
    let before = host.snapshot()?;
    let conf = host.bridge();
    let make = |id: &str| -> Result<Value> {
        let result = host.new_pod(&conf, id)?;
        host.add(&portmap(&result, ports()), id)?;
        Ok(result)
    };
    let result = make("plain")?;
    for _ in 0..2 {
        host.del(&portmap(&result, ports()), "plain")?;
        host.del(&with_result(&conf, &result), "plain")?;
        host.same(&before, "plain")?;
    }
    let result = make("gone")?;
    run("ip netns del gone")?;
    host.del(&portmap(&result, ports()), "gone")?;
    host.del(&with_result(&conf, &result), "gone")?;
    host.same(&before, "without namespace")?;

    make("forgotten")?;
    let mut bare = portmap(&json!({}), json!([]));
    bare.as_object_mut().map(|conf| (conf.remove("prevResult"), conf.remove("runtimeConfig")));
    host.del(&bare, "forgotten")?;
    host.del(&conf, "forgotten")?;
    host.same(&before, "without result and arguments")?;
    host.del(&conf, "never-added")?;
    host.same(&before, "never added")
}

pub(crate) fn conflicts() -> Result {
    let host = used_host()?;
    let conf = host.bridge();
    let one = host.new_pod(&conf, "one")?;
    host.add(&portmap(&one, ports()), "one")?;
    serve("one", 80)?;
    let before = host.snapshot()?;

    let again = call(&conf, "ADD", "one", &[])?;
    check(!again.ok && again.json["code"] == 100, || format!("a second ADD: {}", again.json))?;
    host.same(&before, "after a second ADD")?;

    let two = host.new_pod(&conf, "two")?;
    let taken = call(&portmap(&two, ports()), "ADD", "two", &[])?;
    let text = taken.json["msg"].as_str().unwrap_or_default().to_owned();
    check(!taken.ok && text.contains("8080/tcp") && text.contains("net one eth0"), || {
        format!("a taken port: {}", taken.json)
    })?;
    // The loser's DEL leaves the winner its port.
    host.del(&portmap(&two, ports()), "two")?;
    host.del(&conf, "two")?;
    host.same(&before, "after the loser's DEL")?;
    ask(Some("outside"), &format!("{HOST}:8080"))?;

    // An ADD that is repeated after a crash finds its own port and takes it.
    host.add(&portmap(&one, ports()), "one")?;
    host.same(&before, "after an ADD of the same owner")?;

    run("ip link add nobridge type veth peer name nobridge2")?;
    let mut wrong = conf.clone();
    wrong["bridge"] = json!("nobridge");
    let answer = call(&wrong, "ADD", "two", &[])?;
    check(answer.json["msg"] == "nobridge exists and is no bridge", || answer.json.to_string())?;
    let mut other = conf.clone();
    other["ipam"]["ranges"] = json!([[{ "subnet": "10.78.0.0/24" }]]);
    other["name"] = json!("other");
    let answer = call(&other, "ADD", "two", &[])?;
    check(!answer.ok && answer.json["details"] == "forceAddress would replace it", || answer.json.to_string())
}

pub(crate) fn exhaustion() -> Result {
    let host = used_host()?;
    let mut conf = host.bridge();
    conf["ipam"]["ranges"] =
        json!([[{ "subnet": "10.77.0.0/24", "rangeStart": "10.77.0.10", "rangeEnd": "10.77.0.11" }]]);
    conf["name"] = json!("small");
    let status = |expected: bool| -> Result {
        let answer = call(&conf, "STATUS", "", &[])?;
        check(answer.ok == expected && (expected || answer.json["code"] == 50), || {
            format!("STATUS: {}", answer.json)
        })
    };
    let before = host.snapshot()?;
    status(true)?;
    let found: Vec<_> = ["a", "b"]
        .iter()
        .map(|id| host.new_pod(&conf, id).map(|result| addr(&result, 0)))
        .collect::<Result<_>>()?;
    check(found == ["10.77.0.10", "10.77.0.11"], || format!("{found:?}"))?;
    status(false)?;
    host.pod("c")?;
    let answer = call(&conf, "ADD", "c", &[])?;
    check(!answer.ok && answer.json["code"] == 101, || format!("the third: {}", answer.json))?;
    host.del(&conf, "a")?;
    status(true)?;
    check(addr(&host.add(&conf, "c")?, 0) == "10.77.0.10", || "the freed address was not found".into())?;
    for id in ["b", "c"] {
        host.del(&conf, id)?;
    }
    host.same(&before, "after a full range")
}

pub(crate) fn parallel() -> Result {
    let host = used_host()?;
    let conf = host.bridge();
    let before = host.snapshot()?;
    let ids: Vec<_> = (0..50).map(|number| format!("p{number}")).collect();
    for id in &ids {
        host.pod(id)?;
    }
    let at_once = |work: &(dyn Fn(usize, &str) -> Result<Value> + Sync)| -> Result<Vec<Value>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                ids.iter().enumerate().map(|(number, id)| scope.spawn(move || work(number, id))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| fail("a thread panicked")))
                .collect()
        })
    };
    let mapping =
        |number: usize| json!([{ "hostPort": 9000 + number, "containerPort": 80, "protocol": "tcp" }]);
    let results = at_once(&|number, id| {
        let result = host.add(&conf, id)?;
        host.add(&portmap(&result, mapping(number)), id)?;
        Ok(result)
    })?;
    let addresses: BTreeSet<_> = results.iter().map(|result| addr(result, 0)).collect();
    check(addresses.len() == ids.len(), || format!("addresses were given twice: {addresses:?}"))?;
    for (number, id) in ids.iter().enumerate() {
        serve(id, 80)?;
        ask(Some("outside"), &format!("{HOST}:{}", 9000 + number))?;
    }
    at_once(&|number, id| {
        host.del(&portmap(&results[number], mapping(number)), id)?;
        host.del(&conf, id)?;
        Ok(Value::Null)
    })?;
    host.same(&before, "after fifty pods")
}

pub(crate) fn undo() -> Result {
    let host = used_host()?;
    let before = host.snapshot()?;
    let mut conf = host.bridge();
    // The route cannot be set: its next hop is in no network of the pod. All before it was made already.
    conf["ipam"]["routes"] = json!([{ "dst": "203.0.113.0/24", "gw": "198.51.100.1" }]);
    host.pod("one")?;
    let answer = call(&conf, "ADD", "one", &[])?;
    check(
        !answer.ok && answer.json["msg"].as_str().is_some_and(|text| text.contains("203.0.113.0/24")),
        || answer.json.to_string(),
    )?;
    host.same(&before, "after a failed ADD")?;
    check(!run("ip -n one -br link")?.contains("eth0"), || "the pod kept its interface".into())
}

/// Runs ADD and DEL, killed after the n-th effect for every n, each followed by a DEL that must clean up.
pub(crate) fn kills() -> Result {
    let host = used_host()?;
    let before = host.snapshot()?;
    let conf = host.bridge();
    let mut met = BTreeSet::new();
    let mut number = 0;
    for stage in ["ADD bridge", "ADD portmap", "DEL portmap", "DEL bridge"] {
        for count in 1.. {
            number += 1;
            let id = format!("k{number}");
            host.pod(&id)?;
            let kill = format!("kill:{count}");
            let env = |now: &str| -> Vec<(&str, &str)> {
                if now == stage { vec![("ORLOP_CNI_EFFECTS", kill.as_str())] } else { Vec::new() }
            };
            let killed = up_and_down(&conf, &id, &env)?;
            host.del(&bare_portmap(), &id)?;
            host.del(&conf, &id)?;
            host.same(&before, &format!("{stage} killed after effect {count}"))?;
            if !killed {
                check(count > 1, || format!("{stage} has no effect"))?;
                break;
            }
        }
        // Which effects there are, from a run that is only traced.
        number += 1;
        let id = format!("t{number}");
        host.pod(&id)?;
        met.extend(traced(&conf, &id)?);
        host.same(&before, "a traced run")?;
    }
    let expected: BTreeSet<_> = [
        "Reserve",
        "MakeBridge",
        "AddGateway",
        "EnableForwarding",
        "AllowForwarding",
        "MakeVeth",
        "SetUpContainer",
        "AddElements",
        "PrepareInterfaces",
        "ForgetFlows",
        "RemoveElements",
        "DeleteVeth",
        "Release",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    check(met == expected, || format!("the effects are {met:?}"))
}

fn bare_portmap() -> Value {
    json!({ "cniVersion": "1.1.0", "name": "net", "type": "portmap" })
}

/// ADD and DEL of both plugins; true if one was killed, and the rest is then left undone.
fn up_and_down<'a>(conf: &Value, id: &str, env: &dyn Fn(&str) -> Vec<(&'a str, &'a str)>) -> Result<bool> {
    let step = |name: &str, conf: &Value| -> Result<Option<Value>> {
        let verb = name.split(' ').next().unwrap_or_default();
        let answer = call(conf, verb, id, &env(name))?;
        if answer.signal {
            return Ok(None);
        }
        if answer.ok {
            Ok(Some(answer.json))
        } else {
            Err(TestError::Failed(format!("{name}: {}", answer.json)))
        }
    };
    let Some(result) = step("ADD bridge", conf)? else { return Ok(true) };
    for (name, conf) in [
        ("ADD portmap", portmap(&result, ports())),
        ("DEL portmap", portmap(&result, ports())),
        ("DEL bridge", with_result(conf, &result)),
    ] {
        if step(name, &conf)?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn traced(conf: &Value, id: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut step = |conf: &Value, verb: &str| -> Result<Value> {
        let answer = call(conf, verb, id, &[("ORLOP_CNI_EFFECTS", "trace")])?;
        names.extend(
            answer
                .stderr
                .lines()
                .filter_map(|line| line.strip_prefix("effect ")?.split(' ').nth(1))
                .map(str::to_owned),
        );
        Ok(answer.json)
    };
    let result = step(conf, "ADD")?;
    step(&portmap(&result, ports()), "ADD")?;
    step(&portmap(&result, ports()), "DEL")?;
    step(conf, "DEL")?;
    Ok(names)
}

pub(crate) fn gc() -> Result {
    let host = used_host()?;
    let conf = host.bridge();
    let valid = host.new_pod(&conf, "valid")?;
    host.add(&portmap(&valid, json!([{ "hostPort": 9000, "containerPort": 80 }])), "valid")?;
    let mut other = conf.clone();
    other["name"] = json!("other");
    other["ipam"]["ranges"] = json!([[{ "subnet": "10.77.0.0/24", "rangeStart": "10.77.0.200" }]]);
    host.new_pod(&other, "neighbour")?;
    let before = host.snapshot()?;
    let stale = host.new_pod(&conf, "stale")?;
    host.add(&portmap(&stale, ports()), "stale")?;

    let live = json!([{ "containerID": "valid", "ifname": "eth0" }]);
    let with_live = |conf: &Value| {
        let mut conf = conf.clone();
        conf["cni.dev/valid-attachments"] = live.clone();
        conf
    };
    let bare = call(&conf, "GC", "", &[])?;
    check(!bare.ok && bare.json["code"] == 7, || format!("GC without a list: {}", bare.json))?;
    for conf in [bare_portmap(), conf.clone()] {
        let answer = call(&with_live(&conf), "GC", "", &[])?;
        check(answer.ok, || format!("GC: {}", answer.json))?;
    }
    host.same(&before, "after GC")?;

    for (conf, result, id, expected) in [(&conf, &valid, "valid", true), (&conf, &stale, "stale", false)] {
        let answer = call(&with_result(conf, result), "CHECK", id, &[])?;
        check(answer.ok == expected, || format!("CHECK bridge {id}: {}", answer.json))?;
    }
    let answer = call(&portmap(&stale, ports()), "CHECK", "stale", &[])?;
    check(!answer.ok && answer.json["code"] == 102, || format!("CHECK portmap: {}", answer.json))
}

pub(crate) fn tables() -> Result {
    let host = Host::new()?;
    let mut conf = host.bridge();
    conf["nftTable"] = json!("orlop-a");
    let one = host.new_pod(&conf, "one")?;
    let mut map = portmap(&one, ports());
    map["nftTable"] = json!("orlop-a");
    host.add(&map, "one")?;
    let ruleset = run("nft list tables")?;
    check(ruleset.trim() == "table inet orlop-a", || ruleset.clone())?;
    // A DEL of the same pod under another table takes nothing.
    host.del(&portmap(&one, ports()), "one")?;
    check(run("nft list map inet orlop-a hostports4")?.contains("8080"), || {
        "another table's DEL took the port".into()
    })?;
    host.del(&map, "one")?;
    check(!run("nft list map inet orlop-a hostports4")?.contains("8080"), || "the port is still there".into())
}
