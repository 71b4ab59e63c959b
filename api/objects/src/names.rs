//! The forms of names and keys, with the sentences in which the API refuses them.

/// An RFC 1123 label: at most 63 of `a-z0-9-`, with an alphanumeric at both ends.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut errors = too_long(text, 63, "characters");
    if !is_label(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        let why = if is_subdomain(text) { "must not contain dots" } else { DNS_LABEL };
        errors.push(why.to_owned());
    }
    errors
}

/// An RFC 1123 subdomain: labels joined by dots, at most 253 bytes.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut errors = too_long(text, 253, "characters");
    if !is_subdomain(text) {
        errors.push(DNS_SUBDOMAIN.to_owned());
    }
    errors
}

/// A key of labels and annotations: an optional `PREFIX/` and a name of at most 63 bytes.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!("a qualified name {}", &QUALIFIED[10..])];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(dns_subdomain(prefix).into_iter().map(|error| format!("prefix part {error}")));
            }
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_qualified_part(name) {
        errors.push(QUALIFIED.to_owned());
    }
    errors
}

/// A label's value: empty or at most 63 of `A-Za-z0-9_.-`, with an alphanumeric at both ends.
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = too_long(text, 63, "bytes");
    if !text.is_empty() && !is_qualified_part(text) {
        errors.push(LABEL_VALUE.to_owned());
    }
    errors
}

/// An RFC 1035 label: at most 63 of `a-z0-9-`, a letter first and an alphanumeric last.
pub fn dns_1035_label(text: &str) -> Vec<String> {
    let mut errors = too_long(text, 63, "characters");
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !first || !is_label(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        errors.push(DNS_1035_LABEL.to_owned());
    }
    errors
}

/// A subdomain below `*.`, which stands for one label.
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut errors = too_long(text, 253, "characters");
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        errors.push(WILDCARD_SUBDOMAIN.to_owned());
    }
    errors
}

/// A domain, a slash and a path; what is wrong, with the part that it is wrong in.
pub fn domain_prefixed_path(text: &str) -> Vec<(&str, String)> {
    let parts = text.split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty());
    let Some((host, path)) = parts else {
        return vec![(text, "must be a domain-prefixed path (such as \"acme.io/foo\")".to_owned())];
    };
    let mut faults: Vec<_> = dns_subdomain(host).into_iter().map(|why| (host, why)).collect();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    if !path.bytes().all(good) {
        faults.push((path, PATH.to_owned()));
    }
    faults
}

/// A domain of two labels at least, of which each is one by itself; what is wrong, with the part that it is wrong in.
pub fn domain(text: &str) -> Option<(&str, String)> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let faults = dns_subdomain(name);
    if !faults.is_empty() {
        return Some((name, faults.join(",")));
    }
    if !name.contains('.') {
        return Some((name, "should be a domain with at least two segments separated by dots".to_owned()));
    }
    let labels = name.split('.').map(|label| (label, dns_label(label)));
    labels.filter(|(_, faults)| !faults.is_empty()).map(|(label, faults)| (label, faults.join(","))).next()
}

/// A key of a ConfigMap or a Secret, which becomes the name of a file.
pub fn config_key(text: &str) -> Vec<String> {
    let mut errors = too_long(text, 253, "characters");
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(good) {
        errors.push(CONFIG_KEY.to_owned());
    }
    match text {
        "." | ".." => errors.push(format!("must not be '{text}'")),
        _ if text.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// What can stand in a path between two slashes.
pub fn path_segment(text: &str) -> Vec<String> {
    match text {
        "." | ".." => vec![format!("may not be '{text}'")],
        _ => path_segment_prefix(text),
    }
}

/// What a path segment can begin with.
pub fn path_segment_prefix(text: &str) -> Vec<String> {
    let found = ["/", "%"].into_iter().filter(|part| text.contains(part));
    found.map(|part| format!("may not contain '{part}'")).collect()
}

/// A search domain of the resolver: like [`dns_subdomain`] with underscores inside its labels and before them.
pub fn search_domain(text: &str) -> Vec<String> {
    let mut errors = too_long(text, 253, "characters");
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = text.split('.').all(|part| {
        is_part(part.strip_prefix('_').unwrap_or(part), edge, |byte| matches!(byte, b'-' | b'_'))
    });
    if !good {
        errors.push(SEARCH_DOMAIN.to_owned());
    }
    errors
}

/// The name of a container's port: at most 15 of `a-z0-9-`, one letter at least, no hyphen at an end or doubled.
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = too_long(text, 15, "characters");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// The name of an environment variable: printable ASCII without `=`.
pub fn env_var_name(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .to_owned(),
    ]
}

/// The name of an HTTP header in a probe.
pub fn http_header_name(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Vec::new();
    }
    vec![HTTP_HEADER.to_owned()]
}

