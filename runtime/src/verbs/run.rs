//! `run`: create, start, and unless detached wait and delete.

use std::os::fd::OwnedFd;

use super::{Context, Verb, create, delete, start};
use crate::cli::{Args, switch, value};
use crate::error::Result;
use crate::{fork, launch, relay};

pub(super) const VERB: Verb = Verb {
    name: "run",
    usage: "[command options] <container-id>",
    about: "create and run a container",
    flags: &[
        create::BUNDLE,
        value("console-socket"),
        value("pidfd-socket"),
        value("pid-file"),
        switch("no-pivot"),
        switch("no-new-keyring"),
        value("preserve-fds"),
        switch("detach").or("d"),
        switch("keep"),
        // The container's orphans go to the nearest subreaper above us in either case.
        switch("no-subreaper"),
    ],
    stop: false,
    failure: 1,
    prefix: "runc run failed: ",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    let id = args.id("run")?;
    let detached = args.has("detach");
    let options = create::options(args, detached)?;
    let mut relay = if detached { None } else { Some(relay::Relay::new()?) };
    let terminal: Option<OwnedFd> = relay.as_mut().map(relay::Relay::terminal_socket).transpose()?;
    let (container, child) = launch::create(&context.store, id, &options, terminal, &context.log)?;
    let started = start::start(&container);
    if let Err(error) = started {
        fork::kill(&child);
        let _ = delete::remove(&container, &context.log);
        return Err(error);
    }
    let Some(relay) = relay else { return Ok(0) };
    let code = relay.follow(&child)?;
    if !args.has("keep") {
        delete::remove(&container, &context.log)?;
    }
    Ok(code)
}
