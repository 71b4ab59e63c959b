//! `orlop-cni`: the CNI plugins bridge, host-local, loopback and portmap in one static binary.
//!
//! It is the plugin by whose name it is called (`/opt/cni/bin/bridge` is a link to it), or that its first argument names.
//! The request is the environment and stdin; the answer is stdout and the exit status; stderr is for people.
//!
//! ```text
//! main ── call (environment, stdin) ── plugin ──▶ bridge ── ipam ──▶ host_local (a function call) or another plugin
//!                                          ├────▶ host_local        │
//!                                          ├────▶ loopback          ▼
//!                                          └────▶ portmap ─────▶ ruleset (elements in one fixed nft table)
//! ```
//! Everything that changes the machine goes through [`effect`], which undoes it in reverse when a later step fails.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::process::ExitCode;

use api_cni::{Code, Error, VersionReport};

mod bridge;
mod call;
mod effect;
mod forward;
mod host_local;
mod ipam;
mod loopback;
mod plugin;
mod portmap;
mod ruleset;
#[cfg(test)]
mod strange_requests;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let own = arguments.next().unwrap_or_default();
    let own = own.rsplit('/').next().unwrap_or_default().to_owned();
    let name = if plugin::find(&own).is_some() { Some(own) } else { arguments.next() };
    let Some(plugin) = name.as_deref().and_then(plugin::find) else {
        let names: Vec<_> = plugin::ALL.iter().map(|plugin| plugin.name).collect();
        eprintln!(
            "usage: orlop-cni PLUGIN, with the request in the environment; PLUGIN is one of {}",
            names.join(", ")
        );
        return ExitCode::from(64);
    };
    let environment = |key: &str| std::env::var(key).unwrap_or_default();
    let verb = environment("CNI_COMMAND");
    if verb.is_empty() {
        let versions = VersionReport::default().supported_versions.join(", ");
        eprintln!("{} of Orlop {}, CNI {versions}", plugin.name, env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    // Read for VERSION as well, which needs nothing of it: the caller that writes it would get EPIPE otherwise.
    let mut stdin = Vec::new();
    let read = std::io::stdin().take(api_cni::MAX_BYTES as u64 + 1).read_to_end(&mut stdin);
    if verb == "VERSION" {
        return print(serde_json::to_vec(&VersionReport::default()).unwrap_or_default());
    }
    let outcome = match read {
        Ok(_) => plugin::run(plugin, &environment, stdin),
        Err(error) => Err(Error::new(Code::IO, format!("reading stdin: {error}"))),
    };
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(result)) => print(result.to_string().into_bytes()),
        Err(error) => {
            print(serde_json::to_vec(&error).unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn print(bytes: Vec<u8>) -> ExitCode {
    match std::io::stdout().write_all(&bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
