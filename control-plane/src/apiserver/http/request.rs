//! A request on its way through the server.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};

use super::negotiate::Representation;
use super::path::{RequestInfo, Target};
use super::query::Query;
use crate::apiserver::auth::User;
use crate::apiserver::status::Status;

/// The longest body that is read, in bytes: what the store takes, and the same again for a request around it.
pub const BODY_LIMIT: usize = 3 << 20;

/// What is known of a request about objects.
#[derive(Debug, Clone)]
pub struct Context {
    /// What it asks for.
    pub info: RequestInfo,
    /// Which objects.
    pub target: Target,
    /// Its query.
    pub query: Query,
    /// Its headers.
    pub headers: HeaderMap,
    /// Who asks.
    pub user: User,
    /// How it is to be answered.
    pub representation: Representation,
}

impl Context {
    /// A header's text.
    pub fn content_type(&self) -> Option<&str> {
        text(&self.headers, &CONTENT_TYPE)
    }
}

/// The Accept header.
pub fn accept(headers: &HeaderMap) -> Option<&str> {
    text(headers, &ACCEPT)
}

/// A header's text.
pub fn text<'a>(headers: &'a HeaderMap, name: &http::header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Reads a body up to the limit.
pub async fn read<B>(body: B) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Status::too_large(BODY_LIMIT)),
        Err(error) => Err(Status::bad_request(format!("reading the body: {error}"))),
    }
}
