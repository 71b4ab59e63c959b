//! The HTTP client: manifests and blobs, with authentication, redirects, retries and deadlines.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::super::manifest::{LARGEST_MANIFEST, accepted_types};
use super::super::reference::Reference;
use super::super::{Credentials, ImageError, digest};
use super::challenge::{self, Challenge};
use super::hosts::{Host, hosts};

/// Until the headers of an answer must be there, and between two pieces of a body.
const PATIENCE: Duration = Duration::from_secs(60);
const MOST_REDIRECTS: usize = 5;
const ATTEMPTS: u32 = 4;
const LARGEST_TOKEN: u64 = 1 << 20;
const ERROR_TEXT: u64 = 512;

type Http = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// One pull's view of a registry: its hosts, and the tokens they gave.
pub(in super::super) struct Client {
    reference: Reference,
    credentials: Credentials,
    hosts: Vec<(Host, Http)>,
    /// The `Authorization` that worked, by host.
    tokens: Mutex<HashMap<String, HeaderValue>>,
}

/// A blob that is being read.
pub(in super::super) struct Blob {
    url: String,
    body: Incoming,
}

impl Blob {
    /// The next piece; `None` at the end.
    pub(in super::super) async fn next(&mut self) -> Result<Option<Bytes>, ImageError> {
        let failed = |reason: String| ImageError::Transport { url: self.url.clone(), reason };
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.body.frame());
            match frame.await.map_err(|_| failed(format!("nothing arrived for {} s", PATIENCE.as_secs())))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(failed(cause(&error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

impl Client {
    /// Reads the registry's `hosts.toml`; connects to nothing yet.
    pub(in super::super) fn new(
        config: &Path,
        reference: Reference,
        credentials: Credentials,
    ) -> Result<Self, ImageError> {
        let hosts = hosts(config, &reference.registry)?;
        let hosts = hosts.into_iter().map(|host| Ok((host.clone(), http_client(&host)?)));
        let hosts = hosts.collect::<Result<_, ImageError>>()?;
        Ok(Self { reference, credentials, hosts, tokens: Mutex::default() })
    }

    /// A manifest or index by tag or digest, with the digest of its bytes.
    pub(in super::super) async fn manifest(&self, identifier: &str) -> Result<(Bytes, String), ImageError> {
        let by_digest = digest::is_valid(identifier);
        let path = format!("{}/manifests/{identifier}", self.reference.repository);
        let response = self.ask(&path, !by_digest, Some(&accepted_types())).await?;
        let bytes = collect(&path, response, LARGEST_MANIFEST).await?;
        let found = digest::of(&bytes);
        if by_digest {
            digest::verify(&format!("manifest of {}", self.reference), &bytes, identifier)?;
        }
        Ok((bytes, found))
    }

    /// A small blob, verified.
    pub(in super::super) async fn small_blob(&self, digest: &str, limit: u64) -> Result<Bytes, ImageError> {
        let path = format!("{}/blobs/{digest}", self.reference.repository);
        let bytes = collect(&path, self.ask(&path, false, None).await?, limit).await?;
        digest::verify(&format!("blob of {}", self.reference), &bytes, digest)?;
        Ok(bytes)
    }

    /// A blob as it arrives; the caller verifies it.
    pub(in super::super) async fn blob(&self, digest: &str) -> Result<Blob, ImageError> {
        let path = format!("{}/blobs/{digest}", self.reference.repository);
        Ok(Blob { url: path.clone(), body: self.ask(&path, false, None).await?.into_body() })
    }

    /// Asks one host after the other. What the last one says is the answer when none has it.
    async fn ask(
        &self,
        path: &str,
        by_tag: bool,
        accept: Option<&str>,
    ) -> Result<Response<Incoming>, ImageError> {
        let mut last = ImageError::NotFound { reference: self.reference.to_string() };
        for (host, http) in &self.hosts {
            if by_tag && !host.resolves {
                continue;
            }
            match self.ask_patiently(host, http, path, accept).await {
                Ok(response) => return Ok(response),
                Err(error) => {
                    tracing::debug!(host = %host.base, %error, "registry host failed");
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn ask_patiently(
        &self,
        host: &Host,
        http: &Http,
        path: &str,
        accept: Option<&str>,
    ) -> Result<Response<Incoming>, ImageError> {
        let mut backoff = daemon::Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut attempt = 1;
        loop {
            match self.ask_host(host, http, path, accept).await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(backoff.after_failure()).await;
                }
                result => return result,
            }
        }
    }

    async fn ask_host(
        &self,
        host: &Host,
        http: &Http,
        path: &str,
        accept: Option<&str>,
    ) -> Result<Response<Incoming>, ImageError> {
        let mut url = host.base.join(path).map_err(|error| transport(&host.base, &error))?;
        if let Some(namespace) = &host.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        let key = host.base.to_string();
        let mut authorization = self.tokens.lock().await.get(&key).cloned();
        let mut asked_for_token = false;
        let mut redirects = 0;
        loop {
            let same_host = url.origin() == host.base.origin();
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept.and_then(|types| HeaderValue::from_str(types).ok()) {
                headers.insert(ACCEPT, accept);
            }
            // Storage behind a registry has its own signature in the URL, and must not learn our secret.
            if let Some(value) = authorization.as_ref().filter(|_| same_host) {
                headers.insert(AUTHORIZATION, value.clone());
            }
            let response = send(http, Method::GET, &url, headers, Bytes::new()).await?;
            let status = response.status();
            if status.is_redirection() && redirects < MOST_REDIRECTS {
                redirects += 1;
                let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
                let location = location.ok_or_else(|| transport(&url, &"a redirect without a location"))?;
                url = url.join(location).map_err(|error| transport(&url, &error))?;
                continue;
            }
            if status == StatusCode::UNAUTHORIZED && same_host && !asked_for_token {
                asked_for_token = true;
                let value = self.authorize(http, &url, response.headers()).await?;
                self.tokens.lock().await.insert(key.clone(), value.clone());
                authorization = Some(value);
                continue;
            }
            return self.judge(&url, response).await;
        }
    }

    async fn judge(&self, url: &Url, response: Response<Incoming>) -> Result<Response<Incoming>, ImageError> {
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::NOT_FOUND => Err(ImageError::NotFound { reference: self.reference.to_string() }),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(ImageError::Denied { url: without_query(url), status: status.as_u16() })
            }
            status => {
                let text = collect(url.path(), response, ERROR_TEXT).await.unwrap_or_default();
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                let text = if text.is_empty() { text } else { format!(": {text}") };
                Err(ImageError::Status { url: without_query(url), status: status.as_u16(), text })
            }
        }
    }

    /// What to send to a host that answered 401.
    async fn authorize(
        &self,
        http: &Http,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<HeaderValue, ImageError> {
        let denied = || ImageError::Denied { url: without_query(url), status: 401 };
        let host = url.host_str().unwrap_or_default();
        let credentials =
            self.credentials.at(&url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
        if let Some(token) = &credentials.registry_token {
            return secret(&format!("Bearer {token}")).ok_or_else(denied);
        }
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        match challenges.filter_map(challenge::parse).next() {
            Some(Challenge::Basic) => {
                credentials.basic_header().and_then(|header| secret(&header)).ok_or_else(denied)
            }
            Some(Challenge::Bearer { realm, service, scope }) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.reference.repository));
                let token = self.token(http, &credentials, &realm, service.as_deref(), &scope).await?;
                secret(&format!("Bearer {token}")).ok_or_else(denied)
            }
            None => Err(denied()),
        }
    }

    /// Asks the token service, by GET as Docker's, or by POST with a refresh token as OAuth2's.
    async fn token(
        &self,
        http: &Http,
        credentials: &Credentials,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<String, ImageError> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let mut url =
            Url::parse(realm).map_err(|error| ImageError::malformed("WWW-Authenticate realm", error))?;
        let mut query: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        query.push(("scope", scope));
        let mut headers = HeaderMap::new();
        let (method, body) = match &credentials.identity_token {
            Some(refresh) => {
                query.extend([
                    ("grant_type", "refresh_token"),
                    ("refresh_token", refresh),
                    ("client_id", "orlop"),
                ]);
                let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                (Method::POST, Bytes::from(form))
            }
            None => {
                url.query_pairs_mut().extend_pairs(query);
                if let Some(value) = credentials.basic_header().and_then(|header| secret(&header)) {
                    headers.insert(AUTHORIZATION, value);
                }
                (Method::GET, Bytes::new())
            }
        };
        let response = self.judge(&url, send(http, method, &url, headers, body).await?).await?;
        let bytes = collect(url.path(), response, LARGEST_TOKEN).await?;
        let answer: Answer = serde_json::from_slice(&bytes)
            // The text is not shown: it may hold a token.
            .map_err(|_| {
                ImageError::malformed(format!("token from {}", without_query(&url)), "not a token")
            })?;
        answer
            .token
            .or(answer.access_token)
            .ok_or_else(|| ImageError::malformed(format!("token from {}", without_query(&url)), "empty"))
    }
}

async fn send(
    http: &Http,
    method: Method,
    url: &Url,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Incoming>, ImageError> {
    let mut request = Request::builder().method(method).uri(url.as_str());
    if let Some(own) = request.headers_mut() {
        own.extend(headers);
    }
    let request = request.body(Full::new(body)).map_err(|error| transport(url, &error))?;
    match tokio::time::timeout(PATIENCE, http.request(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(transport(url, &cause(&error))),
        Err(_) => Err(transport(url, &format!("no answer for {} s", PATIENCE.as_secs()))),
    }
}

/// A body of at most so many bytes.
async fn collect(what: &str, response: Response<Incoming>, limit: u64) -> Result<Bytes, ImageError> {
    let mut blob = Blob { url: what.into(), body: response.into_body() };
    let mut bytes = Vec::new();
    while let Some(piece) = blob.next().await? {
        if (bytes.len() + piece.len()) as u64 > limit {
            return Err(ImageError::malformed(what, format!("over the limit of {limit} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

fn http_client(host: &Host) -> Result<Http, ImageError> {
    let mut roots = RootCertStore::empty();
    for path in &host.ca {
        let bad = |error: &dyn std::fmt::Display| ImageError::Hosts {
            path: path.clone(),
            reason: format!("as a CA certificate: {error}"),
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
            roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
        }
    }
    // A machine without certificates can still pull from mirrors over HTTP, or with a CA of its own.
    roots.add_parsable_certificates(system_roots());
    let provider = rustls::crypto::ring::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| ImageError::malformed("TLS configuration", error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Ok(legacy::Client::builder(TokioExecutor::new()).build(connector))
}

/// The system's certificates, as Debian and most others keep them in one file.
fn system_roots() -> Vec<CertificateDer<'static>> {
    const BUNDLES: [&str; 3] =
        ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
    let bundle = BUNDLES.iter().find_map(|path| CertificateDer::pem_file_iter(path).ok());
    bundle.into_iter().flatten().flatten().collect()
}

/// A header that is never logged.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Signed URLs carry secrets in their query.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

fn transport(url: &Url, reason: &dyn std::fmt::Display) -> ImageError {
    ImageError::Transport { url: without_query(url), reason: reason.to_string() }
}

/// hyper says what happened in its innermost cause.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
