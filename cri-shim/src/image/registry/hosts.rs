//! `hosts.toml`: where a registry's content may be had, in containerd's format.
//!
//! `DIR/REGISTRY/hosts.toml`, or `DIR/_default/hosts.toml`. Hosts are asked in the file's order, then the server.
//! What is not implemented is refused by its key: `skip_verify`, `client`, `header`.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::super::ImageError;

/// One place to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// With the API's path, `https://registry-1.docker.io/v2/`.
    pub(super) base: Url,
    /// Whether it may say what a tag is; else it is asked for digests only.
    pub(super) resolves: bool,
    /// Certificates that are trusted besides the system's.
    pub(super) ca: Vec<PathBuf>,
    /// `ns=REGISTRY` is added for a mirror, which may serve several registries.
    pub(super) namespace: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    server: Option<String>,
    host: toml::Table,
    #[serde(flatten)]
    defaults: Settings,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Settings {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMany>,
    override_path: bool,
    #[serde(flatten)]
    others: toml::Table,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

/// Where to ask for a registry's content.
pub(super) fn hosts(folder: &Path, registry: &str) -> Result<Vec<Host>, ImageError> {
    for name in [registry, "_default"] {
        let path = folder.join(name).join("hosts.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                return parse(&text, registry, path.parent().unwrap_or(folder))
                    .map_err(|reason| ImageError::Hosts { path, reason });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ImageError::io("reading", path)(error)),
        }
    }
    let server = Host { base: default_server(registry), resolves: true, ca: Vec::new(), namespace: None };
    Ok(vec![server])
}

fn parse(text: &str, registry: &str, folder: &Path) -> Result<Vec<Host>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut hosts = Vec::new();
    // toml keeps the order of tables with its preserve_order feature only; the file's own order is found in the text.
    let mut entries: Vec<_> = file.host.into_iter().collect();
    entries
        .sort_by_key(|(url, _)| text.find(&format!("\"{url}\"")).or_else(|| text.find(&format!("'{url}'"))));
    for (url, table) in entries {
        let settings: Settings = table.try_into().map_err(|error| format!("host.{url:?}: {error}"))?;
        let mut host = host(&url, settings, folder).map_err(|reason| format!("host.{url:?}: {reason}"))?;
        host.namespace = Some(registry.into());
        hosts.push(host);
    }
    let server = match &file.server {
        Some(url) => host(url, file.defaults, folder).map_err(|reason| format!("server: {reason}"))?,
        None => {
            let mut server = host(default_server(registry).as_str(), file.defaults, folder)?;
            server.base = default_server(registry);
            server
        }
    };
    hosts.push(server);
    Ok(hosts)
}

fn host(url: &str, settings: Settings, folder: &Path) -> Result<Host, String> {
    if let Some((key, value)) = settings.others.iter().next() {
        return Err(format!("{key} = {value} is not implemented"));
    }
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
    let mut base = Url::parse(&with_scheme).map_err(|error| format!("{url}: {error}"))?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err(format!("{url} is neither http://HOST nor https://HOST"));
    }
    let path = base.path().trim_end_matches('/').to_owned();
    let path = if settings.override_path || path.ends_with("/v2") { path } else { path + "/v2" };
    base.set_path(&(path + "/"));
    let capabilities = settings.capabilities.unwrap_or_else(|| vec!["pull".into(), "resolve".into()]);
    if let Some(unknown) = capabilities.iter().find(|c| !matches!(c.as_str(), "pull" | "resolve" | "push")) {
        return Err(format!("capability {unknown:?} is unknown (known: pull, resolve, push)"));
    }
    let ca = match settings.ca {
        None => Vec::new(),
        Some(OneOrMany::One(path)) => vec![path],
        Some(OneOrMany::Many(paths)) => paths,
    };
    Ok(Host {
        base,
        resolves: capabilities.iter().any(|capability| capability == "resolve"),
        ca: ca.into_iter().map(|path| folder.join(path)).collect(),
        namespace: None,
    })
}

/// A registry without a file: HTTPS, but HTTP on this machine's own loopback, as every container engine has it.
fn default_server(registry: &str) -> Url {
    let address = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let host = registry.split(':').next().unwrap_or_default();
    let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let scheme = if local { "http" } else { "https" };
    let text = format!("{scheme}://{address}/v2/");
    // A registry that passed the reference's parser is a valid authority.
    Url::parse(&text).unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::reference::Reference;

    fn bases(text: &str) -> Vec<String> {
        let hosts = parse(text, "docker.io", Path::new("/etc/x")).unwrap();
        hosts.iter().map(|host| host.base.to_string()).collect()
    }

    #[test]
    fn mirrors_come_first_in_the_files_order_and_the_server_last() {
        let text = "[host.\"http://z.local:5000\"]\n[host.\"https://a.local\"]\ncapabilities = ['pull']\n";
        let expected = ["http://z.local:5000/v2/", "https://a.local/v2/", "https://registry-1.docker.io/v2/"];
        assert_eq!(bases(text), expected);
    }

    #[test]
    fn a_path_can_be_overridden() {
        let text = "server = 'https://r.io'\n[host.'https://m.io/harbor/v2']\noverride_path = true\n";
        assert_eq!(bases(text), ["https://m.io/harbor/v2/", "https://r.io/v2/"]);
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        for (text, named) in [
            ("[host.'https://m']\nskip_verify = true\n", "skip_verify"),
            ("[host.'https://m']\ncapabilities = ['pul']\n", "pul"),
            ("[host.'ftp://m']\n", "ftp://m"),
            ("servr = 'x'\n", "servr"),
        ] {
            let error = parse(text, "docker.io", Path::new("/")).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_mirror_without_resolve_is_asked_for_digests_only() {
        let hosts = parse("[host.'https://m']\ncapabilities = ['pull']\n", "r.io", Path::new("/")).unwrap();
        assert_eq!(hosts.iter().map(|host| host.resolves).collect::<Vec<_>>(), [false, true]);
    }

    proptest::proptest! {
        #[test]
        fn every_name_that_may_be_pulled_has_a_server(text in "[a-z0-9.:/-]{1,40}") {
            if let Ok(reference) = Reference::parse(&text) {
                default_server(&reference.registry);
            }
        }

        #[test]
        fn no_file_makes_it_panic(text in "(?s).{0,200}", host in "[a-z0-9./:'\"-]{0,30}") {
            let _ = parse(&text, "docker.io", Path::new("/"));
            let _ = parse(&format!("server = '{host}'\n[host.\"{host}\"]\nca = 'x'\n"), "docker.io", Path::new("/"));
        }
    }

    #[test]
    fn loopback_is_http_without_a_file() {
        for (registry, base) in [
            ("127.0.0.1:5000", "http://127.0.0.1:5000/v2/"),
            ("localhost", "http://localhost/v2/"),
            ("ghcr.io", "https://ghcr.io/v2/"),
        ] {
            assert_eq!(default_server(registry).to_string(), base);
        }
    }
}
