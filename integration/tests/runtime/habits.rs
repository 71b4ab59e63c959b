//! What callers and images rely on where the specification is silent.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use integration::runner::{TestResult, check};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::bundle::{Bundle, eventually, has, said, same};

/// Each variable once, with its last value; a home that is empty is none.
pub(crate) fn environment() -> TestResult {
    let mut bundle = Bundle::new("env | sort")?;
    std::fs::create_dir_all(bundle.rootfs("etc"))?;
    std::fs::write(bundle.rootfs("etc/passwd"), "root:x:0:0::/home/root:/bin/sh\n")?;
    bundle.spec["process"]["env"] = json!(["A=1", "PATH=/bin", "A=2", "HOME=/other", "HOME=", "A=3"]);
    let text = bundle.output()?;
    let own: Vec<_> =
        text.lines().filter(|line| !line.starts_with("SHLVL") && !line.starts_with("PWD")).collect();
    same(own, vec!["A=3", "HOME=/home/root", "PATH=/bin"])
}

/// A hook in the container sees what its program would, and may do no more.
pub(crate) fn start_container_hooks() -> TestResult {
    let mut bundle = Bundle::new("true")?;
    bundle.spec["process"]["env"] = json!(["PATH=/bin", "WORD=of the program"]);
    let hook = |script: &str| json!({"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    bundle.spec["hooks"] = hook("echo $WORD > /seen");
    same(bundle.run()?.code, 0)?;
    same(std::fs::read_to_string(bundle.rootfs("seen"))?.as_str(), "of the program\n")?;
    bundle.spec["process"]["noNewPrivileges"] = json!(true);
    bundle.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    });
    bundle.spec["hooks"] = hook("mkdir /made");
    let denied = bundle.run()?;
    has(&denied.err, "error running startContainer hook #0")?;
    check(denied.code != 0 && !bundle.rootfs("made").exists(), || "the hook was not filtered".into())
}

/// A tmpfs looks like the folder that it covers, unless it is told otherwise.
pub(crate) fn tmpfs_modes() -> TestResult {
    let mut bundle = Bundle::new("stat -c '%a %n' /kept /told /made")?;
    for folder in ["kept", "told"] {
        std::fs::create_dir_all(bundle.rootfs(folder))?;
        std::fs::set_permissions(bundle.rootfs(folder), PermissionsExt::from_mode(0o3710))?;
    }
    if let Some(mounts) = bundle.spec["mounts"].as_array_mut() {
        for (folder, options) in [("/kept", json!([])), ("/told", json!(["mode=700"])), ("/made", json!([]))]
        {
            mounts
                .push(json!({"destination": folder, "type": "tmpfs", "source": "tmpfs", "options": options}));
        }
    }
    same(bundle.output()?.as_str(), "3710 /kept\n700 /told\n1777 /made\n")
}

/// Images have `/etc/resolv.conf` as a link into a `/run` that is empty: the mount goes to where it leads, inside.
pub(crate) fn mounts_onto_dangling_links() -> TestResult {
    let mut bundle = Bundle::new("cat /etc/resolv.conf /run/orlop-nowhere/stub /etc/up")?;
    std::fs::create_dir_all(bundle.rootfs("etc"))?;
    symlink("/run/orlop-nowhere/stub", bundle.rootfs("etc/resolv.conf"))?;
    symlink("../../../../orlop-nowhere/up", bundle.rootfs("etc/up"))?;
    let source = bundle.folder.path().join("source");
    std::fs::write(&source, "mounted\n")?;
    if let Some(mounts) = bundle.spec["mounts"].as_array_mut() {
        for target in ["/etc/resolv.conf", "/etc/up"] {
            mounts.push(json!({"destination": target, "source": source, "options": ["bind"]}));
        }
    }
    same(bundle.output()?.as_str(), "mounted\nmounted\nmounted\n")?;
    let outside =
        ["/run/orlop-nowhere", "/orlop-nowhere"].iter().any(|path| std::fs::exists(path).unwrap_or(true));
    check(!outside, || "something was made on the host".into())
}

