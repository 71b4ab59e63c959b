//! A pod to test with: a monitor of its own, and bundles whose only program is Debian's static busybox.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use api_monitor::{
    CreateRequest, Event, Exit, NamespaceSource, PodConfig, PodNamespaces, PodStatus, Reply, Request,
    SharedMemory, VERSION,
};
use integration::monitor::{Client, PATIENCE, wait_readable};
use integration::world;
use serde_json::{Value, json};

/// A pod; what is left of it is removed at the end, however the test went.
pub(crate) struct Pod {
    pub(crate) folder: PathBuf,
    pub(crate) config: PodConfig,
    pub(crate) status: PodStatus,
    pub(crate) monitor: Child,
    tag: String,
}

/// The runtime under test: ours, when it is built in already.
pub(crate) fn runtime() -> PathBuf {
    let ours = world::bin("orlop-runtime");
    let works = Command::new(&ours).arg("features").output().is_ok_and(|output| output.status.success());
    if works { ours } else { PathBuf::from("/usr/sbin/runc") }
}

impl Pod {
    /// What most tests want: a new network, ipc and uts namespace.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        Self::with(name, |_| ())
    }

    /// With another configuration.
    pub(crate) fn with(name: &str, change: impl FnOnce(&mut PodConfig)) -> io::Result<Self> {
        let folder = PathBuf::from("/run/orlop-test").join(name);
        fs::create_dir_all(folder.join("state"))?;
        fs::create_dir_all(folder.join("shm"))?;
        let new = |pin: &str| NamespaceSource::New { pin: Some(folder.join(pin)) };
        let mut config = PodConfig {
            version: VERSION,
            id: name.into(),
            socket: folder.join("s"),
            state_dir: folder.join("state"),
            runtime: runtime(),
            runtime_root: folder.join("runtime"),
            namespaces: PodNamespaces {
                net: new("net"),
                ipc: new("ipc"),
                uts: new("uts"),
                pid: NamespaceSource::Host,
                user: None,
            },
            hostname: Some("harbour".into()),
            sysctls: BTreeMap::new(),
            shared_memory: Some(SharedMemory { path: folder.join("shm"), bytes: 1 << 20 }),
            monitor_cgroups: Vec::new(),
            pause_cgroups: Vec::new(),
        };
        change(&mut config);
        let mut monitor = Command::new(world::bin("orlop-runtime"))
            .arg("monitor")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = monitor.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(&serde_json::to_vec(&config)?)?;
        drop(stdin);
        let stdout = monitor.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        wait_readable(stdout.as_fd(), Instant::now() + PATIENCE)?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Ok(status) = serde_json::from_str(&line) else {
            monitor.wait()?;
            return Err(io::Error::other(format!("the monitor says {line:?}")));
        };
        let tag = format!("orlop-test-{}-{name}", std::process::id());
        Ok(Self { folder, config, status, monitor, tag })
    }

    /// A connection that has said hello.
    pub(crate) fn client(&self) -> io::Result<Client> {
        Ok(Client::hello(&self.config.socket)?.0)
    }

    /// A bundle that runs a shell script.
    pub(crate) fn bundle(&self, id: &str, script: &str) -> io::Result<PathBuf> {
        self.bundle_with(id, script, |_| ())
    }

    /// A bundle whose config.json was changed.
    pub(crate) fn bundle_with(
        &self,
        id: &str,
        script: &str,
        change: impl FnOnce(&mut Value),
    ) -> io::Result<PathBuf> {
        let bundle = self.folder.join(format!("b-{id}"));
        // An earlier one of the same name is replaced.
        let _ = fs::remove_dir_all(&bundle);
        for folder in ["bin", "proc", "dev", "tmp"] {
            fs::create_dir_all(bundle.join("rootfs").join(folder))?;
        }
        fs::copy("/bin/busybox", bundle.join("rootfs/bin/busybox"))?;
        for applet in
            ["sh", "cat", "sleep", "seq", "stty", "tty", "ps", "kill", "hostname", "head", "yes", "test"]
        {
            fs::hard_link(bundle.join("rootfs/bin/busybox"), bundle.join("rootfs/bin").join(applet))?;
        }
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": {"uid": 0, "gid": 0},
                "args": ["/bin/sh", "-c", script],
                "env": ["PATH=/bin"],
                "cwd": "/",
            },
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            ],
            "linux": {
                "namespaces": [{"type": "pid"}, {"type": "mount"}],
                "cgroupsPath": format!("/{}-{id}", self.tag),
                "resources": {"devices": [{"allow": true, "access": "rwm"}]},
            },
        });
        change(&mut config);
        fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)?;
        Ok(bundle)
    }

    /// A request to create a container with a log and without input.
    pub(crate) fn create(&self, id: &str, bundle: PathBuf) -> CreateRequest {
        CreateRequest {
            container: id.into(),
            bundle,
            runtime: None,
            terminal: false,
            stdin: false,
            log_path: Some(self.log(id)),
            memory_cgroup: None,
        }
    }

    /// Creates and starts a container that runs a script; its init's pid.
    pub(crate) fn run(&self, client: &mut Client, id: &str, script: &str) -> io::Result<i32> {
        let create = self.create(id, self.bundle(id, script)?);
        start(client, create).map(|(pid, _)| pid)
    }

    /// Where a container's log is.
    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.log"))
    }

    /// What the container wrote to one stream, according to its log.
    pub(crate) fn output(&self, id: &str, stream: &str) -> io::Result<String> {
        join_log(&fs::read_to_string(self.log(id))?, stream)
    }
}

