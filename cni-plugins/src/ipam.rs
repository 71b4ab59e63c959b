//! Asks for addresses: of host-local by a function call, of any other plugin by running it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use api_cni::{Code, Error, NetResult};

use crate::call::Call;
use crate::effect::{Effect, Effects};
use crate::host_local;

/// The addresses of an attachment; nothing when the network has no `ipam`.
pub(crate) fn add<'a>(call: &'a Call, effects: &mut Effects<'a>) -> Result<NetResult, Error> {
    match call.conf.ipam.kind.as_str() {
        "" => Ok(NetResult::default()),
        host_local::NAME => (host_local::PLUGIN.add)(call, effects),
        _ => {
            // The specification has the caller run DEL when its IPAM plugin fails.
            let output = effects.undoable(
                Effect::DelegateIpam,
                || delegate(call, "ADD"),
                || delegate(call, "DEL").map(drop),
            )?;
            NetResult::parse(&output)
                .map_err(|error| Error::new(Code::DECODE, format!("{}: {error}", call.conf.ipam.kind)))
        }
    }
}

/// Gives the addresses back.
pub(crate) fn del(call: &Call) -> Result<(), Error> {
    forward(call, "DEL", host_local::PLUGIN.del)
}

/// Asks whether the addresses are still held.
pub(crate) fn check(call: &Call) -> Result<(), Error> {
    forward(call, "CHECK", host_local::PLUGIN.check)
}

/// Asks whether an address could be had.
pub(crate) fn status(call: &Call) -> Result<(), Error> {
    forward(call, "STATUS", host_local::PLUGIN.status)
}

/// Has the addresses of all but the valid attachments given back.
pub(crate) fn gc(call: &Call) -> Result<(), Error> {
    forward(call, "GC", host_local::PLUGIN.gc)
}

fn forward(call: &Call, verb: &str, own: fn(&Call) -> Result<(), Error>) -> Result<(), Error> {
    match call.conf.ipam.kind.as_str() {
        "" => Ok(()),
        host_local::NAME => own(call),
        _ => delegate(call, verb).map(drop),
    }
}

fn delegate(call: &Call, verb: &str) -> Result<Vec<u8>, Error> {
    let kind = &call.conf.ipam.kind;
    if kind.contains('/') {
        return Err(Error::new(Code::INVALID_CONFIG, format!("the ipam type {kind:?} is no file name")));
    }
    let path = call.path.iter().map(|dir| dir.join(kind)).find(|path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    });
    let Some(path) = path else {
        return Err(Error::new(Code::INVALID_CONFIG, format!("the ipam plugin {kind} is not in CNI_PATH")));
    };
    let fail = |error: std::io::Error| Error::new(Code::IO, format!("running {}: {error}", path.display()));
    let mut child = Command::new(&path)
        .env("CNI_COMMAND", verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A plugin that ends without reading tells why by its status.
        let _ = stdin.write_all(&call.stdin);
    }
    let output = child.wait_with_output().map_err(fail)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::parse(&output.stdout)
        .unwrap_or_else(|| Error::new(Code::PLUGIN, format!("{kind} {verb}: {}", output.status))))
}
