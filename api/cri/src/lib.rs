//! The Container Runtime Interface v1 of Kubernetes 1.36.
//!
//! The messages, the client and the server traits are generated from `proto/runtime_v1.proto`; this crate adds
//! the descriptors, from which tests derive the list of all fields, and the grammar of an image's name.

pub mod reference;

/// Messages, `runtime_service_client`, `runtime_service_server`, `image_service_client` and
/// `image_service_server` of package `runtime.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

/// What the CRI leaves out of images: pulling with progress, importing from files.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod images {
    tonic::include_proto!("orlop.images.v1");
}

/// The encoded `FileDescriptorSet` of the proto file, for tests that walk every field.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime_v1.bin"));

/// The largest message either side sends: the kubelet's client refuses more than 16 MiB.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
