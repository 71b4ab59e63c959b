//! The API server: what stands between HTTP and the store.

pub mod protobuf;
