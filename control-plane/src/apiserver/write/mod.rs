//! Writing objects: what is sent becomes what is stored.
//!
//! ```text
//!   body ─▶ decode ─▶ prepare (name, uid, times) ─▶ admit ─▶ store ─▶ answer
//! ```
//!
//! This is as much as reading needs to be tried: objects are stored as they are sent, without defaults and validation,
//! and are deleted at once, without finalizers.

mod admit;
mod create;
mod decode;
mod delete;

pub(super) use create::create;
pub(super) use delete::delete;
