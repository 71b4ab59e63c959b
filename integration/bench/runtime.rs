//! The runtime beside Debian's runc and crun: the same bundle through the same verbs, in turn, in one run on one machine.
//!
//! Times are of the whole call, from the start of the process to its end: median and 90th percentile. System calls are
//! counted by strace(1) where it is installed, those of the container's own program included.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use integration::world;
use serde_json::{Value, json};

const ROUNDS: usize = 60;

/// One runtime with its own bundle and state.
struct Side {
    name: &'static str,
    program: PathBuf,
    folder: tempfile::TempDir,
    times: Vec<(&'static str, Vec<Duration>)>,
}

impl Side {
    fn new(name: &'static str, program: PathBuf) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let bin = folder.path().join("rootfs/bin");
        fs::create_dir_all(&bin)?;
        fs::copy("/bin/busybox", bin.join("busybox"))?;
        for applet in ["true", "sleep"] {
            fs::hard_link(bin.join("busybox"), bin.join(applet))?;
        }
        fs::write(folder.path().join("config.json"), document(name).to_string())?;
        Ok(Self { name, program, folder, times: Vec::new() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.arguments(&mut command);
        command
    }

    fn arguments(&self, command: &mut Command) {
        command.arg("--root").arg(self.folder.path().join("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
    }

    fn bundle(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Each call is a list of arguments; their times are added.
    fn timed(&mut self, what: &'static str, calls: &[&[&str]]) -> io::Result<()> {
        let start = Instant::now();
        for arguments in calls {
            // A file and no pipe, which the init of a created container would hold open.
            let path = self.folder.path().join("errors");
            let errors = fs::File::create(&path)?;
            if !self.command().args(*arguments).stderr(errors).status()?.success() {
                let text = fs::read_to_string(&path)?;
                return Err(io::Error::other(format!("{} {arguments:?}: {text}", self.name)));
            }
        }
        let took = start.elapsed();
        match self.times.iter_mut().find(|(name, _)| *name == what) {
            Some((_, times)) => times.push(took),
            None => self.times.push((what, vec![took])),
        }
        Ok(())
    }

    fn round(&mut self) -> io::Result<()> {
        let bundle = self.bundle();
        self.timed("run of true", &[&["run", "--bundle", &bundle, "one"]])?;
        let (create, start, delete) =
            (["create", "--bundle", &bundle, "two"], ["start", "two"], ["delete", "--force", "two"]);
        self.timed("create", &[&create])?;
        self.timed("start", &[&start])?;
        self.timed("delete --force", &[&delete])?;
        self.timed("exec of true", &[&["exec", "long", "/bin/true"]])?;
        self.timed("state", &[&["state", "long"]])
    }

    /// The container that is there all the time.
    fn long(&self) -> io::Result<()> {
        let mut spec = document(self.name);
        spec["process"]["args"] = json!(["/bin/sleep", "10000"]);
        spec["linux"]["cgroupsPath"] = json!(format!("/orlop-bench-runtime/{}-long", self.name));
        let bundle = self.folder.path().join("long");
        fs::create_dir(&bundle)?;
        spec["root"]["path"] = json!(self.folder.path().join("rootfs"));
        fs::write(bundle.join("config.json"), spec.to_string())?;
        let mut command = self.command();
        command.args(["run", "--detach", "--bundle"]).arg(&bundle).arg("long").stderr(Stdio::null());
        match command.status()?.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("{}: the long container does not run", self.name))),
        }
    }

    /// The number of system calls of one call with all its processes; `None` without strace.
    fn system_calls(&self, arguments: &[&str]) -> io::Result<Option<usize>> {
        let trace = self.folder.path().join("trace");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o"]).arg(&trace).arg(&self.program);
        self.arguments(&mut command);
        match command.args(arguments).status() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            // What was interrupted by another process's line is told twice.
            Ok(_) => Ok(Some(
                fs::read_to_string(&trace)?.lines().filter(|line| !line.contains(" resumed>")).count(),
            )),
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        for id in ["one", "two", "long"] {
            let _ = self.command().args(["delete", "--force", id]).stderr(Stdio::null()).status();
        }
    }
}

/// What a container engine writes for a small container, in the oldest version that all understand.
fn document(name: &str) -> Value {
    let caps = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE"]);
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin"], "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps}, "noNewPrivileges": true,
        },
        "root": {"path": "rootfs"},
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "cgroupsPath": format!("/orlop-bench-runtime/{name}"),
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> io::Result<()> {
    world::enter()?;
    // crun takes no hybrid host; this namespace's mounts are its own.
    let _ = Command::new("umount").arg("/sys/fs/cgroup/unified").stderr(Stdio::null()).status();
    let mut sides = vec![Side::new("orlop", world::bin("orlop-runtime").canonicalize()?)?];
    for (name, paths) in
        [("crun", ["/usr/bin/crun", "/bin/crun"]), ("runc", ["/usr/sbin/runc", "/usr/bin/runc"])]
    {
        match paths.iter().find(|path| Path::new(path).exists()) {
            Some(path) => sides.push(Side::new(name, path.into())?),
            None => writeln!(io::stdout(), "{name} is not installed: left out")?,
        }
    }
    for side in &sides {
        side.long()?;
    }
    // The first calls fill caches, and mount what stays.
    for round in 0..ROUNDS + 5 {
        for side in &mut sides {
            side.round()?;
            if round < 5 {
                side.times.clear();
            }
        }
    }
    for at in 0..sides[0].times.len() {
        for side in &mut sides {
            let (what, times) = &mut side.times[at];
            times.sort();
            let (median, most) = (times[times.len() / 2], times[times.len() * 9 / 10]);
            let (median, most) = (median.as_secs_f64() * 1000.0, most.as_secs_f64() * 1000.0);
            writeln!(io::stdout(), "{:16} {:6} {median:7.2} ms, p90 {most:7.2} ms", *what, side.name)?;
        }
    }
    for (what, arguments) in [("run of true", 0), ("exec of true", 1), ("state", 2)] {
        for side in &sides {
            let bundle = side.bundle();
            let arguments: &[&str] = match arguments {
                0 => &["run", "--bundle", &bundle, "one"],
                1 => &["exec", "long", "/bin/true"],
                _ => &["state", "long"],
            };
            if let Some(count) = side.system_calls(arguments)? {
                writeln!(io::stdout(), "{what:16} {:6} {count:7} system calls", side.name)?;
            }
        }
    }
    drop(sides);
    integration::leftovers::end_all("orlop-bench-runtime");
    Ok(())
}
