//! A bundle with busybox in it, and the runtime called on it.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use integration::runner::{TestError, check, fail, skip};
use integration::world;
use serde_json::{Value, json};

pub(crate) type Outcome<T = ()> = Result<T, TestError>;

/// One container's bundle, gone with its cgroup when dropped.
pub(crate) struct Bundle {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) spec: Value,
    pub(crate) id: String,
    cgroup: String,
}

/// What a call of the runtime came to.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bundle {
    /// A shell script as the container's program, in the surroundings that a container engine gives it.
    pub(crate) fn new(script: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let bin = folder.path().join("rootfs/bin");
        std::fs::create_dir_all(&bin)?;
        let busybox = Path::new("/bin/busybox");
        if !busybox.exists() {
            return skip("busybox-static is not installed");
        }
        std::fs::copy(busybox, bin.join("busybox"))?;
        // By the copy: the links are to the program that makes them, and tests change owners and modes.
        let status = Command::new(bin.join("busybox")).args(["--install"]).arg(&bin).status()?;
        check(status.success(), || "busybox --install failed".to_owned())?;
        let id = format!("t{}", std::process::id());
        let cgroup = format!("/orlop-test-{}", std::process::id());
        let mut bundle = Self { spec: spec(script, &format!("{cgroup}/c")), folder, id, cgroup };
        bundle.spec["hostname"] = "inside".into();
        Ok(bundle)
    }

    pub(crate) fn rootfs(&self, path: &str) -> PathBuf {
        self.folder.path().join("rootfs").join(path)
    }

    pub(crate) fn cgroup(&self, controller: &str) -> PathBuf {
        PathBuf::from(format!("/sys/fs/cgroup/{controller}{}/c", self.cgroup))
    }

    /// Where the runtime keeps its state.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn write(&self) -> Outcome {
        std::fs::write(self.folder.path().join("config.json"), self.spec.to_string())?;
        Ok(())
    }

    /// The runtime with its global flags.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(world::bin("orlop-runtime"));
        command.arg("--root").arg(self.root()).stdin(Stdio::null());
        command
    }

    /// Calls a verb that leaves no process behind.
    pub(crate) fn call(&self, args: &[&str]) -> Outcome<Said> {
        said(self.command().args(args).output()?)
    }

    /// `run` in the foreground.
    pub(crate) fn run(&self) -> Outcome<Said> {
        self.write()?;
        said(self.command().args(["run", "--bundle"]).arg(self.folder.path()).arg(&self.id).output()?)
    }

    /// `run`, which must succeed; its output.
    pub(crate) fn output(&self) -> Outcome<String> {
        let said = self.run()?;
        check(said.code == 0, || format!("run: {} {}{}", said.code, said.out, said.err))?;
        Ok(said.out)
    }

    /// `create`, whose process keeps the output: it goes to the file `out`.
    pub(crate) fn create(&self, flags: &[&str]) -> Outcome<Said> {
        self.write()?;
        let out = std::fs::File::create(self.folder.path().join("out"))?;
        let err = self.folder.path().join("err");
        let status = self
            .command()
            .arg("create")
            .args(flags)
            .arg("--bundle")
            .arg(self.folder.path())
            .arg(&self.id)
            .stdout(out)
            .stderr(std::fs::File::create(&err)?)
            .status()?;
        Ok(Said { code: status.code().unwrap_or(-1), out: String::new(), err: std::fs::read_to_string(err)? })
    }

    /// `create` and `start`, which must succeed.
    pub(crate) fn start(&self) -> Outcome {
        let created = self.create(&[])?;
        check(created.code == 0, || format!("create: {}", created.err))?;
        let started = self.call(&["start", &self.id])?;
        check(started.code == 0, || format!("start: {}", started.err))
    }

    /// `exec` of a script, in the foreground.
    pub(crate) fn exec(&self, flags: &[&str], script: &str) -> Outcome<Said> {
        let args = [&["exec"], flags, &[&self.id, "sh", "-c", script]].concat();
        self.call(&args)
    }

    pub(crate) fn status(&self) -> Outcome<String> {
        let said = self.call(&["state", &self.id])?;
        let state: Value = serde_json::from_str(&said.out)?;
        Ok(state["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits for a status; what is awaited is an event in the kernel without a descriptor to wait on.
    pub(crate) fn wait_for_status(&self, wanted: &str) -> Outcome {
        eventually(&format!("status {wanted}"), || Ok(self.status()? == wanted))
    }

    /// `delete --force`.
    pub(crate) fn delete(&self) -> Outcome {
        let said = self.call(&["delete", "--force", &self.id])?;
        check(said.code == 0, || format!("delete: {}", said.err))
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "--force", &self.id]);
        // Engines put processes of their own below it, which end when they please.
        integration::leftovers::end_all(&self.cgroup[1..]);
        // Where a controller is not mounted, podman and conmon make plain folders of its name, with plain files.
        let root = Path::new("/sys/fs/cgroup");
        let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let trees = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
        for tree in trees.filter(|tree| device(tree) == device(root)) {
            let _ = std::fs::remove_dir_all(tree.join(&self.cgroup[1..]));
        }
    }
}

pub(crate) fn said(output: Output) -> Outcome<Said> {
    use std::os::unix::process::ExitStatusExt;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().or(output.status.signal().map(|signal| 128 + signal));
    Ok(Said { code: code.unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) })
}

/// Tries until it holds, with a deadline.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds()? {
        if Instant::now() > deadline {
            return fail(format!("never came: {what}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Checks that a text has a part.
pub(crate) fn has(text: &str, part: &str) -> Outcome {
    check(text.contains(part), || format!("{part:?} is missing in {text:?}"))
}

/// Checks that two values are the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(have: T, want: T) -> Outcome {
    check(have == want, || format!("have {have:?}, want {want:?}"))
}

/// Makes a file that can be executed.
pub(crate) fn script(path: &Path, text: &str) -> Outcome {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

fn spec(script: &str, cgroup: &str) -> Value {
    let caps = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD", "CAP_DAC_OVERRIDE"]);
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin", "A=b"],
            "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs"},
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/absent"],
            "readonlyPaths": ["/proc/bus", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
