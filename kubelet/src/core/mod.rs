//! What the kubelet decides, without touching anything: time is an argument, effects are values.
//!
//! [`Fleet`] holds one [`Pod`](pod::Pod) per UID. An [`Event`] goes in, `apply` is synchronous, and what has to be
//! done comes out as [`Effect`]s, whose results come back as events.

mod adopt;
mod backoff;
mod container;
mod end;
mod event;
mod fleet;
mod pod;
mod probe;
mod see;
mod spec;
pub(crate) mod status;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

pub(crate) use container::{Container, INVALID_IMAGE};
pub(crate) use event::{
    ContainerSeen, ContainerState, Effect, Event, Exit, Failure, ProbeKind, Run, SandboxSeen, Seen, Started,
};
pub(crate) use fleet::{Command, Fleet};
pub(crate) use pod::{Pod, Saved, SavedContainer, Settings};
pub(crate) use probe::Outcome;
pub(crate) use spec::PodSpec;

/// The time of an event, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since the kubelet started; never jumps. All delays are reckoned on it.
    pub(crate) mono: Duration,
    /// For people.
    pub(crate) wall: Timestamp,
}
