//! Who asks: the first credential that is good decides; none at all is the anonymous user, a bad one is refused.

use jiff::Timestamp;
use serde_json::Value;

use super::quote::aggregated;
use super::token::{Bound, Live, Verified, Verifier};
use super::{ANONYMOUS, AUTHENTICATED, BootstrapToken, UNAUTHENTICATED, User, certificate, tls};

/// What a request brings along.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// The certificates of the TLS handshake in DER, the client's own first. The handshake proved that the client
    /// holds its key; nobody has looked at who signed it yet.
    pub certificates: &'a [Vec<u8>],
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
}

/// What tokens are about.
pub trait Lookup {
    /// An object that a token is bound to, by kind, namespace and name.
    fn live(&self, kind: Bound, namespace: &str, name: &str) -> Option<Live>;
    /// A Secret of `kube-system`.
    fn bootstrap_secret(&self, name: &str) -> Option<Value>;
}

/// No credential is good: the answer is 401.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unauthenticated(pub String);

/// Says who asks.
#[derive(Debug)]
pub struct Authenticator {
    /// Who signs client certificates.
    pub clients: tls::Authorities,
    /// What tokens are verified with.
    pub tokens: Verifier,
    /// May a request without credentials be made at all? What it may do is for authorization to say; by default
    /// that is to read health, version and discovery of the issuer.
    pub anonymous: bool,
}

impl Authenticator {
    /// Who makes a request to this server?
    ///
    /// # Errors
    /// When a credential was presented and none is good, or none was and anonymous requests are off.
    pub fn authenticate(
        &self,
        presented: &Presented<'_>,
        lookup: &dyn Lookup,
        now: Timestamp,
    ) -> Result<User, Unauthenticated> {
        let mut errors = Vec::new();
        match self.by_certificate(presented.certificates, now) {
            Ok(Some(user)) => return Ok(authenticated(user)),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
        if let Some(token) = presented.authorization.and_then(bearer) {
            match self.token(token, &[], lookup, now) {
                Ok(verified) => return Ok(verified.user),
                Err(Unauthenticated(error)) => errors.push(error),
            }
        }
        match errors.is_empty() {
            true if self.anonymous => Ok(User::anonymous()),
            true => Err(Unauthenticated("no credentials were given".to_owned())),
            false => Err(Unauthenticated(aggregated(&errors))),
        }
    }

    fn by_certificate(&self, certificates: &[Vec<u8>], now: Timestamp) -> Result<Option<User>, String> {
        let Some(own) = certificates.first() else { return Ok(None) };
        self.clients.verify(certificates, now)?;
        certificate::user(own)
    }

    /// Who does this token stand for, and for which of the wanted audiences (this server when there are none)?
    ///
    /// # Errors
    /// Why it is good for nothing.
    pub fn token(
        &self,
        token: &str,
        audiences: &[String],
        lookup: &dyn Lookup,
        now: Timestamp,
    ) -> Result<Verified, Unauthenticated> {
        let find = |kind, namespace: &str, name: &str| lookup.live(kind, namespace, name);
        match self.tokens.verify(token, audiences, find, now) {
            Ok(Some(verified)) => {
                return Ok(Verified { user: authenticated(verified.user), ..verified });
            }
            Ok(None) => {}
            Err(why) => return Err(Unauthenticated(why)),
        }
        let ours = &self.tokens.audiences;
        let audiences: Vec<_> =
            ours.iter().filter(|one| audiences.is_empty() || audiences.contains(one)).cloned().collect();
        BootstrapToken::parse(token)
            .filter(|_| !audiences.is_empty())
            .and_then(|token| token.user(&lookup.bootstrap_secret(&token.secret_name())?, now))
            .map(|user| Verified { user: authenticated(user), audiences })
            .ok_or_else(|| Unauthenticated("invalid bearer token".to_owned()))
    }
}

/// The token of a header `Authorization: Bearer TOKEN`.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    let token = rest.split(' ').next().filter(|token| !token.is_empty())?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// Whoever is somebody is in a group of all who are.
fn authenticated(mut user: User) -> User {
    if user.name != ANONYMOUS && !user.in_group(AUTHENTICATED) && !user.in_group(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

#[cfg(test)]
mod tests;
