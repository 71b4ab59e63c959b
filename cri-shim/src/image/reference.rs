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

impl Reference {
    /// Reads a reference.
    pub(crate) fn parse(text: &str) -> Result<Self, ImageError> {
        let wrong = |reason| ImageError::Reference { reference: text.into(), reason };
        let parts = api_cri::reference::parse(text).map_err(wrong)?;
        if parts.digest.is_some_and(|digest| !digest::is_valid(digest)) {
            return Err(wrong("the digest is not sha256: and 64 hexadecimal digits"));
        }
        let registry = parts.host.filter(|host| *host != "index.docker.io").unwrap_or(DOCKER);
        // What looks like an IPv4 address or an internationalized name must also be one.
        if url::Url::parse(&format!("https://{registry}/")).is_err() {
            return Err(wrong("the registry is malformed"));
        }
        let repository = if registry == DOCKER && !parts.path.contains('/') {
            format!("library/{}", parts.path)
        } else {
            parts.path.to_owned()
        };
        if repository.len() > api_cri::reference::LONGEST_PATH {
            return Err(wrong("it is longer than 255 characters"));
        }
        let digest = parts.digest.map(str::to_owned);
        let tag = parts.tag.map(str::to_owned);
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
            "a/B",
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
