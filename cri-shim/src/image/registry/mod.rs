//! Talking to registries: the OCI distribution specification's pull half.

pub(crate) mod auth;
mod challenge;
mod client;
mod hosts;

pub(super) use client::{Blob, Client};
