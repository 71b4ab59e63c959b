//! What a request asks for, read from its method, path and query alone.
//!
//! ```text
//!   /api/VERSION/…              the core group
//!   /apis/GROUP/VERSION/…
//!     RESOURCE[/NAME[/SUBRESOURCE[/…]]]                           cluster-wide
//!     namespaces/NAMESPACE/RESOURCE[/NAME[/SUBRESOURCE[/…]]]      in a namespace
//!     namespaces[/NAME[/status|finalize]]                         namespaces themselves
//!     watch/…                                                     an old spelling of ?watch=1
//! ```

use http::Method;

use super::query::{Query, decode};

/// A request's object, or its path where it is about none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInfo {
    /// The verb that authorization asks about: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
    /// `deletecollection`; for a path the method in small letters.
    pub verb: &'static str,
    /// The path as it was sent.
    pub path: String,
    /// None for a path that names no object.
    pub target: Option<Target>,
}

/// Which objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Empty for the core group.
    pub group: String,
    /// `v1`.
    pub version: String,
    /// Empty where there is none, or where all are meant. A namespace's own name counts as its namespace.
    pub namespace: String,
    /// `pods`.
    pub resource: String,
    /// Empty for a collection.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// What stands behind the subresource, without a slash at its beginning.
    pub rest: String,
}

/// Behind a namespace's name these are its own subresources, and no resources in it.
const OF_NAMESPACES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Reads a request line.
    pub fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let mut info = Self { verb: plain_verb(method), path: path.to_owned(), target: None };
        let parts: Vec<String> =
            path.trim_matches('/').split('/').filter(|p| !p.is_empty()).map(decode_segment).collect();
        let mut parts = parts.as_slice();
        let (group, after) = match parts {
            [api, version, after @ ..] if api == "api" && !after.is_empty() => {
                ((String::new(), version), after)
            }
            [apis, group, version, after @ ..] if apis == "apis" && !after.is_empty() => {
                ((group.clone(), version), after)
            }
            _ => return info,
        };
        parts = after;
        let mut target = Target { group: group.0, version: group.1.clone(), ..Target::default() };
        let mut watch = false;
        if let [first, after @ ..] = parts
            && first == "watch"
            && !after.is_empty()
        {
            watch = true;
            parts = after;
        }
        if let [first, namespace, after @ ..] = parts
            && first == "namespaces"
        {
            target.namespace.clone_from(namespace);
            if after.first().is_some_and(|next| !OF_NAMESPACES.contains(&next.as_str())) {
                parts = after;
            }
        }
        let part = |at: usize| parts.get(at).cloned().unwrap_or_default();
        (target.resource, target.name, target.subresource) = (part(0), part(1), part(2));
        target.rest = parts.get(3..).unwrap_or_default().join("/");
        info.verb = match (method.as_str(), target.name.is_empty()) {
            _ if watch => "watch",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", false) => "delete",
            ("DELETE", true) => "deletecollection",
            ("GET" | "HEAD", true) if query.flag("watch") => "watch",
            ("GET" | "HEAD", true) => "list",
            ("GET" | "HEAD", false) => "get",
            _ => "",
        };
        info.target = Some(target);
        info
    }
}

/// A segment may hold any byte by its number; one that is not UTF-8 then names nothing.
fn decode_segment(segment: &str) -> String {
    decode(segment, false)
}

fn plain_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(method: &str, uri: &str) -> RequestInfo {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(query))
    }

    #[test]
    fn paths_name_what_they_ask_for() {
        // verb; group, version, namespace, resource, name, subresource, rest
        for (method, uri, expected) in [
            ("GET", "/api/v1/pods", "list;,v1,,pods,,,"),
            ("GET", "/api/v1/pods?watch=1", "watch;,v1,,pods,,,"),
            ("GET", "/api/v1/pods?watch=false", "list;,v1,,pods,,,"),
            ("GET", "/api/v1/watch/pods", "watch;,v1,,pods,,,"),
            ("GET", "/api/v1/watch/namespaces/a/pods/b", "watch;,v1,a,pods,b,,"),
            ("POST", "/api/v1/namespaces/a/pods", "create;,v1,a,pods,,,"),
            ("GET", "/apis/apps/v1/namespaces/a/deployments/d", "get;apps,v1,a,deployments,d,,"),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/d/scale/",
                "patch;apps,v1,a,deployments,d,scale,",
            ),
            ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection;apps,v1,a,deployments,,,"),
            ("GET", "/api/v1/nodes/n/proxy/a/b", "get;,v1,,nodes,n,proxy,a/b"),
            ("GET", "/api/v1/namespaces", "list;,v1,,namespaces,,,"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update;,v1,a,namespaces,a,finalize,"),
            ("DELETE", "/api/v1/namespaces/a", "delete;,v1,a,namespaces,a,,"),
            ("GET", "/api/v1/namespaces/a/pods/p%2Fq", "get;,v1,a,pods,p/q,,"),
        ] {
            let info = parse(method, uri);
            let t = info.target.unwrap();
            let found =
                [t.group, t.version, t.namespace, t.resource, t.name, t.subresource, t.rest].join(",");
            assert_eq!(format!("{};{found}", info.verb), expected, "{method} {uri}");
        }
    }

    #[test]
    fn other_paths_name_no_object() {
        for uri in
            ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/zz/v1/pods", "//"]
        {
            let info = parse("GET", uri);
            assert_eq!((info.verb, info.target), ("get", None), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "/[a-c/%0-9é]{0,40}", query in "[a-c=&%+0-9]{0,20}") {
            let _ = RequestInfo::parse(&Method::GET, &path, &Query::parse(&query));
        }
    }
}
