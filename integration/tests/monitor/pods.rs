//! What a pod has of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use api_monitor::{IdMapping, NamespaceSource, Request, user_pin};
use integration::runner::{TestResult, check, fail, skip};

use crate::fixture::{Pod, eventually, exited, lives, start};

fn inode(path: impl AsRef<Path>) -> std::io::Result<u64> {
    Ok(fs::metadata(path)?.ino())
}

pub(crate) fn namespaces_are_made_and_pinned() -> TestResult {
    let pod = Pod::with("namespaces", |config| {
        config.sysctls.insert("net.ipv4.ip_unprivileged_port_start".into(), "7".into());
        config.sysctls.insert("kernel.shmmni".into(), "77".into());
    })?;
    let of_monitor = format!("/proc/{}/ns", pod.status.pid);
    for (kind, pin) in [("net", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        let own = inode(format!("{of_monitor}/{kind}"))?;
        check(own == inode(pod.folder.join(pin))?, || format!("{kind} is not pinned"))?;
        check(own != inode(format!("/proc/self/ns/{kind}"))?, || format!("{kind} is not new"))?;
    }
    check(inode(format!("{of_monitor}/mnt"))? == inode("/proc/self/ns/mnt")?, || {
        "it left the mount tree".into()
    })?;
    let mut client = pod.client()?;
    pod.run(
        &mut client,
        "c",
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni; hostname",
    )?;
    exited(&mut client, "c")?;
    let text = pod.output("c", "stdout")?;
    check(text == "7\n77\nharbour\n", || text)?;
    fs::write(pod.folder.join("shm/x"), vec![0; 1 << 19])?;
    let full = fs::write(pod.folder.join("shm/y"), vec![0; 1 << 20]);
    check(full.is_err_and(|error| error.kind() == std::io::ErrorKind::StorageFull), || "no limit".into())
}

pub(crate) fn a_pod_that_cannot_be_leaves_nothing() -> TestResult {
    for (change, text) in
        [("net.ipv4.no_such_thing", "no such file"), ("vm.swappiness", "belongs to no namespace")]
    {
        let Err(error) = Pod::with("never", |config| drop(config.sysctls.insert(change.into(), "1".into())))
        else {
            return fail(format!("{change} was accepted"));
        };
        check(error.to_string().to_lowercase().contains(text), || error.to_string())?;
        let folder = Path::new("/run/orlop-test/never");
        check(!folder.join("net").exists() && !folder.join("s").exists(), || "a pin is left".into())?;
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        check(!mounts.contains("orlop-test"), || mounts)?;
    }
    Ok(())
}

pub(crate) fn a_shared_pid_namespace() -> TestResult {
    let pod = Pod::with("pids", |config| config.namespaces.pid = NamespaceSource::New { pin: None })?;
    let Some(pause) = pod.status.pause_pid else { return fail("no pause process") };
    let mut client = pod.client()?;
    let path = format!("/proc/{pause}/ns/pid");
    let mut pids = Vec::new();
    for (id, script) in [("one", "sleep 1000"), ("two", "(sleep 0.1 &); sleep 1000")] {
        let bundle = pod.bundle_with(id, script, |config| {
            config["linux"]["namespaces"][0]["path"] = path.clone().into();
        })?;
        let (pid, _) = start(&mut client, pod.create(id, bundle))?;
        check(inode(format!("/proc/{pid}/ns/pid"))? == inode(&path)?, || format!("{id} is apart"))?;
        pids.push(pid);
    }
    // What "two" leaves behind is adopted and reaped by the pause process.
    let children = format!("/proc/{pause}/task/{pause}/children");
    if Path::new(&children).exists() {
        eventually("orphans are reaped", || fs::read_to_string(&children).is_ok_and(|text| text.is_empty()))?;
    }
    check(pids.iter().all(|&pid| lives(pid)), || "a container ended".into())?;
    for id in ["one", "two"] {
        let (_, fds) = client.ask(Request::Pidfd { container: id.into() }, &[])?;
        for fd in fds {
            sys::pidfd::PidFd::from(fd).signal(9).map_err(std::io::Error::from)?;
        }
        check(exited(&mut client, id)?.signal == Some(9), || format!("{id} ended otherwise"))?;
        client.ask(Request::Delete { container: id.into() }, &[])?;
    }
    check(lives(pause), || "the pause process ended".into())?;
    client.ask(Request::Shutdown, &[])?;
    eventually("the pause process ends with the pod", || !lives(pause))?;
    Ok(())
}

pub(crate) fn a_user_namespace() -> TestResult {
    let map = IdMapping { container_id: 0, host_id: 200_000, size: 65_536 };
    let pod = Pod::with("users", |config| {
        config.namespaces.user = Some((vec![map], vec![map]));
        config.namespaces.pid = NamespaceSource::New { pin: None };
        config.sysctls.insert("net.ipv4.ip_unprivileged_port_start".into(), "9".into());
    })?;
    let Some(pause) = pod.status.pause_pid else { return fail("no pause process") };
    let user = inode(format!("/proc/{pause}/ns/user"))?;
    check(user == inode(user_pin(&pod.config.state_dir))?, || "the user namespace is not pinned".into())?;
    check(inode(format!("/proc/{}/ns/user", pod.status.pid))? == inode("/proc/self/ns/user")?, || {
        "the monitor lost its rights".into()
    })?;
    check(inode(format!("/proc/{pause}/ns/net"))? == inode(pod.folder.join("net"))?, || {
        "another network".into()
    })?;
    let status = fs::read_to_string(format!("/proc/{pause}/status"))?;
    check(status.contains("Uid:\t200000\t"), || status)?;
    pod.client()?.ask(Request::Shutdown, &[])?;
    eventually("the pause process ends with the pod", || !lives(pause))?;
    Ok(())
}

pub(crate) fn an_end_for_lack_of_memory() -> TestResult {
    let hierarchy = Path::new("/sys/fs/cgroup/memory");
    if !hierarchy.join("memory.oom_control").exists() && !hierarchy.join("memory.limit_in_bytes").exists() {
        return skip("no memory hierarchy of cgroup version 1");
    }
    let pod = Pod::new("oom")?;
    let mut client = pod.client()?;
    let mut cgroup = String::new();
    let bundle = pod.bundle_with("c", "x=$(yes | head -c 200000000); echo survived", |config| {
        config["linux"]["resources"]["memory"] = serde_json::json!({"limit": 16 << 20});
        cgroup = config["linux"]["cgroupsPath"].as_str().unwrap_or_default().trim_start_matches('/').into();
    })?;
    let mut create = pod.create("c", bundle);
    create.memory_cgroup = Some(hierarchy.join(cgroup));
    start(&mut client, create)?;
    let exit = exited(&mut client, "c")?;
    check(exit.oom_killed && exit.signal == Some(9), || format!("{exit:?}"))
}

/// The memory of a process in KiB: its proportional share, and what it has written to.
fn memory_of(pid: &str) -> std::io::Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    Ok((of("Pss:"), of("Private_Dirty:")))
}

