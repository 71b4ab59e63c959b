//! The log files that the CRI runtime writes: reading them for people, and rotating them by size.
//!
//! One file per attempt of a container, `POD_LOGS/NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log`, one line per write of
//! at most 16 KiB, as the CRI's logging design has it.

mod keeper;
mod line;
mod read;
mod rotate;

pub(crate) use keeper::Keeper;
pub(crate) use read::{LogOptions, read};
pub(crate) use rotate::{Rotation, rotate};
