//! Which representation a client gets, by its Accept header.
//!
//! Objects are sent as JSON or YAML, whole, as tables or as their metadata. Protobuf is read in bodies and never sent:
//! every client that asks for it also takes JSON.

/// The types that errors name. The last is read only.
pub const AVAILABLE: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

impl Encoding {
    /// The Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// The version of `meta.k8s.io` in which a table or metadata is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    /// `meta.k8s.io/v1`
    V1,
    /// `meta.k8s.io/v1beta1`
    V1Beta1,
}

impl Meta {
    /// As `apiVersion` has it.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// What is sent of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All of it.
    Whole,
    /// A row of cells.
    Table(Meta),
    /// Its metadata.
    Metadata(Meta),
}

/// The representation of an answer about objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Representation {
    /// How bytes are written.
    pub encoding: Encoding,
    /// What is sent.
    pub form: Form,
}

/// The document of aggregated discovery, or the plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// `APIGroupDiscoveryList` of this version.
    Aggregated(&'static str),
    /// The documents that link to each other.
    Plain,
}

/// A clause of an Accept header.
struct Clause<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match self.media.to_ascii_lowercase().as_str() {
            "application/json" | "*/*" | "application/*" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            _ => None,
        }
    }
}

/// The clauses, the most wanted first; a client that says nothing takes anything.
fn clauses(accept: Option<&str>) -> Vec<Clause<'_>> {
    let mut clauses: Vec<(i32, Clause<'_>)> = Vec::new();
    for text in accept.unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<_> =
            parts.filter_map(|p| p.split_once('=')).map(|(n, v)| (n.trim(), v.trim())).collect();
        let clause = Clause { media, parameters };
        let quality: f32 = clause.get("q").and_then(|q| q.parse().ok()).unwrap_or(1.0);
        // Thousandths, which is what the header's grammar can tell apart.
        let rank = (quality.clamp(0.0, 1.0) * 1000.0).round();
        if rank > 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1000")]
            clauses.push((rank as i32, clause));
        }
    }
    if accept.is_none_or(|text| text.trim().is_empty()) {
        clauses.push((0, Clause { media: "*/*", parameters: Vec::new() }));
    }
    clauses.sort_by_key(|(rank, _)| -rank);
    clauses.into_iter().map(|(_, clause)| clause).collect()
}

/// The representation of objects; none when the client takes nothing that can be sent.
pub fn objects(accept: Option<&str>) -> Option<Representation> {
    clauses(accept).iter().find_map(|clause| {
        let encoding = clause.encoding()?;
        let form = match clause.get("as") {
            None => Form::Whole,
            Some(kind) => {
                let meta = match (clause.get("g"), clause.get("v")) {
                    (Some("meta.k8s.io"), Some("v1")) => Meta::V1,
                    (Some("meta.k8s.io"), Some("v1beta1")) => Meta::V1Beta1,
                    _ => return None,
                };
                match kind {
                    "Table" => Form::Table(meta),
                    "PartialObjectMetadata" | "PartialObjectMetadataList" => Form::Metadata(meta),
                    _ => return None,
                }
            }
        };
        Some(Representation { encoding, form })
    })
}

/// The document of `/api` and `/apis`; none when the client takes nothing that can be sent.
pub fn discovery(accept: Option<&str>) -> Option<(Encoding, Discovery)> {
    clauses(accept).iter().find_map(|clause| {
        let encoding = clause.encoding()?;
        let document = match (clause.get("as"), clause.get("g"), clause.get("v")) {
            (None, ..) => Discovery::Plain,
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => {
                Discovery::Aggregated("v2")
            }
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2beta1")) => {
                Discovery::Aggregated("v2beta1")
            }
            _ => return None,
        };
        Some((encoding, document))
    })
}

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyType {
    /// Also where nothing was said.
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

/// The type of the body of a create or an update; none when it is none that is read.
pub fn body(content_type: Option<&str>) -> Option<BodyType> {
    let media =
        content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        "" | "application/json" => Some(BodyType::Json),
        "application/yaml" => Some(BodyType::Yaml),
        "application/vnd.kubernetes.protobuf" => Some(BodyType::Protobuf),
        _ => None,
    }
}

/// Whether the client takes gzip.
pub fn gzip(accept_encoding: Option<&str>) -> bool {
    clauses(accept_encoding.or(Some("identity"))).iter().any(|clause| matches!(clause.media, "gzip" | "*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Representation = Representation { encoding: Encoding::Json, form: Form::Whole };

    #[test]
    fn the_first_representation_that_can_be_sent_is_sent() {
        let table = |meta| Representation { form: Form::Table(meta), ..JSON };
        let metadata = Representation { form: Form::Metadata(Meta::V1), ..JSON };
        for (accept, expected) in [
            ("", Some(JSON)),
            ("*/*", Some(JSON)),
            ("application/json", Some(JSON)),
            ("application/json;stream=watch", Some(JSON)),
            ("application/vnd.kubernetes.protobuf,application/json", Some(JSON)),
            ("application/vnd.kubernetes.protobuf", None),
            ("text/html", None),
            ("text/html, */*;q=0.1", Some(JSON)),
            ("application/yaml", Some(Representation { encoding: Encoding::Yaml, ..JSON })),
            ("application/yaml;q=0.5, application/json", Some(JSON)),
            ("application/json;q=0", None),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some(table(Meta::V1))),
            (
                "application/json;as=Table;v=v2;g=meta.k8s.io, application/json;as=Table;g=meta.k8s.io;v=v1beta1",
                Some(table(Meta::V1Beta1)),
            ),
            ("application/json;as=Unknown;v=v1;g=meta.k8s.io,application/json", Some(JSON)),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some(metadata)),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
                Some(metadata),
            ),
        ] {
            assert_eq!(objects(Some(accept)), expected, "{accept}");
        }
        assert_eq!(objects(None), Some(JSON));
    }

    #[test]
    fn discovery_is_aggregated_for_those_who_ask() {
        let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;\
            g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        let document = |accept| discovery(Some(accept)).map(|d| d.1);
        assert_eq!(document(kubectl), Some(Discovery::Aggregated("v2")));
        assert_eq!(
            document(&kubectl[kubectl.find(',').unwrap() + 1..]),
            Some(Discovery::Aggregated("v2beta1"))
        );
        assert_eq!(document("application/json"), Some(Discovery::Plain));
        assert_eq!(document("text/html"), None);
    }

    #[test]
    fn bodies_and_gzip() {
        assert_eq!(body(None), Some(BodyType::Json));
        assert_eq!(body(Some("application/json; charset=utf-8")), Some(BodyType::Json));
        assert_eq!(body(Some("text/plain")), None);
        assert!(
            gzip(Some("deflate, gzip;q=0.5")) && !gzip(Some("gzip;q=0")) && !gzip(None) && !gzip(Some("br"))
        );
    }
}
