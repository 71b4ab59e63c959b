//! Fields of config.json that no other test has a reason to set.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use integration::runner::{TestResult, check, fail, skip};
use nix::sys::socket::{MsgFlags, recv};
use serde_json::{Value, json};

use crate::bundle::{Bundle, Outcome, has, same};

/// Adds to a list of the document.
fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// Scheduling, I/O priority, CPUs and memory nodes of both kinds of processes.
pub(crate) fn placement() -> TestResult {
    let script = "ionice; cut -d' ' -f19,41 /proc/self/stat; head -n1 /proc/self/numa_maps | cut -d' ' -f2";
    let mut bundle = Bundle::new(script)?;
    let process = &mut bundle.spec["process"];
    process["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 5});
    process["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 7, "flags": ["SCHED_RESET_ON_FORK"]});
    bundle.spec["linux"]["memoryPolicy"] =
        json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    let placed = "best-effort: prio 5\n7 3\nbind=static:0\n";
    same(bundle.output()?.as_str(), placed)?;
    bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    bundle.start()?;
    same(bundle.exec(&[], script)?.out.as_str(), placed)?;

    // The CPUs are of processes that join.
    let exec = |affinity: Value| {
        let file = bundle.folder.path().join("process.json");
        let process = json!({"args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "cwd": "/", "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0}, "execCPUAffinity": affinity});
        std::fs::write(&file, process.to_string())?;
        bundle.call(&["exec", "--process", &file.display().to_string(), &bundle.id])
    };
    same(exec(json!({"initial": "0", "final": "0"}))?.out.as_str(), "Cpus_allowed_list:\t0\n")?;
    has(&exec(json!({"initial": "8000"}))?.err, "sched_setaffinity [8000]: invalid argument")?;
    has(&exec(json!({"final": "1-0"}))?.err, "process.execCPUAffinity.final")?;
    bundle.delete()?;

    // Root of this machine may lack the privilege; what the kernel was asked for is in its refusal.
    bundle.spec["process"]["scheduler"] = json!({"policy": "SCHED_FIFO", "priority": 5});
    bundle.spec["process"]["args"] = json!(["cut", "-d ", "-f40,41", "/proc/self/stat"]);
    let real_time = bundle.run()?;
    let refused = real_time.err.contains("sched_setattr") && real_time.err.contains("priority: 5");
    check(real_time.out == "5 1\n" || refused, || format!("{}{}", real_time.out, real_time.err))?;
    // A runtime that does not fit into its deadline.
    bundle.spec["process"]["scheduler"] =
        json!({"policy": "SCHED_DEADLINE", "runtime": 420_000, "deadline": 100_000, "period": 1_000_000});
    has(&bundle.run()?.err, "runtime: 420000, deadline: 100000, period: 1000000")?;
    bundle.spec["process"]["scheduler"] = json!({"policy": "SCHED_OTHER", "runtime": 1});
    has(&bundle.run()?.err, "process.scheduler")
}

/// A time namespace with offsets, that later processes see too; the other name of a UTS namespace.
pub(crate) fn time_and_names() -> TestResult {
    let script = "cat /proc/self/timens_offsets | tr -s ' '; cat /proc/sys/kernel/domainname";
    let mut bundle = Bundle::new(script)?;
    bundle.spec["domainname"] = json!("inside.example");
    bundle.spec["linux"]["timeOffsets"] =
        json!({"monotonic": {"secs": 7881, "nanosecs": 27}, "boottime": {"secs": 1337}});
    has(&bundle.run()?.err, "needs a new time namespace")?;
    push(&mut bundle.spec["linux"]["namespaces"], json!({"type": "time"}));
    let text = "monotonic 7881 27\nboottime 1337 0\ninside.example\n";
    same(bundle.output()?.as_str(), text)?;
    bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    bundle.start()?;
    same(bundle.exec(&[], script)?.out.as_str(), text)?;
    bundle.delete()
}

/// What a host without the module cannot give is refused.
pub(crate) fn labels() -> TestResult {
    for (field, label, module) in [
        ("apparmorProfile", "some-profile", "/sys/kernel/security/apparmor"),
        ("selinuxLabel", "system_u:system_r:some_t:s0", "/sys/fs/selinux/enforce"),
    ] {
        if Path::new(module).exists() {
            return skip("this host has a security module, and no test for it");
        }
        let mut bundle = Bundle::new("true")?;
        bundle.spec["process"][field] = json!(label);
        has(&bundle.run()?.err, &format!("process.{field}"))?;
    }
    Ok(())
}

/// Owners shown mapped by the mount's own mappings, of a container without a user namespace.
pub(crate) fn mapped_mounts() -> TestResult {
    let mut bundle = Bundle::new("stat -c '%u %g' /mapped/f")?;
    let host = tempfile::tempdir()?;
    std::fs::write(host.path().join("f"), "")?;
    std::os::unix::fs::chown(host.path().join("f"), Some(5), Some(6))?;
    let ids = |host: u32| json!([{"containerID": 0, "hostID": host, "size": 100}]);
    push(
        &mut bundle.spec["mounts"],
        json!({"destination": "/mapped", "type": "bind", "source": host.path(), "options": ["rbind"],
            "uidMappings": ids(1000), "gidMappings": ids(2000)}),
    );
    let ran = bundle.run()?;
    if ran.err.contains("idmap mount: invalid argument") {
        return skip("this kernel cannot idmap the file system of the temporary folder");
    }
    same((ran.out.as_str(), ran.err.as_str()), ("1005 2006\n", ""))
}

/// What the runtime tells an agent; it comes with a descriptor.
fn told(agent: &UnixListener) -> Outcome<Value> {
    let (connection, _) = agent.accept()?;
    let mut bytes = vec![0; 64 << 10];
    let length = recv(connection.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK)?;
    check(sys::process::receive_terminal(&connection)?.is_some(), || "no descriptor came".to_owned())?;
    Ok(serde_json::from_slice(&bytes[..length])?)
}

/// The agent hears of every process of the container.
pub(crate) fn seccomp_agent() -> TestResult {
    for no_new_privileges in [true, false] {
        let mut bundle = Bundle::new("exec sleep 1000")?;
        let path = bundle.folder.path().join("agent.sock");
        bundle.spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": path, "listenerMetadata": "for the agent",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
        });
        has(&bundle.run()?.err, "failed to connect with seccomp agent")?;
        let agent = UnixListener::bind(&path)?;
        bundle.start()?;
        let first = told(&agent)?;
        let state: Value = serde_json::from_str(&bundle.call(&["state", &bundle.id])?.out)?;
        same(&first["metadata"], &json!("for the agent"))?;
        same((&first["pid"], &first["state"]["id"]), (&state["pid"], &state["id"]))?;
        // This agent closes what it was handed without an answer, which the kernel answers for it.
        let (second, ran) = std::thread::scope(|scope| {
            let second = scope.spawn(|| told(&agent));
            let ran = bundle.exec(&[], "mkdir /x; echo went on");
            (second.join(), ran)
        });
        let Ok(second) = second else { return fail("the agent panicked") };
        let (second, ran) = (second?, ran?);
        has(&ran.err, "Function not implemented")?;
        has(&ran.out, "went on")?;
        same(&second["metadata"], &json!("for the agent"))?;
        check(second["pid"] != first["pid"], || "the pid is the first process's".to_owned())?;
        bundle.delete()?;
    }
    Ok(())
}
