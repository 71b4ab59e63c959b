//! `pause`: the first process of a PID namespace that a pod's containers share.
//!
//! It adopts and reaps what the others leave behind, and ends on SIGTERM or SIGINT, or when its monitor is gone:
//! its standard input is a pipe whose only writer is the monitor. (`PR_SET_PDEATHSIG` would do as well, but for a
//! pod with a user namespace the process is started by one that ends at once.) Its end takes the whole namespace
//! with it: the kernel kills every process in it.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

/// What this program's `argv[0]` is when it shall be the pause process; it takes no arguments.
pub(crate) const NAME: &str = "pause";

/// Runs until it is told to end.
pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run() -> nix::Result<()> {
    // The containers see this process; none may trace it or open its program, the host's, through /proc/1/exe.
    prctl::set_dumpable(false)?;
    prctl::set_name(c"pause")?;
    // Blocked signals reach the first process of a PID namespace by signalfd even from within, where unhandled ones
    // would be discarded.
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        signals.add(signal);
    }
    signals.thread_block()?;
    let received = SignalFd::new(&signals)?;
    let monitor = io::stdin();
    // The monitor waits for this: from now on no signal is lost.
    let _ = io::stdout().write_all(b"\n");
    let _ = io::stdout().flush();
    loop {
        while sys::pidfd::reap_any().is_some() {}
        let mut polled = [
            PollFd::new(received.as_fd(), PollFlags::POLLIN),
            PollFd::new(monitor.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        let hung_up = polled[1].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP));
        let signalled = polled[0].revents().is_some_and(|events| !events.is_empty());
        if hung_up || signalled && is_end(&received)? {
            return Ok(());
        }
    }
}

fn is_end(received: &SignalFd) -> nix::Result<bool> {
    Ok(received.read_signal()?.is_some_and(|signal| signal.ssi_signo != Signal::SIGCHLD as u32))
}
