//! What a program finds when it runs.

use std::os::fd::AsRawFd;

use integration::runner::{TestResult, check, skip};
use serde_json::{Value, json};

use crate::bundle::{Bundle, has, same};

pub(crate) fn process() -> TestResult {
    let mut bundle = Bundle::new(
        "id -u; id -g; id -G; umask; pwd; echo $HOME; ulimit -n; grep -E 'Cap|NoNewPrivs' /proc/self/status; cat /proc/self/oom_score_adj; grep SigIgn /proc/self/status",
    )?;
    std::fs::create_dir_all(bundle.rootfs("etc"))?;
    std::fs::write(bundle.rootfs("etc/passwd"), "someone:x:5:6::/home/someone:/bin/sh\n")?;
    let process = &mut bundle.spec["process"];
    process["user"] = json!({"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 23});
    process["cwd"] = json!("/made/here");
    process["oomScoreAdj"] = json!(321);
    process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 111, "hard": 222}]);
    process["capabilities"] = json!({"bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"], "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN", "CAP_MOON"]});
    let text = bundle.output()?;
    // What a Rust program ignores, and what this runner inherited of its starter, must not reach the container.
    let (text, ignored) = text.split_once("SigIgn:\t").unwrap_or((&text, ""));
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap_or(u64::MAX);
    same(
        ignored
            & (1 << (nix::sys::signal::Signal::SIGPIPE as u32 - 1)
                | 1 << (nix::sys::signal::Signal::SIGCHLD as u32 - 1)),
        0,
    )?;
    let want = "5\n6\n6 7 8\n0027\n/made/here\n/home/someone\n111\n\
        CapInh:\t0000000000000001\nCapPrm:\t0000000000000001\nCapEff:\t0000000000000001\nCapBnd:\t0000000000000021\nCapAmb:\t0000000000000001\n\
        NoNewPrivs:\t1\n321\n";
    same(text, want)
}

pub(crate) fn namespaces() -> TestResult {
    let mut bundle = Bundle::new(
        "echo $$; hostname; cd /proc/self/ns; for n in *; do echo $n $(readlink $n); done; cat /proc/net/dev | wc -l; cat /proc/sys/net/ipv4/ip_forward",
    )?;
    if let Some(list) = bundle.spec["linux"]["namespaces"].as_array_mut() {
        list.push(json!({"type": "cgroup"}))
    }
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    let text = bundle.output()?;
    has(&text, "1\ninside\n")?;
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let ours = std::fs::read_link(format!("/proc/self/ns/{name}"))?;
        check(!text.contains(&*ours.to_string_lossy()), || format!("{name} is the host's"))?;
        has(&text, &format!("{name} {name}:["))?;
    }
    has(&text, &std::fs::read_link("/proc/self/ns/user")?.to_string_lossy())?;
    check(text.ends_with("1\n"), || format!("sysctl: {text}"))?;

    let mut bundle = Bundle::new("readlink /proc/self/ns/net; readlink /proc/self/ns/pid")?;
    let pid = std::process::id();
    bundle.spec["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "network", "path": format!("/proc/{pid}/ns/net")},
        {"type": "pid", "path": format!("/proc/{pid}/ns/pid")}, {"type": "uts"}]);
    let text = bundle.output()?;
    has(&text, &std::fs::read_link("/proc/self/ns/net")?.to_string_lossy())?;
    has(&text, &std::fs::read_link("/proc/self/ns/pid")?.to_string_lossy())
}

