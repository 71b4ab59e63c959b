//! A CRI client for tests and benches, over a unix socket.

use std::path::{Path, PathBuf};

use api_cri::images::images_client::ImagesClient;
use api_cri::v1::image_service_client::ImageServiceClient;
use api_cri::v1::runtime_service_client::RuntimeServiceClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// Both services of one CRI daemon.
#[derive(Clone)]
pub struct Cri {
    /// Pods and containers.
    pub runtime: RuntimeServiceClient<Channel>,
    /// Images.
    pub images: ImageServiceClient<Channel>,
    /// Pulls and imports with progress; `orlop cri` only.
    pub progress: ImagesClient<Channel>,
}

impl Cri {
    /// Connects to the daemon that listens at `socket`.
    pub async fn connect(socket: &Path) -> Result<Self, tonic::transport::Error> {
        let socket = PathBuf::from(socket);
        // The address is not used: every connection goes to the socket.
        let channel = Endpoint::from_static("http://cri")
            .connect_with_connector(tower::service_fn(move |_| {
                let socket = socket.clone();
                async move { UnixStream::connect(socket).await.map(TokioIo::new) }
            }))
            .await?;
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel.clone())
                .max_decoding_message_size(api_cri::MAX_MESSAGE_BYTES),
            progress: ImagesClient::new(channel.clone()),
            images: ImageServiceClient::new(channel).max_decoding_message_size(api_cri::MAX_MESSAGE_BYTES),
        })
    }
}
