//! Cgroups of both versions.

use std::path::Path;
use std::process::Command;

use integration::runner::{TestResult, check, skip};
use serde_json::{Value, json};

use crate::bundle::{Bundle, has, same};

pub(crate) fn version_1() -> TestResult {
    if !Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
        return skip("no memory controller of cgroup version 1");
    }
    let mut bundle = Bundle::new("sleep 1000")?;
    bundle.spec["linux"]["resources"] = json!({
        "memory": {"limit": 64 << 20, "swap": 64 << 20, "reservation": 32 << 20},
        "cpu": {"shares": 512, "quota": 20_000, "period": 50_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 9},
        "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw"}],
    });
    bundle.start()?;
    let read = |controller: &str, file: &str| {
        std::fs::read_to_string(bundle.cgroup(controller).join(file)).map(|text| text.trim().to_owned())
    };
    for (controller, file, value) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "20000"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "9"),
    ] {
        same((file, read(controller, file)?.as_str()), (file, value))?;
    }
    let devices = read("devices", "devices.list")?;
    for rule in ["c 1:3 rwm", "c 10:200 rw", "c *:* m"] {
        has(&devices, rule)?;
    }
    check(!devices.contains("a *:*"), || devices.clone())?;
    // A node may be made, and not be opened.
    let said = bundle.exec(&[], "mknod /dev/x c 1 1 && head -c 1 /dev/x")?;
    has(&said.err, "/dev/x: Operation not permitted")?;
    let forks = bundle.exec(&[], "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done")?;
    has(&forks.err, "fork")?;
    bundle.delete()?;
    check(!bundle.cgroup("memory").exists(), || "the cgroup is still there".to_owned())
}

pub(crate) fn version_2() -> TestResult {
    // This process's mount namespace is its own.
    let status = Command::new("mount").args(["-t", "cgroup2", "none", "/sys/fs/cgroup"]).status()?;
    if !status.success() {
        return skip("cgroup2 cannot be mounted");
    }
    let mut bundle =
        Bundle::new("mknod /dev/x c 1 1; cat /proc/self/cgroup; ls /sys/fs/cgroup/cgroup.procs; sleep 1000")?;
    if let Some(list) = bundle.spec["linux"]["namespaces"].as_array_mut() {
        list.push(json!({"type": "cgroup"}))
    }
    bundle.start()?;
    let folder = bundle.cgroup("");
    check(!std::fs::read_to_string(folder.join("cgroup.procs"))?.is_empty(), || {
        "nobody is in the cgroup".to_owned()
    })?;
    let denied = bundle.exec(
        &[],
        "mknod /dev/x c 1 1; head -c 1 /dev/x; head -c 1 /dev/zero | wc -c; cat /proc/self/cgroup",
    )?;
    has(&denied.err, "/dev/x: Operation not permitted")?;
    has(&denied.out, "1\n")?;
    check(denied.out.lines().any(|line| line == "0::/"), || {
        format!("not in the container's cgroup: {}", denied.out)
    })?;
    same(bundle.call(&["pause", &bundle.id])?.code, 0)?;
    same(bundle.status()?.as_str(), "paused")?;
    has(&bundle.exec(&[], "true")?.err, "cannot exec in a paused container")?;
    same(bundle.call(&["resume", &bundle.id])?.code, 0)?;
    same(bundle.status()?.as_str(), "running")?;
    same(bundle.call(&["kill", "--all", &bundle.id, "KILL"])?.code, 0)?;
    bundle.wait_for_status("stopped")?;
    same(bundle.call(&["delete", &bundle.id])?.code, 0)?;
    check(!folder.exists(), || "the cgroup is still there".to_owned())?;
    bundle.spec["linux"]["resources"]["unified"] = json!({"../escape": "1"});
    has(&bundle.run()?.err, "unable to apply cgroup configuration")
}

pub(crate) fn pause_and_update() -> TestResult {
    if !Path::new("/sys/fs/cgroup/freezer").exists() {
        return skip("no freezer of cgroup version 1");
    }
    let bundle = Bundle::new("while true; do echo x >> /ticks; done")?;
    bundle.start()?;
    let ticks = || std::fs::metadata(bundle.rootfs("ticks")).map(|metadata| metadata.len());
    crate::bundle::eventually("the first tick", || Ok(ticks().is_ok()))?;
    has(&bundle.call(&["resume", &bundle.id])?.err, "container not paused")?;
    same(bundle.call(&["pause", &bundle.id])?.code, 0)?;
    same(bundle.status()?.as_str(), "paused")?;
    let before = ticks()?;
    std::thread::sleep(std::time::Duration::from_millis(50));
    same(ticks()?, before)?;
    same(bundle.call(&["resume", &bundle.id])?.code, 0)?;
    crate::bundle::eventually("ticks", || Ok(ticks()? > before))?;
    // As a shim calls it, then as a person does.
    let resources: Value = json!({"memory": {"limit": 48 << 20}, "pids": {"limit": 7}, "devices": [{"allow": true, "access": "rwm"}]});
    let file = bundle.folder.path().join("resources.json");
    std::fs::write(&file, resources.to_string())?;
    same(bundle.call(&["update", "--resources", &file.display().to_string(), &bundle.id])?.err.as_str(), "")?;
    let read = |controller: &str, file: &str| {
        std::fs::read_to_string(bundle.cgroup(controller).join(file)).map(|text| text.trim().to_owned())
    };
    same(read("memory", "memory.limit_in_bytes")?.as_str(), "50331648")?;
    same(read("pids", "pids.max")?.as_str(), "7")?;
    check(!read("devices", "devices.list")?.contains('a'), || "update touched the devices".to_owned())?;
    same(
        bundle
            .call(&["update", "--memory", "96m", "--pids-limit", "-1", "--cpu-share", "77", &bundle.id])?
            .err
            .as_str(),
        "",
    )?;
    same(read("memory", "memory.limit_in_bytes")?.as_str(), "100663296")?;
    same(read("pids", "pids.max")?.as_str(), "max")?;
    same(read("cpu", "cpu.shares")?.as_str(), "77")?;
    bundle.delete()
}
