//! Images and documents that try to reach the host.

use std::path::Path;

use integration::runner::{TestResult, check};
use integration::world;
use serde_json::json;

use crate::bundle::{Bundle, has, same};

/// CVE-2019-19921, CVE-2023-27561, CVE-2026-41579: who reads `/proc` must find procfs.
pub(crate) fn symlinked_mount_points() -> TestResult {
    for (name, text) in
        [("proc", "must be mounted on ordinary directory"), ("sys", "must be mounted on ordinary directory")]
    {
        let bundle = Bundle::new("true")?;
        std::fs::create_dir_all(bundle.rootfs("elsewhere"))?;
        std::os::unix::fs::symlink("/elsewhere", bundle.rootfs(name))?;
        let said = bundle.run()?;
        same(said.code, 1)?;
        has(&said.err, text)?;
    }
    let mut bundle = Bundle::new("true")?;
    let host = tempfile::tempdir()?;
    std::os::unix::fs::symlink(host.path(), bundle.rootfs("dev"))?;
    if let Some(list) = bundle.spec["mounts"].as_array_mut() {
        list.retain(|mount| !mount["destination"].as_str().is_some_and(|path| path.starts_with("/dev")));
    }
    same(bundle.run()?.code, 1)?;
    same(std::fs::read_dir(host.path())?.count(), 0)
}

/// CVE-2024-21626: a working directory through a descriptor of the runtime.
pub(crate) fn working_directory() -> TestResult {
    let mut bundle = Bundle::new("cat ../../../etc/passwd; pwd")?;
    for fd in 3..48 {
        for target in ["/proc/self/fd", "/proc/thread-self/fd"] {
            bundle.spec["process"]["cwd"] = json!(format!("{target}/{fd}"));
            let said = bundle.run()?;
            // A descriptor of the container's own root is no way out, and leads to `/`.
            let inside = said.code != 0 || said.out == "/\n";
            check(inside && !said.out.contains("root:"), || {
                format!("cwd {target}/{fd}: {}{}", said.out, said.err)
            })?;
        }
    }
    std::os::unix::fs::symlink("/proc/self/fd/7", bundle.rootfs("link"))?;
    bundle.spec["process"]["cwd"] = json!("/link");
    let said = bundle.run()?;
    check(said.code == 1 || said.out == "/\n", || format!("cwd /link: {}{}", said.out, said.err))?;
    bundle.spec["process"]["cwd"] = json!("/");
    bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    bundle.start()?;
    for fd in 3..32 {
        let cwd = format!("/proc/self/fd/{fd}");
        let said = bundle.exec(&["--cwd", &cwd], "cat ../../../etc/passwd 2>/dev/null; pwd")?;
        check(said.code == 255 || said.out == "/\n", || {
            format!("exec in /proc/self/fd/{fd}: {}{}", said.out, said.err)
        })?;
    }
    bundle.delete()
}

/// CVE-2025-31133: the image's `/dev/null` is what hides a file, if the runtime believes it.
pub(crate) fn fake_null() -> TestResult {
    let mut bundle = Bundle::new("wc -c < /proc/timer_list; cat /proc/keys")?;
    std::fs::create_dir_all(bundle.rootfs("dev"))?;
    std::os::unix::fs::symlink("/proc/sys/kernel/core_pattern", bundle.rootfs("dev/null"))?;
    if let Some(list) = bundle.spec["mounts"].as_array_mut() {
        list.retain(|mount| !mount["destination"].as_str().is_some_and(|path| path.starts_with("/dev")));
    }
    // The node cannot be made where the symlink is.
    let said = bundle.run()?;
    same(said.code, 1)?;
    has(&said.err, "/dev/null")?;
    let mut bundle = Bundle::new(
        "cat /proc/timer_list /proc/keys | wc -c; rm -f /dev/null; ls /proc/sys/kernel/core_pattern",
    )?;
    bundle.spec["linux"]["maskedPaths"] = json!(["/proc/timer_list", "/proc/keys", "/escape"]);
    std::os::unix::fs::symlink("/proc/self/root/../../../../etc", bundle.rootfs("escape"))?;
    // A mask through a magic link could lead anywhere: it is refused rather than left out.
    let said = bundle.run()?;
    same(said.code, 1)?;
    has(&said.err, "/escape")?;
    bundle.spec["linux"]["maskedPaths"] = json!(["/proc/timer_list", "/proc/keys"]);
    has(&bundle.output()?, "0\n")
}

