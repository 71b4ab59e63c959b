//! Reading a kubeconfig: where the server is, and by what it knows who asks.
//!
//! What would have to run a program or trust anybody is refused by name.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;

/// A kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// It, or a file that it names, cannot be read.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is none.
    #[error("{}: {why}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// How to reach a server, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `host` and `port` of a server that speaks TLS.
    pub host: String,
    /// See there.
    pub port: u16,
    /// By what name its certificate is known, where that is not the host.
    pub name: Option<String>,
    /// Who signs its certificate, in PEM.
    pub authority: Vec<u8>,
    /// A certificate and its key in PEM, to be known by.
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
    /// A token to be known by.
    pub token: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
    contexts: Vec<NamedContext>,
    current_context: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: bool,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
    username: Option<String>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
}

impl Access {
    /// Reads a file. Paths in it are below its folder.
    ///
    /// # Errors
    /// When it cannot be read, or holds what is not supported here.
    pub fn load(path: &Path) -> Result<Self, KubeconfigError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| KubeconfigError::Read { path: path.to_owned(), source })
        };
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Self::parse(&text, |file| read(&folder.join(file))).map_err(|error| match error {
            Error::Read(error) => error,
            Error::Wrong(why) => KubeconfigError::Wrong { path: path.to_owned(), why },
        })
    }

    fn parse(text: &str, read: impl Fn(&Path) -> Result<Vec<u8>, KubeconfigError>) -> Result<Self, Error> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| Error::Wrong(error.to_string()))?;
        let current = file.current_context;
        let missing = |what: &str, name: &str| Error::Wrong(format!("there is no {what} {name:?}"));
        let context = file.contexts.into_iter().find(|context| context.name == current);
        let context = context.ok_or_else(|| missing("context", &current))?.context;
        let cluster = file.clusters.into_iter().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?.cluster;
        let user = file.users.into_iter().find(|user| user.name == context.user);
        let user = user.ok_or_else(|| missing("user", &context.user))?.user;
        for (given, what) in [
            (cluster.insecure_skip_tls_verify, "insecure-skip-tls-verify"),
            (cluster.proxy_url.is_some(), "proxy-url"),
            (user.exec.is_some(), "exec"),
            (user.auth_provider.is_some(), "auth-provider"),
            (user.username.is_some(), "username"),
        ] {
            if given {
                return Err(Error::Wrong(format!("{what} is not supported")));
            }
        }
        let bytes = |data: Option<String>, file: Option<PathBuf>| match (data, file) {
            (Some(data), _) => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(data.trim());
                decoded.map(Some).map_err(|error| Error::Wrong(error.to_string()))
            }
            (None, Some(file)) => read(&file).map(Some).map_err(Error::Read),
            (None, None) => Ok(None),
        };
        let uri: http::Uri =
            cluster.server.parse().map_err(|_| Error::Wrong(format!("{:?} is no URL", cluster.server)))?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") {
            return Err(Error::Wrong(format!("{:?} is no https://HOST:PORT", cluster.server)));
        }
        let authority = bytes(cluster.certificate_authority_data, cluster.certificate_authority)?;
        let certificate = bytes(user.client_certificate_data, user.client_certificate)?;
        let key = bytes(user.client_key_data, user.client_key)?;
        let token = match (user.token, user.token_file) {
            (Some(token), _) => Some(token),
            (None, Some(file)) => {
                let bytes = read(&file).map_err(Error::Read)?;
                Some(String::from_utf8_lossy(&bytes).trim().to_owned())
            }
            (None, None) => None,
        };
        Ok(Self {
            host: uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(443),
            name: cluster.tls_server_name,
            authority: authority
                .ok_or_else(|| Error::Wrong("it names no certificate-authority".to_owned()))?,
            certificate: certificate.zip(key),
            token,
        })
    }
}

enum Error {
    Read(KubeconfigError),
    Wrong(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: https://[::1]:6443\n    \
        certificate-authority: ca.crt\nusers:\n- name: u\n  user:\n    client-certificate-data: YQ==\n    \
        client-key-data: Yg==\n    token: t\ncontexts:\n- name: x\n  context: {cluster: c, user: u}\ncurrent-context: x\n";

    fn parse(text: &str) -> Result<Access, String> {
        let read = |path: &Path| Ok(path.display().to_string().into_bytes());
        Access::parse(text, read).map_err(|error| match error {
            Error::Wrong(why) => why,
            Error::Read(error) => error.to_string(),
        })
    }

    #[test]
    fn a_kubeconfig_says_where_and_who() {
        let access = parse(TEXT).unwrap();
        assert_eq!((access.host.as_str(), access.port), ("::1", 6443));
        assert_eq!((access.authority.as_slice(), access.token.as_deref()), (&b"ca.crt"[..], Some("t")));
        assert_eq!(access.certificate, Some((b"a".to_vec(), b"b".to_vec())));
    }

    #[test]
    fn what_is_missing_or_not_supported_is_named() {
        for (from, to, why) in [
            ("current-context: x", "current-context: y", "there is no context \"y\""),
            ("user: u}", "user: v}", "there is no user \"v\""),
            ("token: t", "exec: {command: x}", "exec is not supported"),
            (
                "certificate-authority: ca.crt",
                "insecure-skip-tls-verify: true",
                "insecure-skip-tls-verify is not supported",
            ),
            ("https://[::1]:6443", "http://a", "\"http://a\" is no https://HOST:PORT"),
        ] {
            assert_eq!(parse(&TEXT.replace(from, to)).unwrap_err(), why);
        }
    }
}
