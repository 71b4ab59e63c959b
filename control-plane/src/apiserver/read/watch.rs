//! Watches: a stream of events, a line of JSON each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;

use super::encode::{self, Include};
use super::{plan, scope};
use crate::apiserver::cache::{Begin, Notice, Object, Type, Watcher};
use crate::apiserver::http::answer::{Answer, Body};
use crate::apiserver::http::negotiate::{Encoding, Form};
use crate::apiserver::http::query::ListOptions;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::selectors::Selection;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;

/// A watch for which the client names no end lasts between so long and twice so long.
const LASTS: Duration = Duration::from_secs(1800);
/// A watch that takes bookmarks gets one so often.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Events that are there are sent together up to about so many bytes.
const TOGETHER: usize = 64 << 10;

/// A watch of a collection; of one object where the path names it.
pub async fn watch(server: &Arc<Server>, context: &Context, resource: &Resource) -> Result<Answer, Status> {
    let options = ListOptions::parse(&context.query, true)?;
    let selection = Selection::new(resource, options.labels.clone(), &options.fields)?;
    let include = Include::parse(context.query.get("includeObject"))?;
    if context.representation.encoding != Encoding::Json {
        return Err(Status::not_acceptable("application/json;stream=watch"));
    }
    let revision = plan::revision(&options.resource_version).map_err(Status::unexpected)?;
    let begin = match revision {
        revision if options.initial_events => Begin::Objects(revision),
        None | Some(0) => Begin::After(server.caches.store().stats().await?.revision),
        Some(revision) => Begin::After(revision),
    };
    let prefix = match context.target.name.as_str() {
        "" => scope(context, resource),
        name => resource.kind.key(Some(&context.target.namespace), Some(name)),
    };
    let exact = (!context.target.name.is_empty()).then(|| prefix.clone());
    let selects = move |object: &Object| {
        exact.as_ref().is_none_or(|key| *key == *object.key) && selection.selects(object)
    };
    let lasts = options.timeout.map_or_else(usual_end, Duration::from_secs);
    let cache = server.caches.of(&resource.kind).await?;
    let bookmarks = options.bookmarks.then_some(BOOKMARK_EVERY);
    let watcher =
        Watcher::start(server.caches.clone(), cache, prefix, selects, begin, bookmarks, lasts).await;
    let teller = Teller {
        server: server.clone(),
        resource: resource.clone(),
        form: context.representation.form,
        include,
        columns: true,
    };
    let stream = futures_util::stream::unfold((watcher, teller), |(mut watcher, mut teller)| async move {
        let first = watcher.next().await?;
        let first = teller.tell(first);
        let Some(second) = watcher.ready() else { return Some((first, (watcher, teller))) };
        let mut together = [first, teller.tell(second)].concat();
        while together.len() < TOGETHER
            && let Some(next) = watcher.ready()
        {
            together.extend_from_slice(&teller.tell(next));
        }
        Some((Bytes::from(together), (watcher, teller)))
    });
    let stream = stream.take_until(server.closing.clone().cancelled_owned());
    Ok(Answer::new(http::StatusCode::OK, Encoding::Json, Body::stream(stream.boxed())))
}

/// Spread, so that watches that began together do not all end together.
fn usual_end() -> Duration {
    let mut random = [0; 2];
    // Without randomness they end together, which does no harm but to the load.
    let _ = SystemRandom::new().fill(&mut random);
    LASTS + LASTS * u32::from(u16::from_be_bytes(random)) / u32::from(u16::MAX)
}

/// Puts what a watch tells into bytes.
struct Teller {
    server: Arc<Server>,
    resource: Resource,
    form: Form,
    include: Include,
    /// The columns of tables were not told yet.
    columns: bool,
}

impl Teller {
    fn tell(&mut self, notice: Notice) -> Bytes {
        match notice {
            Notice::Initial(object) => self.object(Type::Added, &object),
            Notice::Event(told, object, event) if self.form == Form::Whole => {
                event.frame(told, &object, &self.resource)
            }
            Notice::Event(told, object, _) => self.object(told, &object),
            Notice::Bookmark { revision, initial } => self.bookmark(revision, initial),
            Notice::Error(status) => line("ERROR", status.to_json().to_string().as_bytes()),
        }
    }

    fn object(&mut self, told: Type, object: &Object) -> Bytes {
        match self.form {
            Form::Whole => line(told.name(), &encode::whole(&self.resource, object)),
            Form::Metadata(meta) => line(told.name(), &encode::metadata(meta, &self.resource, object)),
            Form::Table(meta) => {
                let columns = std::mem::take(&mut self.columns);
                let now = self.server.now();
                let table = encode::event_table(meta, &self.resource, object, columns, self.include, now);
                line(told.name(), &table)
            }
        }
    }

    fn bookmark(&mut self, revision: u64, initial: bool) -> Bytes {
        let metadata = encode::bookmark(revision, initial);
        let (kind, version) = match self.form {
            Form::Whole => (self.resource.kind.kind.clone(), self.resource.served().api_version()),
            Form::Metadata(meta) => ("PartialObjectMetadata".to_owned(), meta.api_version().to_owned()),
            Form::Table(meta) => {
                let columns = std::mem::take(&mut self.columns);
                let now = self.server.now();
                let table = encode::bookmark_table(meta, &self.resource, &metadata, columns, now);
                return line("BOOKMARK", table.to_string().as_bytes());
            }
        };
        let object = json!({ "kind": kind, "apiVersion": version, "metadata": metadata });
        line("BOOKMARK", object.to_string().as_bytes())
    }
}

fn line(told: &str, object: &[u8]) -> Bytes {
    let parts: [&[u8]; 5] = [b"{\"type\":\"", told.as_bytes(), b"\",\"object\":", object, b"}\n"];
    parts.concat().into()
}
