//! The tree of pod cgroups.

mod naming;

pub use naming::CgroupDriver;
