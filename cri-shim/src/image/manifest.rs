//! The documents that describe an image: index, manifest, configuration, in OCI's and Docker's spelling.

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use super::{ImageError, digest};

/// A manifest or an index may have so many bytes, as containerd's limit is.
pub(super) const LARGEST_MANIFEST: u64 = 8 << 20;
/// An image with more layers cannot be mounted: the kernel stacks at most 500 overlay layers.
const MOST_LAYERS: usize = 500;

const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFEST_TYPES: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// What a client that understands all of them sends as `Accept`.
pub(super) fn accepted_types() -> String {
    [INDEX_TYPES, MANIFEST_TYPES].concat().join(", ")
}

/// A pointer to content.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: std::collections::BTreeMap<String, String>,
}

/// For which machines an index's entry is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
}

/// One image: its configuration and its layers, lowest first.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// What a registry or a layout answers for a reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
}

/// Reads a manifest or an index; the media type inside wins, then the shape decides, and never the sender's header
/// alone.
pub(super) fn parse(what: &str, bytes: &[u8]) -> Result<Document, ImageError> {
    let wrong = |reason: &str| ImageError::malformed(what, reason);
    let head: Head = serde_json::from_slice(bytes).map_err(|error| ImageError::malformed(what, error))?;
    if head.schema_version != 2 {
        return Err(wrong(&format!("schema version {} is not supported", head.schema_version)));
    }
    let kind = head.media_type.as_deref();
    if kind.is_some_and(|kind| !INDEX_TYPES.contains(&kind) && !MANIFEST_TYPES.contains(&kind)) {
        return Err(wrong(&format!("media type {:?} is no image", kind.unwrap_or_default())));
    }
    let document = match head.manifests {
        Some(manifests) if kind.is_none_or(|kind| INDEX_TYPES.contains(&kind)) => Document::Index(manifests),
        _ => Document::Manifest(
            serde_json::from_slice(bytes).map_err(|error| ImageError::malformed(what, error))?,
        ),
    };
    if let Document::Manifest(manifest) = &document {
        if manifest.layers.len() > MOST_LAYERS {
            return Err(wrong(&format!(
                "{} layers are over the limit of {MOST_LAYERS}",
                manifest.layers.len()
            )));
        }
        let mut all = manifest.layers.iter().chain([&manifest.config]);
        if let Some(descriptor) = all.find(|descriptor| !digest::is_valid(&descriptor.digest)) {
            return Err(wrong(&format!("digest {:?} cannot be verified", descriptor.digest)));
        }
    }
    Ok(document)
}

/// The entry of an index for a Linux machine of this architecture (in Go's spelling).
pub(super) fn choose<'a>(index: &'a [Descriptor], architecture: &str) -> Option<&'a Descriptor> {
    let fits = |descriptor: &&Descriptor| {
        let known =
            descriptor.media_type.is_empty() || MANIFEST_TYPES.contains(&descriptor.media_type.as_str());
        let platform = descriptor.platform.as_ref();
        known
            && platform
                .is_some_and(|platform| platform.os == "linux" && platform.architecture == architecture)
    };
    // An index of one image without a platform is what simple tools write.
    index.iter().find(fits).or_else(|| index.first().filter(|d| index.len() == 1 && d.platform.is_none()))
}

/// This machine's architecture as Go, and so the image world, spells it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Reads an image's configuration, whose layers must be as many as the manifest's.
pub(super) fn configuration(bytes: &[u8], manifest: &Manifest) -> Result<ImageConfiguration, ImageError> {
    let what = format!("configuration {}", manifest.config.digest);
    let config: ImageConfiguration =
        serde_json::from_slice(bytes).map_err(|error| ImageError::malformed(&what, error))?;
    let (named, held) = (config.rootfs().diff_ids(), &manifest.layers);
    if named.len() != held.len() {
        let reason = format!("names {} layers, the manifest {}", named.len(), held.len());
        return Err(ImageError::malformed(what, reason));
    }
    if let Some(wrong) = named.iter().find(|diff_id| !digest::is_valid(diff_id)) {
        return Err(ImageError::malformed(what, format!("diff id {wrong:?} cannot be verified")));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn index(entries: &[(&str, &str)]) -> Vec<Descriptor> {
        let entry = |(os, architecture): &(&str, &str)| {
            format!(
                r#"{{"digest":"{DIGEST}","size":1,"platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#
            )
        };
        let entries = entries.iter().map(entry).collect::<Vec<_>>().join(",");
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
        match parse("index", text.as_bytes()).unwrap() {
            Document::Index(entries) => entries,
            Document::Manifest(_) => panic!("a manifest"),
        }
    }

    #[test]
    fn an_index_is_searched_by_platform() {
        let index = index(&[("windows", "amd64"), ("linux", "arm64"), ("linux", "amd64")]);
        assert_eq!(choose(&index, "amd64"), Some(&index[2]));
        assert_eq!(choose(&index, "riscv64"), None);
    }

    #[test]
    fn a_digest_that_cannot_be_verified_is_refused() {
        let text = r#"{"schemaVersion":2,"config":{"digest":"md5:0","size":1},"layers":[]}"#;
        assert!(parse("m", text.as_bytes()).unwrap_err().to_string().contains("md5:0"));
    }

    #[test]
    fn other_artifacts_and_old_schemas_are_named() {
        for (text, named) in [
            (r#"{"schemaVersion":1}"#, "schema version 1"),
            (r#"{"schemaVersion":2,"mediaType":"application/x"}"#, "application/x"),
            ("{}", "schemaVersion"),
        ] {
            let error = parse("m", text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = parse("it", &bytes);
        }
    }
}
