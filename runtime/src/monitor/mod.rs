//! `orlop-runtime monitor`: one small process per pod that owns what must outlive the daemon.
//!
//! It is the parent of the pod's processes, sits in the pod's namespaces, holds the ends of pipes and terminals,
//! reaps, and writes down how everything ended. It decides in [`pod`] (pure) and acts in [`server`]. Whatever can
//! block or has to parse what a container wrote runs elsewhere: the OCI runtime in a [`worker`], the writing of logs
//! in the [`logger`](crate::logger).
//!
//! ```text
//! daemon ◀── SOCK_SEQPACKET ──▶ monitor ──▶ worker: orlop-runtime create, exec, start, delete
//!                                  │ ╲─ subreaper of ──▶ container's init, exec'd processes
//!                                  └──▶ logger ◀── pipes, terminals ── containers
//! ```
//!
//! When the monitor dies, its containers go on for a moment without an owner: the daemon notices by its pidfd and
//! kills the pod's cgroup. The pause process ends by itself, the logger when the last pipe is closed.

mod effect;
mod link;
mod pod;
mod record;
mod server;
mod setup;
mod user;
mod worker;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use api_monitor::{ErrorCode, Identity, PodConfig, ReplyError, pid_file};
use nix::sys::prctl;
use sys::During;

use self::link::{LOGGER, Link};
use self::pod::Pod;
use self::server::Server;
use self::setup::SetupError;
use self::user::HELPER;

/// The longest configuration, in bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// Runs a monitor; or, called so by a monitor, one of its two other processes.
pub(crate) fn main(args: &[String]) -> ExitCode {
    match args.split_first() {
        None => {
            name(c"orlop-monitor");
            monitor()
        }
        Some((arg, [])) if arg == LOGGER => {
            name(c"orlop-logger");
            crate::logger::main()
        }
        Some((arg, kinds)) if arg == HELPER => user::main(kinds),
        Some((arg, _)) => {
            let _ = writeln!(io::stderr(), "orlop-runtime monitor: unknown argument {arg}");
            ExitCode::from(64)
        }
    }
}

/// For ps(1); the program was started through `/proc/self/exe`. A process without a nice name works as well.
fn name(text: &std::ffi::CStr) {
    let _ = prctl::set_name(text);
}

fn monitor() -> ExitCode {
    let started = start();
    let line = match &started {
        Ok(server) => serde_json::to_string(&server.status()),
        Err(error) => serde_json::to_string(error),
    };
    let said = line.map_err(io::Error::from).and_then(|line| writeln!(io::stdout(), "{line}"));
    let Ok(server) = started else { return ExitCode::FAILURE };
    // Nobody who could know of this pod is left if the line did not arrive.
    if said.and_then(|()| leave_streams()).is_err() {
        server.abandon();
        return ExitCode::FAILURE;
    }
    match server.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn start() -> Result<Server, ReplyError> {
    let refuse = |error: SetupError| {
        let code = match error {
            SetupError::Invalid(_) => ErrorCode::Invalid,
            SetupError::Kernel(_) => ErrorCode::Internal,
        };
        pod::refuse(code, error.to_string())
    };
    let kernel = |error: sys::Error| refuse(error.into());
    let mut text = String::new();
    io::stdin()
        .take(MAX_CONFIG)
        .read_to_string(&mut text)
        .during("read", "the configuration")
        .map_err(kernel)?;
    let config: PodConfig = serde_json::from_str(&text)
        .map_err(|error| pod::refuse(ErrorCode::Invalid, format!("malformed configuration: {error}")))?;
    setup::validate(&config).map_err(refuse)?;
    settle(&config).map_err(kernel)?;
    // Before the namespaces, which the logger must not hold.
    let link = Link::start().during("start", "the logger").map_err(kernel)?;
    let made = setup::make(&config).map_err(refuse)?;
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let pod = Pod::new(config.id.clone(), pid, made.pause);
    Server::new(config, pod, link, made).map_err(kernel)
}

/// Leaves the daemon's session, folder and cgroup, and becomes the parent of its workers' orphans.
fn settle(config: &PodConfig) -> Result<(), sys::Error> {
    setup::enter_cgroups(&config.monitor_cgroups)?;
    // Fails when it leads a group already, as after a start by a shell; then it has a session or a terminal that
    // whoever started it wanted.
    let _ = nix::unistd::setsid();
    #[allow(clippy::disallowed_methods)] // This is a process's main.
    std::env::set_current_dir("/").during("change to", "/")?;
    prctl::set_child_subreaper(true).map_err(io::Error::from).during("prctl", "PR_SET_CHILD_SUBREAPER")?;
    write_identity(&config.state_dir)
}

/// Says who it is, so that a daemon finds it without its help. In one step: half a number is another process.
fn write_identity(state_dir: &Path) -> Result<(), sys::Error> {
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let start_time = sys::proc::stat(pid)?.map(|stat| stat.start_time);
    let (file, draft) = (pid_file(state_dir), state_dir.join(".pid"));
    fs::write(&draft, Identity { pid, start_time }.to_string()).during("write", draft.display())?;
    fs::rename(&draft, &file).during("rename to", file.display())
}

fn leave_streams() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}