pub(crate) fn file_systems() -> TestResult {
    let mut bundle = Bundle::new(
        "cat /proc/kcore /proc/keys 2>/dev/null | wc -c; ls /sys/firmware | wc -l; touch /sys/firmware/x 2>&1; \
         echo h > /proc/sys/kernel/hostname; touch /new; \
         for d in null zero full random urandom tty; do test -c /dev/$d && echo $d; done; \
         ls -l /dev/null /dev/mine; for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; \
         head -c 2 /dev/zero | wc -c; echo x > /dev/null; cat /sys/fs/cgroup/pids/cgroup.procs | wc -l; mkdir /sys/fs/cgroup/pids/x; ls /dev/pts",
    )?;
    bundle.spec["root"]["readonly"] = json!(true);
    bundle.spec["linux"]["devices"] = json!([{"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4}]);
    let said = bundle.run()?;
    let lines = [
        "0\n0\n",
        "null\nzero\nfull\nrandom\nurandom\ntty\n",
        "crw-rw-rw-    1 0        0           1,   3",
        "crw-r-----    1 3        4           1,   5",
        "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n2\n",
        "ptmx",
    ];
    for line in lines {
        has(&said.out, line)?;
    }
    for part in ["/proc/sys/kernel/hostname: Read-only", "/new: Read-only", "/sys/fs/cgroup/pids/x"] {
        has(&said.err, part)?;
    }
    has(&said.out, "/sys/firmware/x: Read-only file system")
}

pub(crate) fn mounts() -> TestResult {
    let mut bundle = Bundle::new(
        "cat /file /folder/in/x; touch /folder/y 2>&1; touch /folder/in/y 2>&1; touch /deep/y 2>&1; touch /deep/in/y 2>&1; ls /up; \
         grep -E ' /(shared|folder|up) ' /proc/self/mountinfo",
    )?;
    let host = tempfile::tempdir()?;
    let path = |name: &str| host.path().join(name);
    std::fs::write(path("file"), "file\n")?;
    std::fs::create_dir_all(path("folder/in"))?;
    std::fs::create_dir_all(path("shared"))?;
    std::fs::create_dir_all(bundle.rootfs("up/kept"))?;
    let tmpfs = |at: std::path::PathBuf| {
        nix::mount::mount(Some("tmpfs"), &at, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)
    };
    tmpfs(path("folder/in"))?;
    tmpfs(path("shared"))?;
    nix::mount::mount(
        None::<&str>,
        &path("shared"),
        None::<&str>,
        nix::mount::MsFlags::MS_SHARED,
        None::<&str>,
    )?;
    std::fs::write(path("folder/in/x"), "x\n")?;
    let mount = |to: &str, from: &str, options: &[&str]| json!({"destination": to, "type": "bind", "source": path(from), "options": options});
    let list = bundle.spec["mounts"].as_array_mut();
    let Some(list) = list else { return skip("no mounts") };
    list.extend([
        mount("/file", "file", &["bind", "ro"]),
        mount("/folder", "folder", &["rbind", "ro", "nosuid"]),
        mount("/deep", "folder", &["rbind", "rro"]),
        mount("/shared", "shared", &["rbind", "rshared"]),
        json!({"destination": "/up", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=755"]}),
    ]);
    bundle.spec["linux"]["rootfsPropagation"] = json!("rshared");
    let text = bundle.output()?;
    has(&text, "file\nx\n")?;
    has(&text, "/folder/y: Read-only")?;
    check(!text.contains("/folder/in/y"), || format!("ro reached the mount below: {text}"))?;
    has(&text, "/deep/y: Read-only")?;
    has(&text, "/deep/in/y: Read-only")?;
    has(&text, "kept\n")?;
    has(text.lines().find(|line| line.contains(" /shared ")).unwrap_or_default(), "shared:")?;
    has(text.lines().find(|line| line.contains(" /folder ")).unwrap_or_default(), "nosuid")?;
    nix::mount::umount(&path("folder/in"))?;
    nix::mount::umount(&path("shared"))?;
    Ok(())
}

pub(crate) fn seccomp() -> TestResult {
    for no_new_privileges in [true, false] {
        let mut bundle = Bundle::new(
            "mkdir /x; chmod 4711 /bin/sh && echo changed; chmod 755 /tmp || echo denied; grep Seccomp: /proc/self/status",
        )?;
        std::fs::create_dir_all(bundle.rootfs("tmp"))?;
        bundle.spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.spec["process"]["capabilities"] = Value::Null;
        bundle.spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
                {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 0o755, "op": "SCMP_CMP_EQ"}]},
                {"names": ["fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 2, "value": 0o755, "op": "SCMP_CMP_EQ"}]},
            ],
        });
        let said = bundle.run()?;
        has(&said.err, "mkdir: can't create directory '/x': No space left on device")?;
        same(said.out.as_str(), "changed\ndenied\nSeccomp:\t2\n")?;
        // A later process is bound by the same filter.
        bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
        bundle.start()?;
        has(&bundle.exec(&[], "mkdir /x")?.err, "No space left on device")?;
        bundle.delete()?;
    }
    // What the profile names no error for is refused with the profile's.
    let mut bundle = Bundle::new("unused")?;
    bundle.spec["process"]["args"] = json!(["mkdir", "/x"]);
    bundle.spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 28,
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]});
    has(&bundle.run()?.err, "Operation not permitted")?;
    let podman = std::path::Path::new("/usr/share/containers/seccomp.json");
    if podman.exists() {
        let profile: Value = serde_json::from_str(&std::fs::read_to_string(podman)?)?;
        let mut bundle = Bundle::new("unshare -n true; echo $?; grep Seccomp: /proc/self/status")?;
        bundle.spec["linux"]["seccomp"] = flatten(&profile);
        has(&bundle.output()?, "1\nSeccomp:\t2\n")?;
    }
    Ok(())
}

/// An engine's profile has conditions on architecture and capabilities that it resolves itself.
fn flatten(profile: &Value) -> Value {
    let syscalls = profile["syscalls"].as_array().into_iter().flatten();
    let unconditional = syscalls.filter(|entry| {
        let empty = |key: &str| {
            entry[key]
                .as_object()
                .is_none_or(|object| object.values().all(|value| value.as_array().is_none_or(Vec::is_empty)))
        };
        let here =
            entry["includes"]["arches"].as_array().is_some_and(|arches| arches.contains(&json!("amd64")));
        let wanted = here && entry["includes"]["caps"].as_array().is_none_or(Vec::is_empty);
        (wanted || empty("includes")) && empty("excludes")
    });
    let entries: Vec<_> = unconditional
        .map(|entry| json!({"names": entry["names"], "action": entry["action"], "args": entry["args"].as_array().cloned().unwrap_or_default()}))
        .collect();
    json!({"defaultAction": profile["defaultAction"], "defaultErrnoRet": profile["defaultErrnoRet"], "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": entries})
}

