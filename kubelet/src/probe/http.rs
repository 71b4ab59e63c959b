//! One HTTP GET, for probes and hooks. Certificates are not verified: a probe asks whether somebody answers.

use std::sync::Arc;

use api_k8s::v1::HTTPGetAction;
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::Target;
use crate::core::Outcome;

/// How many redirects to the same host are followed.
const REDIRECTS: usize = 10;

/// 200 to 399 is success; a redirect to another host is one as well, since the container did answer.
pub(super) async fn ask(action: &HTTPGetAction, target: &Target<'_>) -> Result<(), Outcome> {
    let status = get(action, target).await?;
    if (200..400).contains(&status.as_u16()) {
        return Ok(());
    }
    Err(Outcome::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16())))
}

/// The status of the last answer.
pub(crate) async fn get(action: &HTTPGetAction, target: &Target<'_>) -> Result<StatusCode, Outcome> {
    let unknown = |error: &dyn std::fmt::Display| Outcome::Unknown(error.to_string());
    let port = target.port(&action.port).map_err(Outcome::Unknown)?;
    let host = target.host(action.host.as_ref()).map_err(Outcome::Unknown)?;
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let scheme = if action.scheme.as_deref() == Some("HTTPS") { "https" } else { "http" };
    let path = action.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut uri: Uri = format!("{scheme}://{host}:{port}{slash}{path}").parse().map_err(|e| unknown(&e))?;
    let client = client();
    for _ in 0..=REDIRECTS {
        let request = request(&uri, action).map_err(|error| unknown(&error))?;
        let answer = client.request(request).await;
        let answer = answer.map_err(|error| Outcome::Failure(format!("Get \"{uri}\": {}", chain(&error))))?;
        match redirect(&uri, &answer) {
            Some(next) if next.host() == uri.host() => uri = next,
            _ => return Ok(answer.status()),
        }
    }
    Err(Outcome::Failure(format!("stopped after {REDIRECTS} redirects")))
}

fn request(uri: &Uri, action: &HTTPGetAction) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut request = Request::get(uri).body(Empty::new())?;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("kube-probe/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    for header in action.http_headers.iter().flatten() {
        let (name, value) = (HeaderName::try_from(&header.name)?, HeaderValue::try_from(&header.value)?);
        if name == HOST || name == USER_AGENT || name == ACCEPT {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
    Ok(request)
}

fn redirect(from: &Uri, answer: &Response<Incoming>) -> Option<Uri> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let to: Uri = answer.headers().get(LOCATION)?.to_str().ok()?.parse().ok()?;
    if to.host().is_some() {
        return Some(to);
    }
    let mut parts = from.clone().into_parts();
    parts.path_and_query = to.into_parts().path_and_query;
    Uri::from_parts(parts).ok()
}

fn client() -> Client<HttpsConnector<HttpConnector>, Empty<Bytes>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Anyone(Arc::clone(&provider)));
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        // The provider was made with all versions that it has: this cannot fail.
        .map(|builder| builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    let builder = Client::builder(TokioExecutor::new());
    match tls {
        Ok(tls) => builder.clone().pool_max_idle_per_host(0).build(
            HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_or_http()
                .enable_http1()
                .wrap_connector(http),
        ),
        Err(error) => unreachable!("no TLS version: {error}"),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Takes every certificate, but verifies that the handshake is the certificate's owner's.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