/// Without a PID namespace the others outlive the init; they can still be killed, and go with the container.
pub(crate) fn processes_that_outlive_the_init() -> TestResult {
    let mut bundle = Bundle::new("exec sleep 1000")?;
    if let Some(list) = bundle.spec["linux"]["namespaces"].as_array_mut() {
        list.retain(|namespace| namespace["type"] != "pid");
    }
    for verb in ["kill", "delete"] {
        bundle.start()?;
        let mut exec = bundle.command();
        exec.args(["exec", "--detach", &bundle.id, "sleep", "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        same(exec.status()?.code(), Some(0))?;
        let listed = bundle.call(&["ps", "--format", "json", &bundle.id])?;
        let pids: Vec<i32> = serde_json::from_str(&listed.out)?;
        same(pids.len(), 2)?;
        let state: serde_json::Value = serde_json::from_str(&bundle.call(&["state", &bundle.id])?.out)?;
        let init = i32::try_from(state["pid"].as_i64().unwrap_or_default())?;
        kill(Pid::from_raw(init), Signal::SIGKILL)?;
        bundle.wait_for_status("stopped")?;
        let alive = |pid: &&i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        same(pids.iter().filter(alive).count(), 1)?;
        if verb == "kill" {
            let killed = bundle.call(&["kill", &bundle.id, "KILL"])?;
            check(killed.code == 0, || killed.err.clone())?;
        } else {
            same(bundle.call(&["delete", &bundle.id])?.code, 0)?;
        }
        eventually("the others' end", || Ok(!pids.iter().any(|pid| alive(&pid))))?;
        bundle.delete()?;
    }
    Ok(())
}

/// The process comes by a descriptor (`<(…)` in a shell), names no user, and runs where the container may.
pub(crate) fn exec_with_a_process_file() -> TestResult {
    let mut bundle = Bundle::new("exec sleep 1000")?;
    bundle.spec["linux"]["personality"] = json!({"domain": "LINUX32"});
    bundle.start()?;
    let process = json!({"args": ["sh", "-c", "id -u; uname -m; grep Cpus_allowed_list /proc/self/status"], "cwd": "/",
        "env": ["PATH=/bin"]});
    let script = format!(
        "exec taskset -c 0 \"$0\" \"$@\" --process /dev/fd/7 {} 7<<'END'\n{process}\nEND\n",
        bundle.id
    );
    let mut command = Command::new("bash");
    command
        .args(["-c", &script])
        .arg(integration::world::bin("orlop-runtime"))
        .arg("--root")
        .arg(bundle.root());
    let ran = said(command.arg("exec").stdin(Stdio::null()).output()?)?;
    let all = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    same((ran.code, ran.err.as_str()), (0, ""))?;
    same(ran.out.as_str(), format!("0\ni686\nCpus_allowed_list:\t{all}").as_str())?;
    bundle.delete()
}

/// What a terminal prints into a pipe has the line ends that the program wrote.
pub(crate) fn line_ends_of_a_relayed_terminal() -> TestResult {
    let mut bundle = Bundle::new("tty; echo two")?;
    bundle.spec["process"]["terminal"] = json!(true);
    same(bundle.output()?.as_str(), "/dev/pts/0\ntwo\n")
}

/// What cannot be is refused, not dropped.
pub(crate) fn refusals() -> TestResult {
    let mut bundle = Bundle::new("true")?;
    bundle.write()?;
    let folder = bundle.folder.path().display().to_string();
    let refused = bundle.call(&["run", "--no-pivot", "--bundle", &folder, &bundle.id])?;
    check(refused.code != 0 && refused.err.contains("--no-pivot"), || refused.err.clone())?;
    if !std::fs::exists("/sys/fs/cgroup/cgroup.controllers")? {
        bundle.spec["linux"]["resources"]["unified"] = json!({"memory.high": "1000000"});
        has(&bundle.run()?.err, "linux.resources.unified")?;
    }
    // An engine may have made a plain folder of the name.
    let on_first = std::fs::read_to_string("/proc/self/cgroup")?.contains(":hugetlb:");
    let on_second = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !on_first && !on_second.split_whitespace().any(|name| name == "hugetlb") {
        bundle.spec["linux"]["resources"] = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]});
        has(&bundle.run()?.err, "linux.resources.hugepageLimits")?;
    }
    Ok(())
}

