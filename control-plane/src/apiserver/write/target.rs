//! A write: the request, the kind that it is about with its schema, and what the store has of it.

use std::sync::Arc;

use api_objects::rules::{self, Rules};
use api_objects::schema::{Schema, Type};
use api_objects::{FieldError, decode, meta, time, warnings};
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderValue, WARNING};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::decode::Expected;
use super::options::Options;
use super::part::Part;
use crate::apiserver::apply::{FieldSet, Kind, Versions};
use crate::apiserver::cache::{Object, When};
use crate::apiserver::http::answer::{Answer, Body};
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::{Resource, Served};
use crate::apiserver::read;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;
use crate::storage::Revision;

/// A write on its way.
pub(super) struct Write<'a> {
    pub server: &'a Arc<Server>,
    pub context: &'a Context,
    pub resource: &'a Resource,
    /// The type of the objects in the version of the request.
    pub of: Type<'static>,
    /// That version, `apps/v1`.
    pub version: String,
    pub options: Options,
    /// What of the object it can change.
    pub part: Part,
    /// What this write can neither change nor own.
    ignored: FieldSet,
    /// How new what is looked up must be, once somebody looked.
    when: OnceCell<When>,
    /// The namespace, once somebody looked.
    namespace: OnceCell<Option<Value>>,
}

impl<'a> Write<'a> {
    /// A write of a kind that has a schema.
    pub(super) fn new(
        server: &'a Arc<Server>,
        context: &'a Context,
        resource: &'a Resource,
        options: Options,
    ) -> Result<Self, Status> {
        let version = resource.served().api_version();
        let kind = &resource.kind.kind;
        let of = Expected::of(&version, kind)?.of;
        let part = Part::of(&context.target.subresource);
        let ignored = ignored(of, kind, part == Part::Status);
        let (when, namespace) = (OnceCell::new(), OnceCell::new());
        Ok(Self { server, context, resource, of, version, options, part, ignored, when, namespace })
    }

    /// Whether the status is written, and nothing else.
    pub(super) fn is_status(&self) -> bool {
        self.part == Part::Status
    }

    /// Whether this write leaves a field of the object's root as it is.
    pub(super) fn keeps(&self, field: &str) -> bool {
        match field {
            "apiVersion" | "kind" | "metadata" => false,
            "status" => !self.is_status(),
            "spec" if self.resource.kind.kind == "CertificateSigningRequest" => true,
            _ => self.is_status(),
        }
    }

