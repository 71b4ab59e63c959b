//! Under the engines that people have: Debian's podman and containerd call the runtime as they call runc.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use integration::runner::{TestResult, check, skip};
use integration::world;

use crate::bundle::{Bundle, Outcome, eventually, has, said, same};

fn installed(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

pub(crate) fn podman() -> TestResult {
    if !installed("podman") || !installed("conmon") {
        return skip("podman and conmon are not installed");
    }
    let bundle = Bundle::new("true")?;
    let folder = bundle.folder.path();
    let runtime = world::bin("orlop-runtime").canonicalize()?;
    let podman = |args: &[&str]| -> Outcome<crate::bundle::Said> {
        let mut command = Command::new("podman");
        command.arg("--root").arg(folder.join("podman")).arg("--runroot").arg(folder.join("run"));
        command.arg("--tmpdir").arg(folder.join("tmp")).args([
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
        ]);
        command
            .args(["--events-backend", "none"])
            .arg("--runtime")
            .arg(&runtime)
            .args(args)
            .stdin(Stdio::null());
        said(command.output()?)
    };
    let rootfs = bundle.rootfs("").display().to_string();
    let common = [
        "--network",
        "none",
        // Without CAP_SYS_RESOURCE, which a test machine may lack, podman's own default cannot be set.
        "--ulimit",
        "nofile=512:512",
        "--ulimit",
        "nproc=512:512",
        "--cgroups",
        "enabled",
        "--cgroup-parent",
        &format!("/orlop-test-{}", std::process::id()),
    ];
    let run = podman(
        &[
            &["run", "--rm", "--name", "one"],
            &common[..],
            &["--rootfs", &rootfs, "sh", "-c", "echo in podman; id -u; exit 6"],
        ]
        .concat(),
    )?;
    check(run.code == 6, || format!("{} {}{}", run.code, run.out, run.err))?;
    has(&run.out, "in podman\n0\n")?;
    let missing = podman(&[&["run", "--rm"], &common[..], &["--rootfs", &rootfs, "nope"]].concat())?;
    same(missing.code, 127)?;
    let run = podman(
        &[&["run", "--name", "two", "-d"], &common[..], &["--rootfs", &rootfs, "sleep", "1000"]].concat(),
    )?;
    check(run.code == 0, || run.err.clone())?;
    let exec = podman(&["exec", "two", "sh", "-c", "hostname; exit 4"])?;
    check(exec.code == 4, || format!("{} {}{}", exec.code, exec.out, exec.err))?;
    let paused = podman(&["pause", "two"])?;
    check(paused.code == 0, || paused.err.clone())?;
    same(podman(&["unpause", "two"])?.code, 0)?;
    let removed = podman(&["rm", "-f", "-t", "0", "two"])?;
    check(removed.code == 0, || removed.err.clone())
}

/// A daemon that ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn containerd() -> TestResult {
    if !installed("containerd") || !installed("ctr") {
        return skip("containerd and ctr are not installed");
    }
    let bundle = Bundle::new("true")?;
    let folder = bundle.folder.path();
    let runtime = world::bin("orlop-runtime").canonicalize()?;
    let socket = folder.join("c.sock");
    let config = folder.join("config.toml");
    std::fs::write(
        &config,
        format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            folder.join("root"),
            folder.join("ctrd"),
            socket,
            folder.join("t.sock"),
        ),
    )?;
    let log = std::fs::File::create(folder.join("containerd.log"))?;
    let daemon =
        Command::new("containerd").arg("--config").arg(&config).stdout(Stdio::null()).stderr(log).spawn()?;
    let _daemon = Daemon(daemon);
    let ctr = |args: &[&str]| -> Outcome<crate::bundle::Said> {
        let mut command = Command::new("ctr");
        said(command.arg("--address").arg(&socket).args(args).stdin(Stdio::null()).output()?)
    };
    eventually("containerd", || Ok(socket.exists() && ctr(&["version"])?.code == 0))?;
    let rootfs = bundle.rootfs("").display().to_string();
    let binary = runtime.display().to_string();
    let cgroup = format!("/orlop-test-{}/ctr", std::process::id());
    let common =
        ["--runtime", "io.containerd.runc.v2", "--runc-binary", &binary, "--rootfs", "--cgroup", &cgroup];
    let run = ctr(&[
        &["run", "--rm"],
        &common[..],
        &[&rootfs, "one", "/bin/sh", "-c", "echo in containerd; exit 6"],
    ]
    .concat())?;
    check(run.code == 6, || format!("{} {}{}", run.code, run.out, run.err))?;
    has(&run.out, "in containerd\n")?;
    let missing = ctr(&[&["run", "--rm"], &common[..], &[&rootfs, "two", "nope"]].concat())?;
    has(&missing.err, "executable file not found in $PATH")?;
    let run = ctr(&[&["run", "-d"], &common[..], &[&rootfs, "three", "/bin/sleep", "1000"]].concat())?;
    check(run.code == 0, || run.err.clone())?;
    let exec = ctr(&["tasks", "exec", "--exec-id", "e", "three", "/bin/sh", "-c", "hostname; exit 4"])?;
    check(exec.code == 4, || format!("{} {}{}", exec.code, exec.out, exec.err))?;
    for verb in ["pause", "resume"] {
        let said = ctr(&["tasks", verb, "three"])?;
        check(said.code == 0, || said.err.clone())?;
    }
    has(&ctr(&["tasks", "ps", "three"])?.out, "PID")?;
    same(ctr(&["tasks", "kill", "-s", "SIGKILL", "three"])?.code, 0)?;
    eventually("the end", || {
        Ok(ctr(&["tasks", "delete", "three"])?.code == 137 || ctr(&["tasks", "ls", "-q"])?.out.is_empty())
    })?;
    same(ctr(&["containers", "delete", "three"])?.code, 0)
}