pub(crate) fn memory() -> TestResult {
    const PODS: u64 = 10;
    let mut pods = Vec::new();
    for number in 0..PODS {
        let pod = Pod::new(&format!("memory{number}"))?;
        let mut client = pod.client()?;
        for id in ["one", "two"] {
            pod.run(&mut client, id, "seq 1 20000; sleep 1000")?;
        }
        eventually("the logs", || pod.output("two", "stdout").is_ok_and(|text| text.ends_with("20000\n")))?;
        pods.push(pod);
    }
    let (mut share, mut written) = (0, 0);
    for pod in &pods {
        let pid = pod.status.pid.to_string();
        let Ok(children) = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) else {
            return skip("this kernel does not list children");
        };
        let logger = children.split_whitespace().find(|child| {
            fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|comm| comm.trim() == "orlop-logger")
        });
        for pid in [Some(pid.as_str()), logger].into_iter().flatten() {
            let (pss, dirty) = memory_of(pid)?;
            share += pss;
            written += dirty;
        }
    }
    let (share, written) = (share / PODS, written / PODS);
    eprintln!("per pod of two containers, monitor and logger: PSS {share} KiB, private dirty {written} KiB");
    check(share < 768 && written < 400, || "too much".into())
}

pub(crate) fn a_foreign_runtime() -> TestResult {
    let runc = Path::new("/usr/sbin/runc");
    if !runc.exists() {
        return skip("no runc");
    }
    let pod = Pod::new("runc")?;
    let mut client = pod.client()?;
    let root = pod.folder.join("foreign").display().to_string();
    let mut create = pod.create("c", pod.bundle("c", "hostname; exit 5")?);
    create.runtime = Some(vec![runc.display().to_string(), "--root".into(), root.clone()]);
    start(&mut client, create)?;
    check(Path::new(&root).join("c").exists(), || "its own root was not used".into())?;
    let exit = exited(&mut client, "c")?;
    check(exit.code == 5 && pod.output("c", "stdout")? == "harbour\n", || format!("{exit:?}"))?;
    client.ask(Request::Delete { container: "c".into() }, &[])?;
    check(!Path::new(&root).join("c").exists(), || "it was not deleted".into())
}
