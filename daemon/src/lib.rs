//! Plumbing that the daemons share. Knows no Kubernetes.
#![forbid(unsafe_code)]

mod address;
mod admin;
mod backoff;
mod config;
mod listen;
mod lock;
mod log;
mod metrics;
mod paths;
mod readiness;
mod shutdown;

pub use address::own_addresses;
pub use admin::{Admin, AdminError};
pub use backoff::Backoff;
pub use config::{ConfigError, load_toml};
pub use listen::{listen_unix, takes_connections};
pub use lock::FolderLock;
pub use log::{LogFormat, LogHandle, init_logs};
pub use metrics::{count_panics, process_metrics};
pub use paths::{cgroup_path, socket_path};
pub use readiness::Readiness;
pub use shutdown::on_signals;
/// Cancelled when the process was asked to end; every task of a daemon holds a child of it.
pub use tokio_util::sync::CancellationToken;
