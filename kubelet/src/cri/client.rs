//! Connections to the runtime and image services.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api_cri::v1::image_service_client::ImageServiceClient;
use api_cri::v1::runtime_service_client::RuntimeServiceClient;
use api_cri::v1::{VersionRequest, VersionResponse};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// Both services of one runtime. Clones share the connection, which is made again after it was lost.
#[derive(Clone)]
pub(crate) struct Client {
    /// Pods and containers.
    pub(crate) runtime: RuntimeServiceClient<Channel>,
    /// Images.
    pub(crate) images: ImageServiceClient<Channel>,
}

/// The runtime cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("runtime at {}: {message}", socket.display())]
pub struct Error {
    /// Where it was looked for.
    pub socket: PathBuf,
    /// What went wrong, in the words of gRPC.
    pub message: String,
}

impl Client {
    /// Prepares connections; nothing is sent yet.
    pub(crate) fn new(runtime: &Path, images: Option<&Path>) -> Self {
        let channel = connect(runtime);
        let image_channel = images.map_or_else(|| channel.clone(), connect);
        let most = api_cri::MAX_MESSAGE_BYTES;
        Self {
            runtime: RuntimeServiceClient::new(channel).max_decoding_message_size(most),
            images: ImageServiceClient::new(image_channel).max_decoding_message_size(most),
        }
    }

    /// Asks who is there.
    pub(crate) async fn version(&self) -> Result<VersionResponse, tonic::Status> {
        let request = VersionRequest { version: "v1".into() };
        Ok(self.runtime.clone().version(request).await?.into_inner())
    }
}

fn connect(socket: &Path) -> Channel {
    let socket = PathBuf::from(socket);
    // The address is not used: every connection goes to the socket.
    Endpoint::from_static("http://cri").connect_timeout(Duration::from_secs(5)).connect_with_connector_lazy(
        tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }),
    )
}
