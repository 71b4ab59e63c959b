//! Who we are to a registry.

use api_cri::v1::AuthConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Credentials of one pull. Their `Debug` shows none of them.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Credentials {
    /// For basic authentication, and for the token service.
    pub(super) basic: Option<(String, String)>,
    /// A refresh token for the token service.
    pub(super) identity_token: Option<String>,
    /// A bearer token that the registry takes as it is.
    pub(super) registry_token: Option<String>,
    /// The only host that they are for, with its port; none is whichever the image comes from.
    server: Option<String>,
}

/// Docker Hub's hosts; its clients write down the second, and its registry is the third.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// What a kubelet sends. `auth` is base64 of `user:password` and stands in for the two.
    pub(crate) fn from_cri(config: Option<AuthConfig>) -> Result<Self, &'static str> {
        let Some(config) = config else { return Ok(Self::default()) };
        let given = |text: String| (!text.is_empty()).then_some(text);
        let basic = if !config.auth.is_empty() {
            let decoded = STANDARD.decode(config.auth.trim()).map_err(|_| "auth.auth is not base64")?;
            let text = String::from_utf8(decoded).map_err(|_| "auth.auth is not UTF-8")?;
            let (user, password) = text.split_once(':').ok_or("auth.auth is not USER:PASSWORD")?;
            Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
        } else {
            given(config.username).map(|user| (user, config.password))
        };
        Ok(Self {
            basic,
            identity_token: given(config.identity_token),
            registry_token: given(config.registry_token),
            server: given(config.server_address).map(|address| host_of(&address).to_owned()),
        })
    }

    /// What of them may be shown to a host, given with its port: all or nothing.
    pub(super) fn at(&self, host: &str) -> Self {
        let hub = |host: &str| DOCKER_HUB.contains(&host);
        match &self.server {
            Some(server) if server != host && !(hub(server) && hub(host)) => Self::default(),
            _ => self.clone(),
        }
    }

    /// The value of a basic `Authorization` header.
    pub(super) fn basic_header(&self) -> Option<String> {
        let (user, password) = self.basic.as_ref()?;
        Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }
}

/// Of an address as people write it: with a scheme and a path, or without.
fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_stands_in_for_user_and_password() {
        let config = AuthConfig { auth: STANDARD.encode("u:p:q"), ..AuthConfig::default() };
        let credentials = Credentials::from_cri(Some(config)).unwrap();
        assert_eq!(credentials.basic, Some(("u".into(), "p:q".into())));
        assert!(
            Credentials::from_cri(Some(AuthConfig { auth: "%".into(), ..AuthConfig::default() })).is_err()
        );
    }

    #[test]
    fn who_names_a_server_means_no_other() {
        for (server, host, given) in [
            ("", "any.example", true),
            ("https://a.example:5000/v2/", "a.example:5000", true),
            ("a.example", "a.example", true),
            ("a.example", "a.example:5000", false),
            ("https://a.example", "b.example", false),
            ("https://index.docker.io/v1/", "registry-1.docker.io", true),
        ] {
            let config =
                AuthConfig { username: "u".into(), server_address: server.into(), ..AuthConfig::default() };
            let credentials = Credentials::from_cri(Some(config)).unwrap();
            assert_eq!(credentials.at(host).basic.is_some(), given, "{server} at {host}");
        }
    }

    #[test]
    fn debugging_shows_no_secret() {
        let config = AuthConfig { username: "u".into(), password: "secret".into(), ..AuthConfig::default() };
        assert!(!format!("{:?}", Credentials::from_cri(Some(config)).unwrap()).contains("secret"));
    }
}
