//! What the daemon decides. Nothing here touches a file, a clock, a socket or a thread: times, ids and what was read
//! from the machine are arguments, and what has to happen is returned as a plan of [`Effect`](crate::effects::Effect)s.

pub(crate) mod cgroup_path;
pub(crate) mod container;
pub(crate) mod dns;
pub(crate) mod failure;
pub(crate) mod filter;
pub(crate) mod id;
pub(crate) mod plan;
pub(crate) mod proto;
pub(crate) mod refuse;
pub(crate) mod report;
pub(crate) mod sandbox;
pub(crate) mod signal;
pub(crate) mod spec;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod user;
