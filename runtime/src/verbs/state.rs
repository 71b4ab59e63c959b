//! `state`: says where a container is in its life.

use super::{Context, Verb};
use crate::cli::Args;
use crate::error::{Error, Result};

pub(super) const VERB: Verb = Verb {
    name: "state",
    usage: "<container-id>",
    about: "output the state of a container",
    flags: &[],
    stop: false,
    failure: 1,
    prefix: "",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    let container = context.store.load(args.id("state")?)?;
    let state = container.oci_state(container.status()?.name());
    let text = serde_json::to_string_pretty(&state)
        .map_err(|source| Error::Json { path: "state".into(), source })?;
    crate::print(&text)?;
    Ok(0)
}
