//! `/openapi/v3` and `/openapi/v2`: what kubectl validates by, explains, and generates clients from.
//!
//! Nothing is stored as a document. The schemas of the built-in kinds are facts in a table (`definitions`), descriptions
//! are given by the caller, and the paths follow from what discovery says is served (`operations`). A document is made
//! when it is asked for, and kept compressed; the index of version 3 names the hash of each, so the first call for it
//! makes them all once.
//!
//! Making documents takes tens of milliseconds of a processor: call [`OpenApi::answer`] where that blocks nobody.

mod definitions;
mod gnostic;
mod operations;
mod parameters;
mod resources;
mod v2;
mod v3;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use definitions::Definitions;
use operations::Paths;
pub use resources::{Kind, Resource};

/// Where the documents of version 3 are.
pub const V3: &str = "/openapi/v3";
/// Where the document of version 2 is.
pub const V2: &str = "/openapi/v2";

/// The documents of a set of resources.
pub struct OpenApi {
    /// The version of the server, `v1.36.2`.
    version: String,
    resources: Vec<Resource>,
    describe: fn() -> Value,
    /// Documents of version 3 by the path that the index calls them, `apis/apps/v1`.
    v3: BTreeMap<String, OnceLock<Document>>,
    hashes: OnceLock<BTreeMap<String, String>>,
    v2: OnceLock<Document>,
    /// The same in protobuf.
    gnostic: OnceLock<Document>,
}

/// A request for a document, as far as its answer depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'r> {
    /// The whole path, without the query.
    pub path: &'r str,
    /// `hash` of the query.
    pub hash: Option<&'r str>,
    /// The header `Accept`.
    pub accept: Option<&'r str>,
    /// The header `If-None-Match`.
    pub if_none_match: Option<&'r str>,
    /// The client takes gzip.
    pub gzip: bool,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

struct Document {
    content_type: &'static str,
    hash: String,
    gzip: Bytes,
}

const JSON: &str = "application/json";

impl OpenApi {
    /// The documents of `resources`. `describe` makes an object of definitions whose `description`s, and those of their
    /// `properties`, are taken over; it is called when documents are made, and what it returns is not kept.
    pub fn new(version: impl Into<String>, resources: Vec<Resource>, describe: fn() -> Value) -> Self {
        let mut names = vec!["api".to_owned(), "apis".to_owned()];
        for Kind { group, version, .. } in resources.iter().map(|resource| &resource.parent) {
            names.push(operations::root(group, version)[1..].to_owned());
            if !group.is_empty() {
                names.push(format!("apis/{group}"));
            }
        }
        Self {
            version: version.into(),
            resources,
            describe,
            v3: names.into_iter().map(|name| (name, OnceLock::new())).collect(),
            hashes: OnceLock::new(),
            v2: OnceLock::new(),
            gnostic: OnceLock::new(),
        }
    }

    /// The answer to a GET; nothing where there is no such document.
    pub fn answer(&self, request: &Request<'_>) -> Option<Response> {
        let protobuf = request.path == V2;
        let Some(accepted) = accepted(request.accept, protobuf) else {
            let known = request.path == V2 || request.path.starts_with(V3);
            return known.then(|| Response { status: 406, headers: Vec::new(), body: Bytes::new() });
        };
        match request.path.strip_prefix(V3) {
            None if request.path == V2 && accepted == Accepted::Gnostic => {
                let make = || Document::of(gnostic::MEDIA_TYPES[0], &gnostic::encode(&self.make_v2()));
                Some(self.gnostic.get_or_init(make).answer(request, false))
            }
            None if request.path == V2 => {
                let document = self.v2.get_or_init(|| Document::new(&bytes_of(&self.make_v2())));
                Some(document.answer(request, false))
            }
            Some("" | "/") => Some(Document::new(&self.index()).answer(request, false)),
            Some(name) => self.answer_v3(name.strip_prefix('/')?, request),
            None => None,
        }
    }

    fn answer_v3(&self, name: &str, request: &Request<'_>) -> Option<Response> {
        let document =
            self.v3.get(name)?.get_or_init(|| Document::new(&self.make_v3(name, &self.definitions())));
        match request.hash {
            Some(hash) if hash != document.hash => {
                // A client with an older index finds the document all the same, and caches it by its right name.
                let headers = vec![("location", format!("{V3}/{name}?hash={}", document.hash))];
                Some(Response { status: 301, headers, body: Bytes::new() })
            }
            hash => Some(document.answer(request, hash.is_some())),
        }
    }

