//! The server: what a request goes through, from its first line to its answer.
//!
//! ```text
//!   authenticate ─▶ authorize ─▶ a seat ─▶ path without an object ─▶ discovery, health, metrics
//!                                     └─▶ find the resource ─▶ negotiate ─▶ the verb
//! ```

#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY, WARNING,
};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Asked, Peer, Security};
use super::auth::User;
use super::cache::Caches;
use super::http::answer::{Answer, Body};
use super::http::negotiate;
use super::http::path::{RequestInfo, Target};
use super::http::query::Query;
use super::http::request::{self, Context};
use super::inflight::{Inflight, Limits, Refused};
use super::kinds::{Registry, Resource, RowError, Subresource};
use super::metrics::{Labels, Metrics};
use super::openapi::OpenApi;
use super::services::Network;
use super::status::Status;
use super::{plain, read, write};
use crate::quota::Charges;
use crate::storage::{Store, StoreError};

/// An answer at least so long is compressed for those who take it.
const COMPRESS: usize = 128 << 10;
/// What everyone is told who still uses Endpoints.
const ENDPOINTS: &str =
    "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"";
/// The answer to a request must begin within.
const WITHIN: Duration = Duration::from_secs(60);

/// The API server.
pub struct Server {
    /// The kinds that are served.
    pub kinds: Registry,
    /// The watch caches, above the store.
    pub caches: Arc<Caches>,
    /// Who may do what.
    pub access: Access,
    /// What is counted.
    pub metrics: Metrics,
    /// What quotas were charged for writes that are on their way.
    pub charges: Charges,
    /// How much is asked at once.
    pub inflight: Inflight,
    /// What Services can have.
    pub network: Network,
    /// Who has this changes the map of ports.
    pub(super) ports: Mutex<()>,
    /// `HOST:PORT` where clients reach the server.
    pub address: String,
    /// Made when somebody asks.
    pub(super) openapi: OnceLock<OpenApi>,
    /// What every cluster has was written.
    prepared: AtomicBool,
    /// Cancelled when the server is to end: watches end, connections take no further requests.
    pub closing: CancellationToken,
}

impl Server {
    /// A server of the built-in kinds above a store. [`Server::follow`] must run beside it. It knows nobody's
    /// credentials: only [`Peer::Known`] is let in.
    ///
    /// # Errors
    /// When the rows of the built-in kinds cannot be read.
    pub fn new(store: Arc<dyn Store>, address: String) -> Result<Arc<Self>, RowError> {
        Self::of(store, address, Network::default(), None)
    }

    /// The same with credentials.
    ///
    /// # Errors
    /// When the rows of the built-in kinds cannot be read.
    pub fn secured(
        store: Arc<dyn Store>,
        address: String,
        security: Security,
    ) -> Result<Arc<Self>, RowError> {
        Self::of(store, address, Network::default(), Some(security))
    }

    /// The same of a cluster whose Services have this.
    ///
    /// # Errors
    /// When the rows of the built-in kinds cannot be read.
    pub fn of(
        store: Arc<dyn Store>,
        address: String,
        network: Network,
        security: Option<Security>,
    ) -> Result<Arc<Self>, RowError> {
        let (kinds, caches) = (Registry::builtin()?, Caches::new(store));
        let access = Access::new(&kinds, security)?;
        let closing = CancellationToken::new();
        let (metrics, prepared) = (Metrics::default(), AtomicBool::new(false));
        let (openapi, charges) = (OnceLock::new(), Charges::default());
        let inflight = Inflight::new(Limits::default());
        let ports = Mutex::default();
        Ok(Arc::new(Self {
            kinds,
            caches,
            access,
            metrics,
            charges,
            inflight,
            network,
            ports,
            address,
            openapi,
            prepared,
            closing,
        }))
    }

    /// Keeps caches and rules up with the store, until the server closes.
    ///
    /// # Errors
    /// When what is stored can no longer be read.
    pub async fn follow(self: Arc<Self>) -> Result<(), StoreError> {
        let rules = self.access.policy().clone().follow(self.caches.clone(), self.closing.clone());
        tokio::select! {
            fed = self.caches.clone().feed() => fed,
            () = rules => Ok(()),
        }
    }

    /// Whether what every cluster has was written.
    pub(super) fn was_prepared(&self) -> bool {
        self.prepared.load(Ordering::Acquire)
    }

