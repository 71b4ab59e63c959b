//! Paths that name no object: discovery, documents, health, metrics.

use std::sync::Arc;

use http::header::{ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{Method, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::http::answer::Answer;
use super::http::negotiate::{self, Discovery};
use super::http::path::RequestInfo;
use super::http::query::Query;
use super::http::request;
use super::kinds::Table;
use super::server::Server;
use super::status::Status;
use super::{discovery, documents, health};

/// Answers a request that is about no object.
pub(super) async fn answer(
    server: &Arc<Server>,
    parts: &Parts,
    info: &RequestInfo,
    query: &Query,
) -> Result<Answer, Status> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Status::no_method());
    }
    if matches!(info.path.split('/').nth(1), Some("openapi")) {
        return documents::openapi(server, parts, info, query).await;
    }
    let segments: Vec<&str> = info.path.trim_matches('/').split('/').collect();
    let table = server.kinds.table();
    let document = match segments.as_slice() {
        [core @ ("api" | "apis")] => {
            let accept = request::accept(&parts.headers);
            let (_, document) =
                negotiate::discovery(accept).ok_or_else(|| Status::not_acceptable(negotiate::AVAILABLE))?;
            let core = *core == "api";
            let (value, version) = match document {
                Discovery::Aggregated(version) => {
                    (discovery::aggregated(&table, core, version), Some(version))
                }
                Discovery::Plain if core => (discovery::versions(&table, &server.address), None),
                Discovery::Plain => (discovery::group_list(&table), None),
            };
            return Ok(known_by_tag(parts, &value, version));
        }
        ["api", version] => discovery::resources(&table, "", version),
        ["apis", group] => discovery::group(&table, group),
        ["apis", group, version] => discovery::resources(&table, group, version),
        [".well-known", "openid-configuration"] => documents::openid(server),
        ["openid", "v1", "jwks"] => documents::keys(server),
        ["version"] => Some(version()),
        ["metrics"] => return Ok(Answer::text(StatusCode::OK, server.metrics.text(&server.inflight))),
        [endpoint @ ("healthz" | "livez" | "readyz")] => {
            return Ok(health::answer(server, endpoint, None, query).await);
        }
        [endpoint @ ("healthz" | "livez" | "readyz"), check] => {
            return Ok(health::answer(server, endpoint, Some(check), query).await);
        }
        [""] => Some(json!({ "paths": paths(&table) })),
        _ => None,
    };
    match document {
        Some(document) => Ok(Answer::json(&document)),
        None if matches!(segments.as_slice(), ["api", _]) => Err(Status::no_resource()),
        None => Ok(nothing_there()),
    }
}

pub(super) fn nothing_there() -> Answer {
    Answer::text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// A discovery document, or only that it is still the one that the client has.
fn known_by_tag(parts: &Parts, value: &Value, aggregated: Option<&str>) -> Answer {
    let text = value.to_string();
    let sum: String = digest(&SHA256, text.as_bytes()).as_ref().iter().map(|b| format!("{b:02X}")).collect();
    let tag = format!("\"{sum}\"");
    let mut answer = if request::text(&parts.headers, &IF_NONE_MATCH) == Some(tag.as_str()) {
        Answer::text(StatusCode::NOT_MODIFIED, "")
    } else {
        Answer::json(value)
    };
    if let Some(version) = aggregated {
        let typed = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        if let Ok(content_type) = HeaderValue::try_from(typed) {
            answer = answer.typed(content_type);
        }
        if let Ok(tag) = HeaderValue::try_from(tag) {
            answer.headers.push((ETAG, tag));
        }
    }
    answer.headers.push((VARY, HeaderValue::from_static("Accept")));
    answer
}

/// The version of the API that is served, in the form of other servers.
fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": concat!("v1.36.2+orlop-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    })
}

fn paths(table: &Table) -> Vec<String> {
    let mut paths: Vec<String> =
        ["/api", "/apis", "/healthz", "/livez", "/metrics", "/readyz", "/version"].map(str::to_owned).into();
    for group in table.groups() {
        let base = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
        paths.extend(group.versions.iter().map(|version| format!("{base}/{version}")));
        paths.push(base);
    }
    paths.sort();
    paths.dedup();
    paths
}