/// CVE-2019-5736: writing to the runtime's own binary while it is a container's process.
pub(crate) fn host_binary() -> TestResult {
    let binary = world::bin("orlop-runtime");
    let before = std::fs::read(&binary)?;
    let mut bundle = Bundle::new("true")?;
    // The program is the runtime itself: it then runs in the container, from its file.
    bundle.spec["process"]["args"] = json!(["/proc/self/exe", "--version"]);
    let said = bundle.run()?;
    check(said.code == 0 || said.code == 1, || format!("{}", said.code))?;
    // A created container's init is the runtime, visible from a process that shares its PID namespace.
    bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    bundle.spec["process"]["capabilities"] = json!({"bounding": ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"],
        "effective": ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"], "permitted": ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]});
    let created = bundle.create(&[])?;
    same((created.code, created.err.as_str()), (0, ""))?;
    let said = bundle.exec(
        &[],
        "readlink /proc/1/exe; echo overwritten > /proc/1/exe; mount -o remount,rw /proc/1/exe; \
         mount -o remount,rw,bind /proc/1/exe; echo overwritten > /proc/1/exe; exit 0",
    )?;
    check(said.code == 0, || said.err.clone())?;
    check(std::fs::read(&binary)? == before, || "the host's binary was changed".to_owned())?;
    bundle.delete()
}

/// CVE-2019-18837, CVE-2024-45310: symlinks in the image lead a mount or its mount point to the host.
pub(crate) fn mounts_stay_inside() -> TestResult {
    let host = tempfile::tempdir()?;
    let mut bundle = Bundle::new("cat /etc-link/mine; ls -A /made")?;
    let source = tempfile::tempdir()?;
    std::fs::write(source.path().join("mine"), "mine\n")?;
    std::os::unix::fs::symlink(host.path(), bundle.rootfs("made"))?;
    std::os::unix::fs::symlink("../../../../../../../../etc", bundle.rootfs("etc-link"))?;
    if let Some(list) = bundle.spec["mounts"].as_array_mut() {
        let bind = |to: &str| json!({"destination": to, "type": "bind", "source": source.path(), "options": ["rbind"]});
        list.extend([bind("/etc-link"), bind("/made/deeper"), bind("/made/../../../../../x")]);
    }
    let text = bundle.output()?;
    has(&text, "mine\n")?;
    same(std::fs::read_dir(host.path())?.count(), 0)?;
    let inside = format!("{}/deeper", host.path().display());
    check(bundle.rootfs(inside.trim_start_matches('/')).is_dir(), || {
        "not resolved inside the root".to_owned()
    })?;
    check(Path::new("/etc/passwd").exists(), || "the host's /etc was covered".to_owned())
}

/// CVE-2025-52565: a `/dev/pts` that is not devpts.
pub(crate) fn fake_terminal() -> TestResult {
    let mut bundle = Bundle::new("true")?;
    bundle.spec["process"]["terminal"] = json!(true);
    if let Some(list) = bundle.spec["mounts"].as_array_mut() {
        list.retain(|mount| mount["destination"] != "/dev/pts" && mount["destination"] != "/dev");
    }
    std::fs::create_dir_all(bundle.rootfs("dev/pts"))?;
    std::os::unix::fs::symlink("/proc/sys/kernel/core_pattern", bundle.rootfs("dev/pts/ptmx"))?;
    let said = bundle.run()?;
    same(said.code, 1)?;
    has(&said.err, "open terminal /dev/pts/ptmx")
}