/// A bind shows what an earlier mount brought into the root, not what the image has there.
pub(crate) fn sources_of_earlier_mounts() -> TestResult {
    let mut bundle = Bundle::new("cat /final/file /again/deep/file")?;
    let host = tempfile::tempdir()?;
    std::fs::create_dir_all(host.path().join("deep"))?;
    std::fs::write(host.path().join("file"), "brought\n")?;
    std::fs::write(host.path().join("deep/file"), "deep\n")?;
    let bind = |source: &std::path::Path, to: &str| json!({"destination": to, "type": "bind", "source": source, "options": ["rbind"]});
    // The last destination as the host sees it.
    let again = bundle.rootfs("again").display().to_string();
    let inside = [
        bind(host.path(), "/mnt"),
        bind(&bundle.rootfs("mnt"), "/final"),
        bind(&bundle.rootfs("final"), &again),
    ];
    if let Some(mounts) = bundle.spec["mounts"].as_array_mut() {
        mounts.extend(inside);
    }
    same(bundle.output()?.as_str(), "brought\ndeep\n")
}

/// The program's limit on descriptors is not that of the runtime, which opens every source first.
pub(crate) fn more_mounts_than_descriptors() -> TestResult {
    let mut bundle = Bundle::new("ulimit -n; ls -d /many/* | wc -l")?;
    let file = bundle.folder.path().join("source");
    std::fs::write(&file, "")?;
    if let Some(mounts) = bundle.spec["mounts"].as_array_mut() {
        for number in 0..30 {
            let to = format!("/many/{number}");
            mounts
                .push(json!({"destination": to, "type": "bind", "source": file, "options": ["bind", "ro"]}));
        }
    }
    bundle.spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 20}]);
    same(bundle.output()?.as_str(), "20\n30\n")
}

/// A user namespace gives no right to namespaces that it does not own: they are joined before it.
pub(crate) fn namespaces_of_another_owner() -> TestResult {
    let mut bundle = Bundle::new("readlink /proc/self/ns/net; readlink /proc/self/ns/uts; id -u")?;
    let ids = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.spec["linux"]["uidMappings"] = ids.clone();
    bundle.spec["linux"]["gidMappings"] = ids;
    let ours = |kind: &str| format!("/proc/{}/ns/{kind}", std::process::id());
    bundle.spec["linux"]["namespaces"] = json!([{"type": "user"}, {"type": "mount"}, {"type": "pid"}, {"type": "ipc"},
        {"type": "network", "path": ours("net")}, {"type": "uts", "path": ours("uts")}]);
    bundle.spec["hostname"] = serde_json::Value::Null;
    if let Some(mounts) = bundle.spec["mounts"].as_array_mut() {
        // Only the owner of a network may mount a sysfs, which shows it.
        mounts.retain(|mount| mount["type"] != "sysfs" && mount["type"] != "cgroup");
    }
    let status = Command::new("chown").args(["-R", "100000:100000"]).arg(bundle.rootfs("")).status()?;
    check(status.success(), || "chown failed".to_owned())?;
    let (net, uts) = (std::fs::read_link(ours("net"))?, std::fs::read_link(ours("uts"))?);
    same(bundle.output()?, format!("{}\n{}\n0\n", net.display(), uts.display()))
}

/// Callers open the log without looking whether anything was logged; a root that is not there is no empty one.
pub(crate) fn logs_and_lists() -> TestResult {
    let bundle = Bundle::new("true")?;
    let absent = bundle.call(&["list"])?;
    check(absent.code == 1 && absent.err.contains("does not exist"), || absent.err.clone())?;
    let log = bundle.folder.path().join("log.json").display().to_string();
    same(bundle.call(&["--log", &log, "--log-format", "json", "features"])?.code, 0)?;
    same(std::fs::read_to_string(&log)?.as_str(), "")?;
    bundle.start()?;
    let listed = bundle.call(&["list", "--format", "json"])?.out;
    check(listed.starts_with("[{\"ociVersion\":\"1.2.0\",\"id\":"), || listed.clone())?;
    has(&listed, "\"owner\":\"root\"}]")?;
    bundle.delete()
}
