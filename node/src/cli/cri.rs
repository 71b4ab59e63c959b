//! The CRI daemon's gRPC interface over its unix socket.

use api_cri::v1::image_service_client::ImageServiceClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::cannot_connect;
use crate::{Error, Global};

/// A connection for any of its services.
pub(super) async fn connect(global: &Global) -> Result<Channel, Error> {
    let socket = global.cri_socket()?;
    // Tried first by itself: the transport would hide the reason.
    let first = UnixStream::connect(&socket).await;
    let first = first.map_err(|error| cannot_connect("CRI daemon", &socket, "--cri-endpoint", &error))?;
    let mut first = Some(first);
    // The address is not used: every connection goes to the socket.
    let endpoint = Endpoint::from_static("http://cri");
    let channel = endpoint.connect_with_connector(tower::service_fn(move |_| {
        let (first, socket) = (first.take(), socket.clone());
        async move {
            match first {
                Some(stream) => Ok(stream),
                None => UnixStream::connect(&socket).await,
            }
            .map(TokioIo::new)
        }
    }));
    channel.await.map_err(|error| Error::failed(&error))
}

/// Its image service.
pub(super) async fn images(global: &Global) -> Result<ImageServiceClient<Channel>, Error> {
    let client = ImageServiceClient::new(connect(global).await?);
    Ok(client.max_decoding_message_size(api_cri::MAX_MESSAGE_BYTES))
}

/// What the daemon said instead of doing it.
pub(super) fn refused(status: tonic::Status) -> Error {
    match status.message() {
        "" => Error::Failed(format!("the CRI daemon answers {:?}", status.code())),
        text => Error::Failed(text.to_owned()),
    }
}
