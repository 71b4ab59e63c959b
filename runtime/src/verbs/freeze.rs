//! `pause` and `resume`: stop and continue all processes of a container.

use super::{Context, Verb};
use crate::cli::Args;
use crate::error::{Error, Result};
use crate::store::Status;

pub(super) const PAUSE: Verb = Verb {
    name: "pause",
    usage: "<container-id>",
    about: "suspend all processes inside the container",
    flags: &[],
    stop: false,
    failure: 1,
    prefix: "",
    run: pause,
};

pub(super) const RESUME: Verb = Verb {
    name: "resume",
    usage: "<container-id>",
    about: "resume all processes that were paused",
    run: resume,
    ..PAUSE
};

fn pause(context: &Context, args: &Args) -> Result<u8> {
    set(context, args.id("pause")?, true)
}

fn resume(context: &Context, args: &Args) -> Result<u8> {
    set(context, args.id("resume")?, false)
}

fn set(context: &Context, id: &str, frozen: bool) -> Result<u8> {
    let container = context.store.load(id)?;
    match (container.status()?, frozen) {
        (Status::Created | Status::Running, true) | (Status::Paused, false) => {}
        (_, true) => return Err(Error::said("container not running")),
        (_, false) => return Err(Error::said("container not paused")),
    }
    if let Some(cgroup) = &container.state.cgroup {
        cgroup.set_frozen(frozen)?;
    }
    Ok(0)
}
