//! Rules on untyped Kubernetes objects, for kubelet and API server alike.
//!
//! Functions over a JSON value and a field path: quantities, times, names, `$(VAR)` expansion, the defaulting
//! and validation of each kind in the API's wording; the schema of the built-in kinds, and by it
//! the way from JSON to what is stored. Typed decoding comes after this, in `api/k8s`, so that a rule
//! edited here does not rebuild the typed code. Nothing here reads a clock, a file or the environment.
#![forbid(unsafe_code)]

pub mod address;
mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod autoscaling;
mod batch;
pub mod certificates;
pub mod check;
mod coordination;
pub mod core;
pub mod decode;
mod devices;
mod error;
pub mod expand;
mod fill;
mod flowcontrol;
pub mod meta;
pub mod names;
mod networking;
mod node;
mod path;
pub mod pod;
mod policy;
pub mod quantity;
mod rbac;
pub mod rules;
mod scheduling;
pub mod schema;
pub mod selector;
mod storage;
#[cfg(test)]
mod table;
pub mod time;
#[cfg(test)]
mod trial;
pub mod warnings;
mod webhook;

pub use error::{FieldError, Kind};
pub use path::Path;
pub use quantity::Quantity;
