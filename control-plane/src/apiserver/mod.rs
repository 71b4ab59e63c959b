//! The API server: one generic path that every kind takes.
//!
//! ```text
//!   request ─▶ path, query ─▶ who, and may they ─▶ negotiate ─▶ read ──▶ watch cache ──▶ bytes
//!                                                          └──▶ write ─▶ store
//! ```

pub mod access;
pub mod apply;
pub mod auth;
pub mod cache;
pub mod discovery;
mod documents;
mod go;
mod health;
pub mod http;
pub mod inflight;
pub mod kinds;
pub mod metrics;
pub mod openapi;
pub mod patch;
mod plain;
pub mod protobuf;
pub mod read;
pub mod selectors;
pub mod server;
pub mod services;
pub mod status;
pub mod table;
mod write;
