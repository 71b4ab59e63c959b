//! `spec`: writes a config.json to start from.

use serde_json::{Value, json};
use sys::cgroup::Version;

use super::{Context, Verb, absolute, create, features::SPECIFICATION};
use crate::cli::{Args, switch};
use crate::error::{Error, Result};

pub(super) const VERB: Verb = Verb {
    name: "spec",
    usage: "[command options]",
    about: "create a new specification file",
    flags: &[create::BUNDLE, switch("rootless")],
    stop: false,
    failure: 1,
    prefix: "",
    run,
};

fn run(_: &Context, args: &Args) -> Result<u8> {
    let path = absolute(args.text("bundle").unwrap_or("."))?.join("config.json");
    if path.exists() {
        return Err(Error::said(format!("File {} exists. Remove it first", path.display())));
    }
    let version = sys::cgroup::Hierarchies::discover()?.version;
    let text = serde_json::to_string_pretty(&template(args.has("rootless"), version)).unwrap_or_default();
    std::fs::write(&path, text + "\n")
        .map_err(|error| sys::Error::new("write", path.display(), sys::error::errno_of(&error)))?;
    Ok(0)
}

fn template(rootless: bool, version: Version) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": source, "options": options});
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount"];
    if version == Version::V2 {
        namespaces.push("cgroup");
    }
    let pts: &[&str] = if rootless {
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    } else {
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    };
    let sys = if rootless {
        namespaces.retain(|kind| *kind != "network");
        namespaces.push("user");
        mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"])
    } else {
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"])
    };
    let mut spec = json!({
        "ociVersion": SPECIFICATION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "orlop",
        "mounts": [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", pts),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            sys,
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "namespaces": namespaces.iter().map(|kind| json!({"type": kind})).collect::<Vec<_>>(),
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
                "/proc/interrupts", "/sys/devices/virtual/powercap"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    });
    if rootless {
        let ids = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
        spec["linux"]["uidMappings"] = ids(rustix::process::geteuid().as_raw());
        spec["linux"]["gidMappings"] = ids(rustix::process::getegid().as_raw());
    } else {
        spec["linux"]["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
    }
    spec
}