pub(crate) fn user_namespace() -> TestResult {
    let mut bundle = Bundle::new(
        "id -u; cat /proc/self/uid_map; echo y > /dev/null; stat -c %u /mapped/f; grep CapEff /proc/self/status; mount -t tmpfs t /mnt && echo mounted",
    )?;
    std::fs::create_dir_all(bundle.rootfs("mnt"))?;
    let host = tempfile::tempdir()?;
    std::fs::write(host.path().join("f"), "")?;
    let ids = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    for key in ["uidMappings", "gidMappings"] {
        bundle.spec["linux"][key] = ids.clone();
    }
    let caps = json!(["CAP_SYS_ADMIN"]);
    bundle.spec["process"]["capabilities"] = json!({"bounding": caps, "effective": caps, "permitted": caps});
    bundle.spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 111, "hard": 222}]);
    if let Some(list) = bundle.spec["linux"]["namespaces"].as_array_mut() {
        list.push(json!({"type": "user"}))
    }
    if let Some(list) = bundle.spec["mounts"].as_array_mut() {
        list.push(json!({"destination": "/mapped", "type": "bind", "source": host.path(), "options": ["rbind", "idmap"]}));
    }
    // The root is the user namespace's, as an engine prepares it.
    let status =
        std::process::Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.rootfs("")).status()?;
    check(status.success(), || "chown failed".to_owned())?;
    let ran = bundle.run()?;
    if ran.err.contains("idmap mount: invalid argument") {
        return skip("this kernel cannot idmap the file system of the temporary folder");
    }
    check(ran.code == 0, || format!("{}{}", ran.out, ran.err))?;
    let text = ran.out;
    has(&text, "0\n         0     100000      65536\n0\n")?;
    has(&text, "CapEff:\t0000000000200000\n")?;
    has(&text, "mounted\n")?;

    // Another container in the same user namespace, as the second container of a pod.
    bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    bundle.start()?;
    same(
        bundle.exec(&[], "id -u; cat /proc/self/uid_map")?.out.as_str(),
        "0\n         0     100000      65536\n",
    )?;
    let state: Value = serde_json::from_str(&bundle.call(&["state", &bundle.id])?.out)?;
    let mut second = Bundle::new("id -u; readlink /proc/self/ns/user; echo $$; hostname other && hostname")?;
    second.id.push('b');
    let status =
        std::process::Command::new("chown").args(["-R", "100000:100000"]).arg(second.rootfs("")).status()?;
    check(status.success(), || "chown failed".to_owned())?;
    second.spec["process"]["capabilities"] = json!({"bounding": caps, "effective": caps, "permitted": caps});
    second.spec["linux"]["cgroupsPath"] = json!(format!("/orlop-test-{}/d", std::process::id()));
    let user = format!("/proc/{}/ns/user", state["pid"]);
    second.spec["linux"]["namespaces"] = json!([{"type": "user", "path": user}, {"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}]);
    let text = second.output()?;
    has(&text, "0\n")?;
    has(&text, &std::fs::read_link(&user)?.to_string_lossy())?;
    has(&text, "\n1\nother\n")?;
    // Whichever of its two processes speaks first: the order is up to the scheduler.
    for _ in 0..40 {
        let again = second.run()?;
        check(again.code == 0, || format!("{}{}", again.out, again.err))?;
    }
    bundle.delete()
}

pub(crate) fn descriptors() -> TestResult {
    let bundle = Bundle::new("ls /proc/self/fd | wc -l; cat <&3")?;
    bundle.write()?;
    let host = std::fs::File::open("/etc/passwd")?;
    // Descriptors that the caller forgot to close do not get in: 3 is there only when it is asked for.
    let leak = format!("exec 3</proc/self/fd/{} 4</etc; exec \"$0\" \"$@\"", host.as_raw_fd());
    let call = |flags: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &leak.replace(&format!("/proc/self/fd/{}", host.as_raw_fd()), "/etc/passwd")]);
        command
            .arg(integration::world::bin("orlop-runtime"))
            .arg("--root")
            .arg(bundle.root())
            .arg("run")
            .args(flags);
        command.arg("--bundle").arg(bundle.folder.path()).arg(&bundle.id).stdin(std::process::Stdio::null());
        crate::bundle::said(command.output()?)
    };
    let without = call(&[])?;
    // Three streams and the folder that ls reads.
    check(without.out.starts_with("4\n"), || format!("leaked: {} {}", without.out, without.err))?;
    check(!without.out.contains("root:"), || "the host's file was readable".to_owned())?;
    has(&call(&["--preserve-fds", "1"])?.out, "root:")?;
    has(&call(&["--preserve-fds", "9"])?.err, "to preserve is not open")
}
