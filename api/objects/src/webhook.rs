//! Where somebody else is asked: a URL, or a Service with a port and a path.

use serde_json::Value;

use crate::check::text;
use crate::{FieldError, Path, names};

/// Refuses a URL that is not of the form `https://host[/path]`.
pub(crate) fn check_url(errors: &mut Vec<FieldError>, url: &str, path: &Path) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut refuse = |value: &str, why: &str| errors.push(FieldError::invalid(path, value, why));
    if scheme.to_lowercase() != "https" {
        refuse(scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        refuse(host, &format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        refuse(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        refuse(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        refuse(query, "query parameters are not permitted in the URL");
    }
}

/// Refuses a reference to a Service that lacks something.
pub(crate) fn check_service(errors: &mut Vec<FieldError>, service: &Value, path: &Path) {
    // Upstream takes the one for the other, so this is the order of its errors.
    for field in ["namespace", "name"] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(&path.field(field), ""));
        }
    }
    check_port(errors, service, path);
    let (at, wanted) = (path.field("path"), text(service, "path"));
    let mut refuse = |why: &str| errors.push(FieldError::invalid(&at, wanted, why));
    match wanted {
        "" | "/" => return,
        "//" => return refuse("segment[0] may not be empty"),
        _ if !wanted.starts_with('/') => refuse("must start with a '/'"),
        _ => {}
    }
    let mut letters = wanted.chars();
    letters.next();
    let steps = letters.as_str();
    for (index, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            refuse(&format!("segment[{index}] may not be empty"));
        } else {
            names::dns_subdomain(step).iter().for_each(|why| refuse(&format!("segment[{index}]: {why}")));
        }
    }
}

/// Refuses a port that is none.
pub(crate) fn check_port(errors: &mut Vec<FieldError>, service: &Value, path: &Path) {
    let port = service["port"].as_i64().unwrap_or(0);
    if !(1..=65535).contains(&port) {
        let why = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(&path.field("port"), port, why));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn urls_have_a_host_and_a_path_only() {
        let count = |url: &str| {
            let mut errors = Vec::new();
            check_url(&mut errors, url, &Path::ROOT.field("url"));
            errors.len()
        };
        let urls =
            ["https://a/b", "http://a", "https:///b", "https://u@a", "https://a#b", "https://a?b", "x"];
        assert_eq!(urls.map(count), [0, 1, 1, 1, 1, 1, 2]);
    }

    #[test]
    fn services_have_names_and_paths_of_names() {
        let count = |service: Value| {
            let mut errors = Vec::new();
            check_service(&mut errors, &service, &Path::ROOT.field("service"));
            errors.len()
        };
        let of = |path: &str, port: i64| json!({"name": "a", "namespace": "n", "port": port, "path": path});
        assert_eq!([count(of("", 443)), count(of("/a/b/", 443)), count(of("/", 443))], [0, 0, 0]);
        assert_eq!([count(of("//", 443)), count(of("a", 443)), count(of("/a//b", 443))], [1, 2, 1]);
        assert_eq!([count(of("/A", 443)), count(of("", 0)), count(json!({"port": 1}))], [1, 1, 2]);
    }
}
