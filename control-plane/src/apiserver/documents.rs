//! Documents about the server itself: its OpenAPI, and what others need to verify its tokens.

use std::sync::Arc;

use http::StatusCode;
use http::header::{ACCEPT_ENCODING, HeaderName, HeaderValue, IF_NONE_MATCH};
use http::request::Parts;
use serde_json::Value;

use super::auth::token;
use super::discovery;
use super::http::answer::{Answer, Body};
use super::http::negotiate::{self, Encoding};
use super::http::path::RequestInfo;
use super::http::query::Query;
use super::http::request;
use super::openapi::{OpenApi, Request, Resource};
use super::plain::nothing_there;
use super::server::Server;
use super::status::Status;

/// Answers `/openapi/v3` and `/openapi/v2`.
pub(super) async fn openapi(
    server: &Arc<Server>,
    parts: &Parts,
    info: &RequestInfo,
    query: &Query,
) -> Result<Answer, Status> {
    let (path, hash) = (info.path.clone(), query.get("hash").map(str::to_owned));
    let text = |name| request::text(&parts.headers, name).map(str::to_owned);
    let (accept, tag) = (request::accept(&parts.headers).map(str::to_owned), text(&IF_NONE_MATCH));
    let gzip = negotiate::gzip(text(&ACCEPT_ENCODING).as_deref());
    let server = server.clone();
    // A document takes tens of milliseconds of a processor the first time.
    let made = tokio::task::spawn_blocking(move || {
        let request = Request {
            path: &path,
            hash: hash.as_deref(),
            accept: accept.as_deref(),
            if_none_match: tag.as_deref(),
            gzip,
        };
        server.openapi.get_or_init(|| documents(&server)).answer(&request)
    });
    let made = made.await.map_err(|error| Status::unexpected(error.to_string()))?;
    let Some(made) = made else { return Ok(nothing_there()) };
    let code = StatusCode::from_u16(made.status).map_err(|error| Status::unexpected(error.to_string()))?;
    let mut answer = Answer::new(code, Encoding::Json, Body::of(vec![made.body]));
    for (name, value) in made.headers {
        let value = HeaderValue::try_from(value).map_err(|error| Status::unexpected(error.to_string()))?;
        answer = match name {
            "content-type" => answer.typed(value),
            _ => {
                answer.headers.push((HeaderName::from_static(name), value));
                answer
            }
        };
    }
    Ok(answer)
}

fn documents(server: &Server) -> OpenApi {
    let table = server.kinds.table();
    let served = [true, false].map(|core| discovery::aggregated(&table, core, "v2"));
    OpenApi::new("v1.36.2", Resource::from_discovery(&served), api_k8s::descriptions)
}

/// Who issues tokens, and where their keys are (OpenID Connect Discovery 1.0, 4.2).
pub(super) fn openid(server: &Server) -> Option<Value> {
    let security = server.access.security()?;
    let keys = &security.authenticator.tokens.keys;
    Some(token::discovery(&security.issuer.url, &format!("https://{}/openid/v1/jwks", server.address), keys))
}

/// The keys that verify tokens (RFC 7517).
pub(super) fn keys(server: &Server) -> Option<Value> {
    Some(token::jwks(&server.access.security()?.authenticator.tokens.keys))
}
