//! One module per verb of the command line.

mod create;
mod delete;
mod exec;
mod features;
mod freeze;
mod kill;
mod list;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

pub(crate) use features::SPECIFICATION;

use std::path::PathBuf;

use crate::cli::{Args, Flag};
use crate::error::Result;
use crate::log::Log;
use crate::store::Store;

/// What every verb gets.
#[derive(Debug)]
pub(crate) struct Context {
    /// The containers.
    pub(crate) store: Store,
    /// Whether the caller said where they are.
    pub(crate) root_given: bool,
    /// Where messages go.
    pub(crate) log: Log,
}

/// A verb.
pub(crate) struct Verb {
    /// As it is called.
    pub(crate) name: &'static str,
    /// What follows it.
    pub(crate) usage: &'static str,
    /// One line for people.
    pub(crate) about: &'static str,
    /// Its flags.
    pub(crate) flags: &'static [Flag],
    /// Whether flags end at the first operand.
    pub(crate) stop: bool,
    /// What its failure exits with.
    pub(crate) failure: u8,
    /// Put before the message of its failure.
    pub(crate) prefix: &'static str,
    /// Does it; returns the exit code.
    pub(crate) run: fn(&Context, &Args) -> Result<u8>,
}

/// All of them.
pub(crate) const ALL: &[&Verb] = &[
    &create::VERB,
    &delete::VERB,
    &exec::VERB,
    &features::VERB,
    &kill::VERB,
    &list::VERB,
    &freeze::PAUSE,
    &ps::VERB,
    &freeze::RESUME,
    &run::VERB,
    &spec::VERB,
    &start::VERB,
    &state::VERB,
    &update::VERB,
];

/// An absolute form of a path, without looking at the file system but for the working directory.
pub(crate) fn absolute(path: &str) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| sys::Error::new("resolve", path, sys::error::errno_of(&error)).into())
}