    /// What documents of version 3 there are.
    fn index(&self) -> Vec<u8> {
        let hashes = self.hashes.get_or_init(|| {
            let definitions = self.definitions();
            self.v3.keys().map(|name| (name.clone(), hash(&self.make_v3(name, &definitions)))).collect()
        });
        let paths: Map<String, Value> = hashes
            .iter()
            .map(|(name, hash)| {
                (name.clone(), json!({"serverRelativeURL": format!("{V3}/{name}?hash={hash}")}))
            })
            .collect();
        bytes_of(&json!({ "paths": paths }))
    }

    fn definitions(&self) -> Definitions {
        Definitions::builtin(&(self.describe)())
    }

    fn make_v3(&self, name: &str, definitions: &Definitions) -> Vec<u8> {
        bytes_of(&v3::document(&self.version, &self.paths(name, definitions), definitions))
    }

    fn make_v2(&self) -> Value {
        let definitions = self.definitions();
        let mut paths = Paths::new();
        for name in self.v3.keys() {
            paths.append(&mut self.paths(name, &definitions));
        }
        v2::document(&self.version, &paths, &definitions)
    }

    /// The operations that a document of version 3 describes.
    fn paths(&self, name: &str, definitions: &Definitions) -> Paths {
        let discovery = |id: &str, schema: &str, tag: &str| {
            Paths::from([(
                format!("/{name}/"),
                vec![operations::discovery(id.to_owned(), schema, tag.to_owned())],
            )])
        };
        let parts: Vec<&str> = name.split('/').collect();
        let (group, version) = match parts[..] {
            ["api"] => return discovery("getCoreAPIVersions", "APIVersions", "core"),
            ["apis"] => return discovery("getAPIVersions", "APIGroupList", "apis"),
            ["apis", group] => {
                let of = Kind { group: group.to_owned(), version: String::new(), kind: String::new() };
                let tag = operations::tag(&of);
                let tag = tag.trim_end_matches('_');
                let id = format!("get{}{}APIGroup", tag[..1].to_uppercase(), &tag[1..]);
                return discovery(&id, "APIGroup", tag);
            }
            ["api", version] => ("", version),
            ["apis", group, version] => (group, version),
            _ => return Paths::new(),
        };
        let own = |resource: &&Resource| resource.parent.group == group && resource.parent.version == version;
        let resources: Vec<&Resource> = self.resources.iter().filter(own).collect();
        operations::of_version(&resources, definitions)
    }
}

impl Document {
    fn new(json: &[u8]) -> Self {
        Self::of(JSON, json)
    }

    fn of(content_type: &'static str, bytes: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("memory takes all");
        let gzip = encoder.finish().expect("memory takes all");
        Self { content_type, hash: hash(bytes), gzip: gzip.into() }
    }

    /// `immutable` when the request names the document by its hash.
    fn answer(&self, request: &Request<'_>, immutable: bool) -> Response {
        let etag = format!("\"{}\"", self.hash);
        let mut headers = vec![("etag", etag.clone()), ("vary", "Accept, Accept-Encoding".to_owned())];
        if immutable {
            headers.push(("cache-control", "public, immutable, max-age=31536000".to_owned()));
        }
        let known = request.if_none_match.is_some_and(|tags| {
            tags.split(',')
                .map(str::trim)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
        });
        if known {
            return Response { status: 304, headers, body: Bytes::new() };
        }
        headers.push(("content-type", self.content_type.to_owned()));
        let body = if request.gzip {
            headers.push(("content-encoding", "gzip".to_owned()));
            self.gzip.clone()
        } else {
            let mut json = Vec::new();
            GzDecoder::new(&self.gzip[..]).read_to_end(&mut json).expect("it was compressed here");
            json.into()
        };
        Response { status: 200, headers, body }
    }
}

fn bytes_of(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

/// The hash of a document as its address and its ETag have it.
fn hash(json: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = ring::digest::digest(&ring::digest::SHA256, json);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// In which form a client takes a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted {
    Json,
    Gnostic,
}

/// The first form of those that a client names in which there is the document; `protobuf` where there is that one.
fn accepted(accept: Option<&str>, protobuf: bool) -> Option<Accepted> {
    let form = |part: &str| {
        let media = part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            "" | "*/*" | "application/*" | JSON => Some(Accepted::Json),
            media if protobuf && gnostic::MEDIA_TYPES.contains(&media) => Some(Accepted::Gnostic),
            _ => None,
        }
    };
    accept.unwrap_or_default().split(',').find_map(form)
}

#[cfg(test)]
mod tests;
