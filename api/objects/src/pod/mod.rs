//! The rules of a Pod: what is filled in, and what is refused.

mod containers;
mod defaults;
mod network;
mod probes;
mod resources;
mod security;
mod validate;
mod volumes;

pub use defaults::set_defaults;
pub use validate::validate;

use crate::check::{entries, has, list, text};
