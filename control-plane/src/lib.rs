//! The control plane: what stands between clients of the Kubernetes API and the store.
#![forbid(unsafe_code)]

pub mod amounts;
pub mod apiserver;
pub mod bootstrap;
pub mod client;
pub mod controllers;
pub mod leader;
pub mod measure;
pub mod quota;
pub mod run;
pub mod scheduler;
pub mod simulate;
pub mod storage;
