//! The person's command line: one file per command, over the public interfaces of the kubelet and the CRI daemon.

pub(crate) mod attach;
pub(crate) mod completion;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod install;
pub(crate) mod logs;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod version;

mod age;
mod cri;
mod kubelet;
mod manifests;
mod output;
mod pod;
mod progress;
mod session;
mod table;
mod websocket;
mod whom;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::{Error, Global};

/// Where the daemons listen, when not where `--data-dir` says.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Endpoints {
    /// The CRI daemon's socket, for images, pull and import
    #[arg(long, global = true, value_name = "SOCKET", help_heading = "Where the daemons listen")]
    pub(crate) cri_endpoint: Option<PathBuf>,
    /// The kubelet's socket, for ps, describe, logs, exec and attach
    #[arg(long, global = true, value_name = "SOCKET", help_heading = "Where the daemons listen")]
    pub(crate) kubelet_endpoint: Option<PathBuf>,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    #[default]
    Table,
    /// The table with more columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// `-o`.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Output {
    /// How the result is printed
    #[arg(short, long = "output", value_enum, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

/// How a result that is no table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plain {
    /// For people
    #[default]
    #[value(alias = "table")]
    Text,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// `-o` of what is no table.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct PlainOutput {
    /// How the result is printed
    #[arg(short, long = "output", value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: Plain,
}

/// Runs a command's requests to their end.
fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::failed(&error))?.block_on(work)
}

/// A socket's path, with or without `unix://`.
fn socket_path(path: &Path) -> PathBuf {
    path.to_str().and_then(|text| text.strip_prefix("unix://")).map_or_else(|| path.into(), PathBuf::from)
}

impl Global {
    fn kubelet_socket(&self) -> Result<PathBuf, Error> {
        match &self.endpoints.kubelet_endpoint {
            Some(path) => Ok(socket_path(path)),
            None => Ok(self.layout().map_err(|error| Error::failed(&error))?.kubelet_socket()),
        }
    }

    fn cri_socket(&self) -> Result<PathBuf, Error> {
        match &self.endpoints.cri_endpoint {
            Some(path) => Ok(socket_path(path)),
            None => Ok(self.layout().map_err(|error| Error::failed(&error))?.cri_socket()),
        }
    }
}

/// Nobody listens: said with the path, and with what to do about it.
fn cannot_connect(daemon: &str, socket: &Path, flag: &str, error: &std::io::Error) -> Error {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            format!("; is `orlop up` running, with the same --data-dir? ({flag} names another socket)")
        }
        std::io::ErrorKind::PermissionDenied => "; only its owner, usually root, may connect".to_owned(),
        _ => String::new(),
    };
    Error::Failed(format!("connecting to the {daemon} at {}: {error}{hint}", socket.display()))
}