    /// What the kind fills in and refuses.
    pub(super) fn rules(&self) -> Option<&'static Rules> {
        rules::of(&self.resource.served().group, &self.resource.kind.kind)
    }

    /// The kind, for those who look at metadata.
    pub(super) fn meta_kind(&self) -> meta::Kind<'_> {
        let kind = &self.resource.kind;
        meta::Kind { group: &self.resource.served().group, kind: &kind.kind, namespaced: kind.namespaced }
    }

    /// Refuses a new object that breaks rules.
    pub(super) fn check_new(&self, name: &str, object: &Value) -> Result<(), Status> {
        let kind = self.meta_kind();
        let mut errors = meta::create(&kind, object);
        errors.extend(self.rules().map(|rules| (rules.create)(object)).unwrap_or_default());
        if errors.is_empty() {
            errors = meta::create_any(&kind, object);
        }
        if errors.is_empty() { Ok(()) } else { Err(self.invalid(name, errors)) }
    }

    /// Another object, in the version in which it is stored. Every write that was acknowledged before the first look is
    /// seen.
    pub(super) async fn find(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, Status> {
        let kind = self.known(group, resource)?.kind;
        let key = kind.key(Some(namespace), Some(name));
        let found = self.server.caches.get(&kind, &key, self.when().await?).await?;
        Ok(found.map(|object| object.value()))
    }

    /// The objects of a kind, of all namespaces where none is named, likewise.
    pub(super) async fn list(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
    ) -> Result<Vec<Value>, Status> {
        let kind = self.known(group, resource)?.kind;
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        self.server.caches.values(&kind, namespace, self.when().await?).await
    }

    /// The namespace of the object, if there is one.
    pub(super) async fn namespace(&self) -> Result<Option<&Value>, Status> {
        let look = || self.find("", "namespaces", "", &self.context.target.namespace);
        Ok(self.namespace.get_or_try_init(look).await?.as_ref())
    }

    /// A kind that is built in.
    fn known(&self, group: &str, resource: &str) -> Result<Resource, Status> {
        let known = self.server.kinds.known(group, "v1", resource);
        known.map_err(|error| Status::unexpected(error.to_string()))
    }

    /// The caches know everything once for all looks; where they do not come to, each look asks the store.
    async fn when(&self) -> Result<When, Status> {
        let look = async || Ok(if self.server.caches.fresh().await? { When::Any } else { When::Latest });
        self.when.get_or_try_init(look).await.copied()
    }

    /// What the writer is to be warned of in an object that follows its rules.
    pub(super) fn warnings(&self, old: Option<&Value>, new: &Value) -> Vec<String> {
        let part = match self.part {
            Part::Whole => warnings::Part::Whole,
            Part::Status => warnings::Part::Status,
            _ => return Vec::new(),
        };
        warnings::of(&self.resource.served().group, &self.resource.kind.kind, part, new, old)
    }

    /// 403: it may not be written so.
    pub(super) fn refuse(&self, name: &str, why: &str) -> Status {
        Status::forbidden(&self.resource.served().group, &self.resource.kind.resource, name, why)
    }

    /// The time, as objects have it.
    pub(super) fn now(&self) -> String {
        time::format(self.server.now())
    }

    pub(super) fn key(&self, name: &str) -> String {
        self.resource.kind.key(Some(&self.context.target.namespace), Some(name))
    }

    /// Writes down what the object is.
    pub(super) fn name_type(&self, object: &mut Value) {
        object["apiVersion"] = self.version.as_str().into();
        object["kind"] = self.resource.kind.kind.as_str().into();
    }

    /// Gives the kind to who decides about ownership.
    pub(super) fn with_kind<R>(&self, run: impl FnOnce(&Kind<'_>) -> R) -> R {
        run(&Kind {
            of: self.of,
            version: &self.version,
            kind: &self.resource.kind.kind,
            subresource: &self.context.target.subresource,
            ignored: &self.ignored,
            versions: &Others(self.resource),
        })
    }

    /// Sets the defaults of an object that was changed, and brings it into the form that is stored.
    pub(super) fn complete(&self, object: Value) -> Result<Value, Status> {
        let Some(rules) = self.rules() else { return Ok(object) };
        let mut object = object;
        (rules.defaults)(&mut object);
        self.normalise(&object)
    }

    /// Brings an object into the form that is stored.
    pub(super) fn normalise(&self, object: &Value) -> Result<Value, Status> {
        let done = decode::normalise(self.of, object);
        Ok(done.map_err(|error| Status::bad_request(error.to_string()))?.value)
    }

    /// A stored object in the version of the request.
    pub(super) fn live(&self, revision: Revision, stored: &[u8]) -> Result<Value, Status> {
        let mut object: Value =
            serde_json::from_slice(stored).map_err(|e| Status::unexpected(e.to_string()))?;
        if let Some(conversion) = &self.resource.served().conversion {
            (conversion.serve)(&mut object);
        }
        self.name_type(&mut object);
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        Ok(object)
    }

    /// An object as it is stored.
    pub(super) fn stored(&self, object: &Value) -> Bytes {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        if let Some(conversion) = &self.resource.served().conversion {
            (conversion.store)(&mut object);
        }
        object["apiVersion"] = self.resource.kind.stored().api_version().into();
        object.to_string().into()
    }

    /// The answer that shows an object, which is nowhere stored where it has no revision.
    pub(super) fn answer(
        &self,
        code: StatusCode,
        object: &Value,
        revision: Option<Revision>,
        warnings: &[String],
    ) -> Result<Answer, Status> {
        let mut answer = match revision {
            None => {
                let body = Body::of(vec![object.to_string().into()]);
                Answer::new(code, self.context.representation.encoding, body)
            }
            Some(revision) => {
                let key = self.key(object["metadata"]["name"].as_str().unwrap_or_default());
                let shown = Object::decode(&self.resource.kind, &key, revision, &self.stored(object));
                let shown = Arc::new(shown.map_err(|error| Status::unexpected(error.to_string()))?);
                read::answer_object(self.server, self.context, self.resource, &shown, code)?
            }
        };
        warn(&mut answer, warnings);
        Ok(answer)
    }

    /// 422: the object breaks rules.
    pub(super) fn invalid(&self, name: &str, errors: Vec<FieldError>) -> Status {
        Status::invalid(&self.resource.served().group, &self.resource.kind.kind, name, errors)
    }
}

/// Adds `Warning` headers (RFC 7234, 5.5), each once.
pub(super) fn warn(answer: &mut Answer, warnings: &[String]) {
    for (index, warning) in warnings.iter().enumerate() {
        if warnings[..index].contains(warning) {
            continue;
        }
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        // What no header can carry is not worth failing for.
        if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"")) {
            answer.headers.push((WARNING, value));
        }
    }
}

/// What a write to the object or to its status can neither change nor own.
fn ignored(of: Type<'_>, kind: &str, status: bool) -> FieldSet {
    let fields = of.structure().map(|structure| structure.fields.as_slice()).unwrap_or_default();
    if status {
        let names = fields.iter().map(|field| field.name);
        let others: Vec<_> =
            names.filter(|name| !["apiVersion", "kind", "metadata", "status"].contains(name)).collect();
        let paths: Vec<_> = others.iter().map(std::slice::from_ref).collect();
        return FieldSet::of(&paths);
    }
    match kind {
        // What is signed cannot be changed.
        "CertificateSigningRequest" => FieldSet::of(&[&["spec"], &["status"]]),
        _ if fields.iter().any(|field| field.name == "status") => FieldSet::of(&[&["status"]]),
        _ => FieldSet::new(),
    }
}

/// The versions in which a kind is served, by the hooks between them.
struct Others<'a>(&'a Resource);

impl Others<'_> {
    fn served(&self, api_version: &str) -> Option<&Served> {
        self.0.kind.served.iter().find(|served| served.api_version() == api_version)
    }
}

impl Versions for Others<'_> {
    fn of(&self, api_version: &str) -> Option<Type<'_>> {
        self.served(api_version)?;
        Schema::builtin().kind_of(api_version, &self.0.kind.kind)
    }

    fn convert(&self, object: &Value, from: &str, to: &str) -> Option<Value> {
        let (from, to) = (self.served(from)?, self.served(to)?);
        let mut object = object.clone();
        if let Some(conversion) = &from.conversion {
            (conversion.store)(&mut object);
        }
        if let Some(conversion) = &to.conversion {
            (conversion.serve)(&mut object);
        }
        object["apiVersion"] = to.api_version().into();
        Some(object)
    }
}
