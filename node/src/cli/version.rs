//! `orlop version`.

use std::process::ExitCode;

use api_cri::v1 as cri;
use api_cri::v1::runtime_service_client::RuntimeServiceClient;
use clap::Args;
use serde::Serialize;

use super::cri::{connect, refused};
use super::{PlainOutput, block_on, output};
use crate::{Error, Global};

/// How it is shown.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    output: PlainOutput,
}

/// `-o json`.
#[derive(Debug, Serialize)]
struct Versions {
    /// This program.
    orlop: &'static str,
    /// The CRI daemon that listens, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<Daemon>,
}

#[derive(Debug, Serialize)]
struct Daemon {
    name: String,
    version: String,
}

/// Prints this program's version, and the CRI daemon's when one listens.
pub(crate) fn run(global: &Global, flags: &Flags) -> Result<ExitCode, Error> {
    // None that listens is no error here.
    let daemon = if global.cri_socket()?.exists() { block_on(ask(global)).ok() } else { None };
    let versions = Versions { orlop: env!("CARGO_PKG_VERSION"), daemon };
    output::plain(flags.output, &versions, || {
        let daemon = versions.daemon.as_ref();
        let daemon = daemon.map(|daemon| format!("daemon: {} {}\n", daemon.name, daemon.version));
        format!("orlop {}\n{}", versions.orlop, daemon.unwrap_or_default())
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn ask(global: &Global) -> Result<Daemon, Error> {
    let mut client = RuntimeServiceClient::new(connect(global).await?);
    let answer = client.version(cri::VersionRequest::default()).await.map_err(refused)?.into_inner();
    Ok(Daemon { name: answer.runtime_name, version: answer.runtime_version })
}