/// The name of a sysctl, with dots or slashes.
pub fn is_sysctl_name(text: &str) -> bool {
    text.len() <= 253
        && text.split(['.', '/']).all(|part| {
            is_part(
                part,
                |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(),
                |byte| matches!(byte, b'-' | b'_'),
            )
        })
}

const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and \
    must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const DNS_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
    or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_1035_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with \
    an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const WILDCARD_SUBDOMAIN: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS \
    subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric \
    character (e.g. '*.example.com', regex used for validation is \
    '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
    'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const PATH: &str = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
const SEARCH_DOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', \
    '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
    is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const HTTP_HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. \
    'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";

fn too_long(text: &str, most: usize, noun: &str) -> Vec<String> {
    if text.len() > most { vec![format!("must be no more than {most} {noun}")] } else { Vec::new() }
}

fn is_label(text: &str, edge: impl Fn(u8) -> bool) -> bool {
    is_part(text, edge, |byte| byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|part| is_label(part, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

fn is_qualified_part(text: &str) -> bool {
    is_part(text, |byte| byte.is_ascii_alphanumeric(), |byte| matches!(byte, b'-' | b'_' | b'.'))
}

/// Not empty, `edge` bytes at both ends, and `edge` or `inner` ones between.
fn is_part(text: &str, edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    edge(first) && edge(last) && bytes.iter().all(|&byte| edge(byte) || inner(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_takes_its_names_and_refuses_others() {
        type Form = fn(&str) -> Vec<String>;
        let cases: [(Form, &[&str], &[&str]); 10] = [
            (dns_label, &["a", "a-1", "1"], &["", "A", "-a", "a-", "a.b", "a_b"]),
            (dns_subdomain, &["a", "a.b-c.1"], &["", "a..b", ".a", "A.b", "a_b"]),
            (qualified_name, &["a", "A_b.c", "a.b/C"], &["", "/a", "a/", "a/b/c", "A/b", "-a"]),
            (label_value, &["", "A_b", "1"], &["-", "a b", "é"]),
            (port_name, &["web", "a-1"], &["", "1", "a--b", "-a", "waytoolongportname", "A"]),
            (dns_1035_label, &["a", "a-1"], &["", "1a", "a.b", "a-"]),
            (wildcard_subdomain, &["*.a", "*.a.b"], &["", "*", "a.b", "*.*.a", "*.A"]),
            (config_key, &["a", "A_b.c-1", ".a"], &["", "a b", ".", "..", "..a"]),
            (path_segment, &["", "a:b", "A"], &[".", "..", "a/b", "a%"]),
            (env_var_name, &["A", "a.b", "a b", "1"], &["", "a=b", "é"]),
        ];
        for (form, good, bad) in cases {
            for name in good {
                assert_eq!(form(name), Vec::<String>::new(), "{name}");
            }
            for name in bad {
                assert!(!form(name).is_empty(), "{name}");
            }
        }
    }

    #[test]
    fn domains_may_have_paths() {
        assert!(domain_prefixed_path("a.b/c/d").is_empty() && domain("a.b.").is_none());
        let faults = ["a", "/a", "a/", "A/b", "a/b c"].map(|text| domain_prefixed_path(text).len());
        assert_eq!(faults, [1; 5]);
        assert!(
            ["", "a", "a..b", &format!("{}.b", "x".repeat(64))].iter().all(|text| domain(text).is_some())
        );
    }

    #[test]
    fn lengths_are_bounded() {
        let long = "x".repeat(64);
        assert_eq!(dns_label(&long), ["must be no more than 63 characters"]);
        assert_eq!(label_value(&long), ["must be no more than 63 bytes"]);
        assert_eq!(qualified_name(&long), ["name part must be no more than 63 bytes"]);
    }

    #[test]
    fn sysctls_may_use_slashes() {
        assert!(is_sysctl_name("net.ipv4.ip_local_port_range"));
        assert!(is_sysctl_name("net/ipv4/conf/eth0/forwarding"));
        assert!(!is_sysctl_name("Net.x") && !is_sysctl_name("a..b") && !is_sysctl_name(""));
    }
}
