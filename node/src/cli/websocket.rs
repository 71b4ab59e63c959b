//! The client's half of the exec and attach channels, over the kubelet's socket.

use api_stream::{MAX_MESSAGE, Protocol};
use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, error::ProtocolError};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::kubelet::{Kubelet, refusal};
use crate::Error;

/// Opens the channels at `target`, a path with its query.
pub(super) async fn open(
    kubelet: &Kubelet,
    target: &str,
) -> Result<(WebSocketStream<UnixStream>, Protocol), Error> {
    // The host is not used: the connection is made to the socket.
    let mut request =
        format!("ws://kubelet{target}").into_client_request().map_err(|error| Error::failed(&error))?;
    let offer = HeaderValue::from_str(&Protocol::offer()).map_err(|error| Error::failed(&error))?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offer);
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let stream = kubelet.connect().await?;
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, answer)) => {
            let chosen = answer.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
            let protocol = Protocol::from_name(chosen.unwrap_or_default());
            Ok((socket, protocol.map_err(|error| Error::failed(&error))?))
        }
        Err(WebSocketError::Http(answer)) => {
            let text = answer.body().as_deref().unwrap_or_default();
            Err(refusal(answer.status(), text))
        }
        Err(WebSocketError::Protocol(ProtocolError::HandshakeIncomplete)) => {
            let socket = kubelet.socket().display();
            Err(Error::Failed(format!("the kubelet at {socket} closed the connection instead of answering")))
        }
        Err(error) => Err(Error::failed(&error)),
    }
}