    /// Says that what every cluster has was written.
    pub fn set_prepared(&self) {
        self.prepared.store(true, Ordering::Release);
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Answers a request of this user: what runs inside the server asks as others do.
    pub async fn answer_as(self: &Arc<Self>, user: User, request: Request<Full<Bytes>>) -> Response<Body> {
        self.answer(&Peer::Known(user), request).await
    }

    /// Answers a request.
    pub async fn answer<B>(self: &Arc<Self>, peer: &Peer, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
        let labels = self.labels(&parts, &info, &query);
        // A request is where a panic ends: it is one client's trouble, and told.
        let passed = AssertUnwindSafe(self.pass(peer, &parts, &info, query, body)).catch_unwind();
        let answer = match tokio::time::timeout(WITHIN, passed).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                tracing::error!(method = %parts.method, path = info.path, "a request's handling panicked");
                Err(Status::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "the server panicked"))
            }
            Err(_) => Err(Status::late(WITHIN)),
        };
        let mut answer = answer.unwrap_or_else(|status| Answer::status(&status));
        let old = |t: &Target| t.group.is_empty() && t.resource == "endpoints" && t.subresource.is_empty();
        if info.target.as_ref().is_some_and(old) {
            answer.headers.push((WARNING, HeaderValue::from_static(ENDPOINTS)));
        }
        let encodings = request::text(&parts.headers, &ACCEPT_ENCODING);
        let has = |answer: &Answer, name| answer.headers.iter().any(|(own, _)| own == name);
        let long = answer.body.length().is_some_and(|length| length >= COMPRESS);
        if long && !has(&answer, CONTENT_ENCODING) && negotiate::gzip(encodings) {
            answer.body = answer.body.gzip();
            answer.headers.push((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
            answer.headers.push((VARY, HeaderValue::from_static("Accept-Encoding")));
        }
        if !has(&answer, CACHE_CONTROL) {
            answer.headers.push((CACHE_CONTROL, HeaderValue::from_static("no-cache, private")));
        }
        if info.verb == "watch" && answer.code == StatusCode::OK {
            answer.body = answer.body.holding(self.metrics.running(labels.clone()));
        }
        self.metrics.answered(labels, answer.code.as_u16(), began.elapsed());
        answer.into_response()
    }

    /// What a request is counted as; what is not served must not make new labels.
    fn labels(&self, parts: &Parts, info: &RequestInfo, query: &Query) -> Labels {
        let target = info.target.as_ref().filter(|target| {
            let table = self.kinds.table();
            let found = table.find(&target.group, &target.version, &target.resource);
            let known = |resource: &Resource| resource.served().subresource(&target.subresource).is_some();
            found.is_some_and(|resource| target.subresource.is_empty() || known(resource))
        });
        let media = request::text(&parts.headers, &CONTENT_TYPE).unwrap_or_default();
        let applies = media.starts_with("application/apply-patch");
        Labels::of(info.verb, target, applies, query.all("dryRun").any(|how| how == "All"))
    }

    fn find(&self, target: &Target) -> Option<Resource> {
        self.kinds.table().find(&target.group, &target.version, &target.resource).cloned()
    }

    async fn pass<B>(
        self: &Arc<Self>,
        peer: &Peer,
        parts: &Parts,
        info: &RequestInfo,
        query: Query,
        body: B,
    ) -> Result<Answer, Status>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let asked = Asked::new(info, &query);
        let user = self.access.admit(&self.caches, peer, &parts.headers, &asked).await?;
        let _seat = match self.inflight.enter(&user, info).await {
            Ok(seat) => seat,
            Err(refused) => return Ok(too_many(refused)),
        };
        let Some(target) = info.target.clone() else {
            return plain::answer(self, parts, info, &query).await;
        };
        let Some(resource) = self.find(&target) else {
            let table = self.kinds.table();
            let version = table.groups().iter().find(|g| g.name == target.group);
            let served = version.is_some_and(|group| group.versions.contains(&target.version));
            return if served { Err(Status::no_resource()) } else { Ok(plain::nothing_there()) };
        };
        let subresource = place(&resource, &target, info)?;
        let accept = request::accept(&parts.headers);
        let representation =
            negotiate::objects(accept).ok_or_else(|| Status::not_acceptable(negotiate::AVAILABLE))?;
        let context = Context {
            info: info.clone(),
            target,
            query,
            headers: parts.headers.clone(),
            user,
            representation,
        };
        if let Some(subresource) = subresource {
            return match (subresource.name.as_str(), info.verb) {
                ("status" | "approval" | "ephemeralcontainers" | "resize", "get") => {
                    read::get(self, &context, &resource).await
                }
                ("scale", "get") => read::scale(self, &context, &resource).await,
                ("token", "create") => {
                    write::create_token(self, &context, &resource, request::read(body).await?).await
                }
                ("binding", "create") => {
                    write::bind(self, &context, &resource, request::read(body).await?).await
                }
                ("eviction", "create") => {
                    write::evict(self, &context, &resource, request::read(body).await?).await
                }
                ("scale", "update" | "patch") => {
                    write::scale(self, &context, &resource, request::read(body).await?).await
                }
                ("status" | "finalize" | "approval" | "ephemeralcontainers" | "resize", "update") => {
                    write::update(self, &context, &resource, request::read(body).await?).await
                }
                ("status" | "approval" | "ephemeralcontainers" | "resize", "patch") => {
                    write::patch(self, &context, &resource, request::read(body).await?).await
                }
                _ => Err(not_yet(&context)),
            };
        }
        match info.verb {
            "get" => read::get(self, &context, &resource).await,
            "list" => read::list(self, &context, &resource).await,
            "watch" => match self.inflight.watch(&context.user) {
                Ok(open) => {
                    let mut answer = read::watch(self, &context, &resource).await?;
                    answer.body = answer.body.holding(open);
                    Ok(answer)
                }
                Err(refused) => Ok(too_many(refused)),
            },
            "create" => write::create(self, &context, &resource, request::read(body).await?).await,
            "update" => write::update(self, &context, &resource, request::read(body).await?).await,
            "patch" => write::patch(self, &context, &resource, request::read(body).await?).await,
            "delete" => write::delete(self, &context, &resource, request::read(body).await?).await,
            "deletecollection" => {
                write::delete_collection(self, &context, &resource, request::read(body).await?).await
            }
            _ => Err(not_yet(&context)),
        }
    }
}