/// Creates and starts; the init's pid and pidfd.
pub(crate) fn start(client: &mut Client, create: CreateRequest) -> io::Result<(i32, OwnedFd)> {
    let container = create.container.clone();
    let (reply, mut fds) = client.ask(Request::Create(create), &[])?;
    let Reply::Created { pid } = reply else { return Err(io::Error::other(format!("{reply:?}"))) };
    client.ask(Request::Start { container }, &[])?;
    let pidfd = fds.pop().ok_or_else(|| io::Error::other("no pidfd came with the reply"))?;
    Ok((pid, pidfd))
}

/// Waits for a container's end.
pub(crate) fn exited(client: &mut Client, id: &str) -> io::Result<Exit> {
    client.event(|event| match event {
        Event::Exited { container, exit } if container == id => Some(*exit),
        _ => None,
    })
}

/// Waits for an exec's end.
pub(crate) fn exec_exited(client: &mut Client, id: &str) -> io::Result<Exit> {
    client.event(|event| match event {
        Event::ExecExited { exec, exit } if exec == id => Some(*exit),
        _ => None,
    })
}

/// The bytes that a CRI log stands for; an error when a line is not of its format.
pub(crate) fn join_log(log: &str, wanted: &str) -> io::Result<String> {
    let mut text = String::new();
    for line in log.split_terminator('\n') {
        let mut fields = line.splitn(4, ' ');
        let malformed = || io::Error::other(format!("malformed line {line:?}"));
        let time = fields.next().ok_or_else(malformed)?;
        let (stream, tag) = fields.next().zip(fields.next()).ok_or_else(malformed)?;
        let content = fields.next().ok_or_else(malformed)?;
        if time.len() != 30 || !time.ends_with('Z') || !matches!(stream, "stdout" | "stderr") {
            return Err(malformed());
        }
        if stream == wanted {
            text.push_str(content);
            match tag {
                "F" => text.push('\n'),
                "P" => {}
                _ => return Err(malformed()),
            }
        }
    }
    Ok(text)
}

/// Reads until the text was seen.
pub(crate) fn read_until(source: &mut (impl Read + AsFd), text: &str) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        wait_readable(source.as_fd(), deadline)
            .map_err(|error| io::Error::other(format!("{error}: {:?}", String::from_utf8_lossy(&seen))))?;
        let mut buffer = [0; 4096];
        match source.read(&mut buffer) {
            Ok(0) => {
                return Err(io::Error::other(format!("ended after {:?}", String::from_utf8_lossy(&seen))));
            }
            Ok(length) => seen.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&seen).into_owned())
}

/// Waits until a condition holds that no event tells of.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("never: {what}")));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(())
}

/// Whether a process is there and not a zombie.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X']))
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
        for root in [&self.config.runtime_root, &self.folder.join("foreign")] {
            let runtime =
                if root.ends_with("foreign") { Path::new("/usr/sbin/runc") } else { &self.config.runtime };
            for entry in fs::read_dir(root).into_iter().flatten().flatten() {
                let _ = Command::new(runtime)
                    .arg("--root")
                    .arg(root)
                    .args(["delete", "--force"])
                    .arg(entry.file_name())
                    .output();
            }
        }
    }
}
