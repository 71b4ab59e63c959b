//! What a monitor and its logger say to each other, one JSON message per datagram. Both come from one binary, so
//! the messages carry no version.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// From the monitor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// A container and its log; beside it the read ends of its stdout and stderr, unless it has a terminal.
    Open { container: String, path: Option<PathBuf> },
    /// The container's terminal; its master is beside it.
    Terminal { container: String },
    /// Copies of the output go to the descriptors beside it: stdout, stderr.
    Attach { container: String },
    /// Opens the log file anew.
    Reopen { container: String, token: u64 },
    /// Writes what the container has left in its pipes, then says so.
    Drain { container: String },
    /// Forgets the container.
    Close { container: String },
}

/// To the monitor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The answer to [`Command::Open`].
    Opened { container: String, error: Option<String> },
    /// The answer to [`Command::Reopen`].
    Reopened { token: u64, error: Option<String> },
    /// The answer to [`Command::Drain`].
    Drained { container: String },
}