fn too_many(refused: Refused) -> Answer {
    tracing::debug!(?refused, "a request is not done");
    Answer::too_many(refused.retry_after())
}

/// Whether the resource is to be found at this place and knows the verb.
fn place<'a>(
    resource: &'a Resource,
    target: &Target,
    info: &RequestInfo,
) -> Result<Option<&'a Subresource>, Status> {
    let of_namespaces = target.resource == "namespaces" && target.group.is_empty();
    let in_namespace = !target.namespace.is_empty() && !of_namespaces;
    let collection = target.name.is_empty();
    // All namespaces' objects can be listed and watched together; everything else is in its place.
    let across = resource.kind.namespaced && !in_namespace && collection;
    if in_namespace != resource.kind.namespaced && !across {
        return Err(Status::no_resource());
    }
    if !target.subresource.is_empty() {
        let found = resource.served().subresource(&target.subresource);
        let subresource = found.ok_or_else(Status::no_resource)?;
        let takes = subresource.verbs.has(info.verb);
        return if takes { Ok(Some(subresource)) } else { Err(Status::no_method()) };
    }
    let named = matches!(info.verb, "get" | "update" | "patch" | "delete");
    let misplaced = match info.verb {
        "watch" => false,
        _ if named => collection,
        _ => !collection,
    };
    let foreign = across && !matches!(info.verb, "list" | "watch") && !resource_is_review(resource);
    if misplaced || foreign || !resource.served().verbs.has(info.verb) {
        return Err(Status::no_method());
    }
    Ok(None)
}

/// What is only ever created is not stored and is asked where it stands.
fn resource_is_review(resource: &Resource) -> bool {
    !resource.served().verbs.has("get")
}

/// Known to discovery, and not served.
fn not_yet(context: &Context) -> Status {
    let target = &context.target;
    let what = [target.resource.as_str(), target.subresource.as_str()].join("/");
    let what = what.trim_end_matches('/');
    let message = format!("{} of {what} is not implemented", context.info.verb);
    Status::new(StatusCode::NOT_IMPLEMENTED, "", message)
}
