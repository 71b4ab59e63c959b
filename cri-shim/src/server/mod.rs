//! The RuntimeService over gRPC: decodes, asks the engine, encodes. It decides nothing.

pub(crate) mod deadline;
pub(crate) mod image;
mod runtime;
mod status;

use std::sync::Arc;

use tonic::{Code as GrpcCode, Status};

use crate::core::failure::{Code, Failure};
use crate::engine::Engine;
use crate::stream::StreamServer;

/// What answers the calls.
#[derive(Clone)]
pub(crate) struct Service {
    /// Does what is asked.
    pub engine: Arc<Engine>,
    /// Hands out URLs for exec and attach.
    pub streams: StreamServer,
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let code = match failure.code {
            Code::NotFound => GrpcCode::NotFound,
            Code::InvalidArgument => GrpcCode::InvalidArgument,
            Code::AlreadyExists => GrpcCode::AlreadyExists,
            Code::FailedPrecondition => GrpcCode::FailedPrecondition,
            Code::DeadlineExceeded => GrpcCode::DeadlineExceeded,
            Code::Unimplemented => GrpcCode::Unimplemented,
            Code::Unavailable => GrpcCode::Unavailable,
            // containerd's failures carry no code, and that is what kubelets have always seen.
            Code::Internal => GrpcCode::Unknown,
        };
        Self::new(code, failure.message)
    }
}
