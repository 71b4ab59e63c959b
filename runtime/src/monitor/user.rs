//! A new user namespace, and the pod's other namespaces owned by it.
//!
//! A process that enters a user namespace loses its rights over the host, which the monitor needs for its
//! workers. So a short-lived process of this binary makes the namespaces: it unshares the user namespace, waits
//! for its mappings, makes the others, starts the pause process, and stays until the monitor has opened them all.
//!
//! ```text
//! helper: unshare(user)  "u" ──▶ monitor: writes uid_map, gid_map
//! helper: unshare(others), pause  ◀── "m"
//!         its pid, or 0 ──▶ monitor: opens, pins, enters
//! helper: ends           ◀── "d"
//! ```

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use api_monitor::IdMapping;
use sys::During;
use sys::namespace::{Kind, unshare};

use super::setup::{SetupError, spawn_pause};

/// The argument that makes a monitor's program this helper; the kinds of the other namespaces follow.
pub(super) const HELPER: &str = "--user-namespace";
const KINDS: [Kind; 4] = [Kind::Network, Kind::Ipc, Kind::Uts, Kind::Pid];

/// The namespaces, held by the helper.
pub(super) struct UserNamespace {
    /// The helper's.
    pub(super) pid: i32,
    pause: Option<i32>,
    to: ChildStdin,
    _from: BufReader<ChildStdout>,
}

impl UserNamespace {
    /// Makes them.
    pub(super) fn make(
        users: &[IdMapping],
        groups: &[IdMapping],
        kinds: &[Kind],
    ) -> Result<Self, SetupError> {
        let mut child = Command::new("/proc/self/exe")
            .args(["monitor", HELPER])
            .args(kinds.iter().map(|kind| kind.file()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .during("start", "the user namespace's process")?;
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut to = child.stdin.take().ok_or_else(missing).during("open", "pipe")?;
        let mut from = BufReader::new(child.stdout.take().ok_or_else(missing).during("open", "pipe")?);
        expect(&mut from, "the user namespace")?;
        fs::write(format!("/proc/{pid}/uid_map"), lines(users)).during("write", "uid_map")?;
        fs::write(format!("/proc/{pid}/gid_map"), lines(groups)).during("write", "gid_map")?;
        to.write_all(b"m").during("write", "pipe")?;
        let pause = expect(&mut from, "the namespaces")?;
        Ok(Self { pid, pause: (pause > 0).then_some(pause), to, _from: from })
    }

    /// Opens one of them.
    pub(super) fn open(&self, kind: Kind) -> Result<OwnedFd, SetupError> {
        let path = format!("/proc/{}/ns/{}", self.pid, kind.file());
        Ok(File::open(&path).during("open", path)?.into())
    }

    /// Lets the helper end. The pause process, and what keeps it alive.
    pub(super) fn finish(mut self) -> Result<(Option<i32>, Option<OwnedFd>), SetupError> {
        self.to.write_all(b"d").during("write", "pipe")?;
        Ok((self.pause, self.pause.map(|_| self.to.into())))
    }
}

/// One line with a number; a helper that failed has said why instead, or nothing.
fn expect(from: &mut impl BufRead, what: &str) -> Result<i32, SetupError> {
    let mut line = String::new();
    from.read_line(&mut line).during("read", "pipe")?;
    line.trim().parse().map_err(|_| SetupError::Invalid(format!("make {what}: {}", line.trim())))
}

fn lines(mappings: &[IdMapping]) -> String {
    mappings.iter().map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size)).collect()
}

/// The helper.
pub(super) fn main(kinds: &[String]) -> ExitCode {
    match help(kinds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its reader is the monitor, or gone.
            let _ = writeln!(io::stdout(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn help(names: &[String]) -> io::Result<()> {
    let kinds = KINDS.into_iter().filter(|kind| names.iter().any(|name| name == kind.file()));
    let mut pause = 0;
    let mut stdout = io::stdout();
    // Read by single bytes and unbuffered: the pause process shares the pipe.
    let mut stdin = File::open("/proc/self/fd/0")?;
    unshare(Kind::User.flag())?;
    writeln!(stdout, "0")?;
    stdin.read_exact(&mut [0])?;
    // Root of the new namespace; without a mapping of it the pod runs as the mapped users only.
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(0.into(), 0.into(), 0.into())?;
    nix::unistd::setresuid(0.into(), 0.into(), 0.into())?;
    unshare(kinds.fold(0, |flags, kind| flags | kind.flag()))?;
    if names.iter().any(|name| name == Kind::Pid.file()) {
        pause = spawn_pause(Stdio::inherit())?;
    }
    writeln!(stdout, "{pause}")?;
    stdin.read_exact(&mut [0])
}
