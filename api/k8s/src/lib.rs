//! Typed Kubernetes objects: the only crate that names `k8s-openapi`.
//!
//! Components use the types re-exported here and the plain functions of [`codec`]. Serialization is what makes
//! builds slow, so it is instantiated here once and nowhere else.
#![forbid(unsafe_code)]

mod codec;
mod descriptions;

pub use codec::{DecodeError, decode_pod, encode_lifecycle_handler, encode_pod, encode_pod_list};
pub use descriptions::descriptions;
pub use k8s_openapi::api::apps::v1 as apps;
pub use k8s_openapi::api::core::v1;
pub use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
