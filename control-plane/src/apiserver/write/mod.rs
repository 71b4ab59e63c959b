//! Writing objects: what is sent becomes what is stored, for all kinds alike.
//!
//! ```text
//!   create           body ─▶ decode ─▶ defaults ─▶ owners ───────────────────┐
//!   update  ┌─▶ live + body ──▶ decode ─▶ defaults ─▶ owners ────────────────┤
//!   patch   ├─▶ live + patch ─▶ patch ──▶ defaults ─▶ owners ────────────────┼─▶ admit ─▶ prepare ─▶ store ─▶ answer
//!   apply   ├─▶ live + body ──▶ owners ─▶ merged, normalised ─▶ defaults ────┘                        │
//!           └───────────────── somebody was faster ◀──────────────────────────────────────────────────┘
//!   delete   live ─▶ preconditions ─▶ marked, because it has finalizers or time left, or removed
//! ```
//!
//! `options` reads the query, `decode` the body, `change` is the loop of everything that starts from what is there,
//! `prepare` undoes what a write may not change and counts generations, `strategy` is what kinds do each in their own
//! way, and `target` joins a request with the schema of its kind.

mod admit;
mod allocate;
mod binding;
mod change;
mod collection;
mod create;
mod decode;
mod delete;
mod deletion;
mod eviction;
mod options;
mod part;
mod patch;
mod prepare;
mod review;
mod scale;
mod strategy;
mod target;
mod update;

pub(super) use binding::bind;
pub(super) use collection::delete_collection;
pub(super) use create::{create, create_token, random, uuid};
pub(super) use delete::delete;
pub(super) use eviction::evict;
pub(super) use patch::patch;
pub(super) use scale::scale;
pub(super) use update::update;
