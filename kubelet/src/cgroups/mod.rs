//! The cgroups of pods.

mod naming;
mod tree;

pub use naming::{CgroupDriver, class_path, pod_parent, pod_path, uid_of};
pub use tree::Tree;
