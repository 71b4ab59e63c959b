//! The tree of pod cgroups.

mod naming;

pub use naming::{CgroupDriver, class_path, pod_parent, pod_path, uid_of};
