//! `create`: makes a container, whose init waits for `start`.

use super::{Context, Verb, absolute};
use crate::cli::{Args, Flag, switch, value};
use crate::error::{Error, Result};
use crate::launch::{self, Options};
use crate::{exe, fork};

/// The flags that `run` has too.
pub(super) const BUNDLE: Flag = value("bundle").or("b");

pub(super) const VERB: Verb = Verb {
    name: "create",
    usage: "[command options] <container-id>",
    about: "create a container",
    flags: &[
        BUNDLE,
        value("console-socket"),
        value("pidfd-socket"),
        value("pid-file"),
        switch("no-pivot"),
        switch("no-new-keyring"),
        value("preserve-fds"),
    ],
    stop: false,
    failure: 1,
    prefix: "runc create failed: ",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    let id = args.id("create")?;
    let options = options(args, true)?;
    launch::create(&context.store, id, &options, None, &context.log)?;
    Ok(0)
}

/// Reads the flags, and makes this process fit to be cloned into a container: protected, and without descriptors
/// that are not its own.
pub(super) fn options(args: &Args, detached: bool) -> Result<Options> {
    exe::protect()?;
    let listen = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    let preserve: u32 = args.number("preserve-fds")?.unwrap_or(0);
    if preserve.saturating_add(listen) > 1 << 16 {
        return Err(Error::Usage("too many descriptors to preserve".to_owned()));
    }
    if args.has("no-pivot") {
        return Err(Error::Usage(
            "--no-pivot is not implemented: the root is always changed by pivot_root".to_owned(),
        ));
    }
    fork::close_inherited(preserve + listen)?;
    let path = |name| args.text(name).filter(|path| !path.is_empty()).map(absolute).transpose();
    Ok(Options {
        bundle: match path("bundle")? {
            Some(bundle) => bundle,
            None => absolute(".")?,
        },
        console_socket: path("console-socket")?,
        pidfd_socket: path("pidfd-socket")?,
        pid_file: path("pid-file")?,
        no_new_keyring: args.has("no-new-keyring"),
        preserve,
        listen,
        detached,
    })
}
