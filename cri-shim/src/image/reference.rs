//! Image references as people write them, with Docker's defaults.

use std::fmt;

use super::{ImageError, digest};

/// A reference with all defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    /// `docker.io`, `registry.k8s.io`, `127.0.0.1:5000`.
    pub(crate) registry: String,
    /// `library/busybox`.
    pub(crate) repository: String,
    /// Without one, `latest`, unless there is a digest.
    pub(crate) tag: Option<String>,
    /// `sha256:…`; wins over the tag.
    pub(crate) digest: Option<String>,
}

const DOCKER: &str = "docker.io";
/// As the distribution specification has them.
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

impl Reference {
    /// Reads a reference.
    pub(crate) fn parse(text: &str) -> Result<Self, ImageError> {
        let wrong = |reason| ImageError::Reference { reference: text.into(), reason };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if digest::is_valid(digest) => (rest, Some(digest.to_owned())),
            Some(_) => return Err(wrong("the digest is not sha256: and 64 hexadecimal digits")),
            None => (text, None),
        };
        // A colon behind the last slash begins a tag; one before it, a port.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_start..].split_once(':') {
            Some((_, tag)) if is_tag(tag) => (&rest[..rest.len() - tag.len() - 1], Some(tag.to_owned())),
            Some(_) => return Err(wrong("the tag is malformed")),
            None => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => {
                (first, path.to_owned())
            }
            _ => (DOCKER, name.to_owned()),
        };
        let registry = if registry == "index.docker.io" { DOCKER } else { registry };
        let repository = if registry == DOCKER && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository
        };
        if !is_registry(registry) {
            return Err(wrong("the registry is malformed"));
        }
        if repository.len() > LONGEST_NAME || !repository.split('/').all(is_component) {
            return Err(wrong(
                "the repository is malformed (lower case letters, digits, and . _ - between them)",
            ));
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".into()) } else { tag };
        Ok(Self { registry: registry.into(), repository, tag, digest })
    }

    /// `registry/repository`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What is asked of the registry: the digest, or else the tag.
    pub(crate) fn identifier(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// `name:tag`, which a `RepoTags` entry is; `None` for a reference by digest alone.
    pub(crate) fn repo_tag(&self) -> Option<String> {
        // Who asks by digest gets that content under no tag: the tag may have moved on.
        self.tag.as_ref().filter(|_| self.digest.is_none()).map(|tag| format!("{}:{tag}", self.name()))
    }

    /// `name@digest`, which a `RepoDigests` entry is.
    pub(crate) fn repo_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !tag.is_empty()
        && tag.len() <= LONGEST_TAG
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn is_registry(registry: &str) -> bool {
    let (host, port) = registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port)));
    let host_ok = !host.is_empty()
        && !host.starts_with(['.', '-'])
        && !host.contains("..")
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    // What looks like an IPv4 address or an internationalized name must also be one.
    host_ok
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && url::Url::parse(&format!("https://{registry}/")).is_ok()
}

/// One part of a repository's path: letters and digits, with single separators between them.
fn is_component(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    ends.is_some_and(|(first, last)| alphanumeric(*first) && alphanumeric(*last))
        && bytes.iter().all(|&byte| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && !part.contains("..")
        && !part.contains("___")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn defaults_are_dockers() {
        for (text, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/busybox:1", "docker.io/library/busybox:1"),
            ("prom/node:v1", "docker.io/prom/node:v1"),
            ("localhost/x", "localhost/x:latest"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
            ("registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), full);
        }
    }

    #[test]
    fn a_digest_wins_over_the_tag_and_makes_none() {
        let reference = Reference::parse(&format!("busybox:1@{DIGEST}")).unwrap();
        assert_eq!(reference.identifier(), DIGEST);
        assert_eq!(reference.repo_tag(), None);
        assert_eq!(Reference::parse(&format!("busybox@{DIGEST}")).unwrap().tag, None);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            ":",
            "a:",
            "A/b",
            "a//b",
            "../b",
            "a@sha256:1",
            "x.io:port/a",
            "a b",
            "-a",
            "x..y/z",
            "a/",
            "999.999.999.999/a",
            "1.2.3.4.5/a",
            "xn--/a",
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_read_reads_back(text: String) {
            if let Ok(reference) = Reference::parse(&text) {
                proptest::prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
            }
        }

        #[test]
        fn plausible_references_read_back(text in "[a-z0-9.:/@_-]{0,60}") {
            if let Ok(reference) = Reference::parse(&text) {
                proptest::prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
            }
        }
    }
}
