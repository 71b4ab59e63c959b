//! The name of an image, by the grammar of the distribution specification.
//!
//! The kubelet asks for no image whose name cannot mean anything to any runtime; what a name means is the runtime's
//! business.

/// The most characters of a repository.
pub const LONGEST_PATH: usize = 255;
const LONGEST_TAG: usize = 128;

/// The parts of `[HOST[:PORT]/]NAME[/NAME…][:TAG][@DIGEST]`, as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// The registry with its port.
    pub host: Option<&'a str>,
    /// The repository.
    pub path: &'a str,
    /// Behind the colon.
    pub tag: Option<&'a str>,
    /// Behind the `@`, with its algorithm.
    pub digest: Option<&'a str>,
}

/// Takes a name apart, or says what is wrong with it.
pub fn parse(text: &str) -> Result<Reference<'_>, &'static str> {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    // A colon behind the last slash begins a tag; one before it, a port.
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[last..].find(':') {
        Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
        None => (rest, None),
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (Some(host), path),
        _ => (None, name),
    };
    if host.is_some_and(|host| !host_is_valid(host)) {
        return Err("the registry is malformed");
    }
    if path.len() > LONGEST_PATH {
        return Err("it is longer than 255 characters");
    }
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("the repository must be lower case");
    }
    if !path.split('/').all(component_is_valid) {
        return Err("the repository is malformed");
    }
    if host.is_none() && path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("64 hexadecimal digits are an image's id and not its name");
    }
    if tag.is_some_and(|tag| !tag_is_valid(tag)) {
        return Err("the tag is malformed");
    }
    if digest.is_some_and(|digest| !digest_is_valid(digest)) {
        return Err("the digest is malformed");
    }
    Ok(Reference { host, path, tag, digest })
}

/// What tells a registry from the first part of a name at Docker Hub.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn host_is_valid(host: &str) -> bool {
    // An IPv6 address stands in brackets.
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let digits = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
            if address.is_empty() || !address.bytes().all(digits) {
                return false;
            }
            ("v6", port.strip_prefix(':').or(port.is_empty().then_some("0")))
        }
        None => host.split_once(':').map_or((host, Some("0")), |(name, port)| (name, Some(port))),
    };
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inner)
    };
    name.split('.').all(label)
        && port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Letters and digits, and between them `.`, `_`, `__` or any number of `-`.
fn component_is_valid(part: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let separators = bytes.split(word).filter(|run| !run.is_empty());
    bytes.first().is_some_and(word)
        && bytes.last().is_some_and(word)
        && separators
            .into_iter()
            .all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-'))
}

fn tag_is_valid(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= LONGEST_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// `ALGORITHM:HEX`, the algorithm of letters, digits and `+._-`.
fn digest_is_valid(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let known = match algorithm {
        "sha256" => hex.len() == 64,
        "sha384" => hex.len() == 96,
        "sha512" => hex.len() == 128,
        _ => hex.len() >= 32,
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'_' | b'-');
    known
        && algorithm.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && algorithm.bytes().all(named)
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_runtimes_take() {
        let digest = format!("busybox@sha256:{}", "0".repeat(64));
        for name in [
            "busybox",
            "library/busybox:1.35",
            "localhost/a",
            "localhost:5000/a/b:T_a.g-1",
            "registry.k8s.io/pause:3.10",
            "127.0.0.1:5000/demo/busybox",
            "[::1]:5000/a",
            "UPPER/case",
            "a--b/c__d/e.f_g",
            &digest,
            &format!("a:1@{}", &digest[8..]),
        ] {
            assert!(parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_name_has_four_parts() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let name = format!("x.io:5000/a/b:c@{digest}");
        let whole =
            Reference { host: Some("x.io:5000"), path: "a/b", tag: Some("c"), digest: Some(digest.as_str()) };
        assert_eq!(parse(&name), Ok(whole));
        let short = Reference { host: None, path: "prom/node", tag: None, digest: None };
        assert_eq!(parse("prom/node"), Ok(short));
    }

    #[test]
    fn texts_that_no_runtime_takes() {
        for name in [
            "",
            "UPPER/Case:::",
            "library/Busybox",
            "busybox:",
            "busybox:-x",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "-a",
            "a b",
            "exa mple.com/a",
            "ex-.com/a",
            "host:port/a",
            "a@sha256:12",
            "http://x/y",
            &"0".repeat(64),
            &"a".repeat(256),
        ] {
            assert!(parse(name).is_err(), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
