//! Who asks, and whether they may: authentication and authorization stand in the way of every request.
//!
//! ```text
//!   peer, headers ──▶ authenticate ──▶ impersonate ──▶ authorize ──▶ the request
//!                        │                                │
//!                     accounts, pods, secrets          policy: roles and bindings, what leads to which node,
//!                     from the watch cache             followed in the watch cache
//! ```

mod accounts;
mod action;
mod policy;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::auth::{self, Action, Authenticator, Authorizer as _, Presented, User, ca, token};
use super::cache::Caches;
use super::http::request;
use super::kinds::{Registry, RowError};
use super::status::Status;
use accounts::Accounts;
pub(super) use action::Asked;
pub use policy::Policy;

/// So long a certificate that was found good is not looked at again on its connection.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// Who is at the other end of a connection.
pub enum Peer {
    /// Somebody who showed these certificates in the handshake, or none.
    Shown(Shown),
    /// This user: only they can reach the server this way.
    Known(User),
}

/// The certificates that a client showed, in DER and its own first.
#[derive(Default)]
pub struct Shown {
    certificates: Vec<Vec<u8>>,
    /// Who they are of, and when that was found out.
    user: Mutex<Option<(Instant, User)>>,
}

impl Shown {
    /// What the handshake tells.
    pub fn new(certificates: Vec<Vec<u8>>) -> Self {
        Self { certificates, user: Mutex::default() }
    }

    fn known(&self) -> Option<User> {
        let known = self.user.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(since, _)| since.elapsed() < KNOWN_FOR).map(|(_, user)| user.clone())
    }
}

/// What the server proves its clients by, and signs with.
#[derive(Debug)]
pub struct Security {
    /// Says who shows which credentials.
    pub authenticator: Authenticator,
    /// Makes service-account tokens.
    pub issuer: token::Issuer,
    /// Signs certificates of clients and kubelets.
    pub authority: ca::Pair,
}

/// Lets requests in.
pub struct Access {
    security: Option<Security>,
    accounts: Accounts,
    policy: Arc<Policy>,
}

impl Access {
    /// Without `security`, only [`Peer::Known`] is let in.
    pub(super) fn new(kinds: &Registry, security: Option<Security>) -> Result<Self, RowError> {
        Ok(Self { security, accounts: Accounts::new(kinds)?, policy: Policy::new(kinds)? })
    }

    /// What the rules say at the moment.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The objects that tokens are about, as they are now.
    pub(super) async fn accounts(&self, caches: &Arc<Caches>) -> Result<impl auth::Lookup + use<>, Status> {
        self.accounts.now(caches).await
    }

    /// What the server signs with.
    pub fn security(&self) -> Option<&Security> {
        self.security.as_ref()
    }

    /// Who is to be taken as asking, when they may ask for that.
    pub(super) async fn admit(
        &self,
        caches: &Arc<Caches>,
        peer: &Peer,
        headers: &HeaderMap,
        asked: &Asked<'_>,
    ) -> Result<User, Status> {
        let user = self.authenticate(caches, peer, headers).await?;
        let action = asked.action();
        match self.may(&user, headers, &action) {
            // A rule may have come that is not known here yet.
            Err(status) if !self.policy.is_current(caches).await => {
                tracing::debug!(%status, "refused by rules that may be old");
                self.policy.catch_up(caches).await?;
                self.may(&user, headers, &action)
            }
            decided => decided,
        }
    }

    async fn authenticate(
        &self,
        caches: &Arc<Caches>,
        peer: &Peer,
        headers: &HeaderMap,
    ) -> Result<User, Status> {
        let shown = match peer {
            Peer::Known(user) => return Ok(user.clone()),
            Peer::Shown(shown) => shown,
        };
        let Some(Security { authenticator, .. }) = &self.security else { return Err(Status::unauthorized()) };
        if let Some(user) = shown.known() {
            return Ok(user);
        }
        let authorization = request::text(headers, &AUTHORIZATION);
        let accounts = match authorization {
            Some(_) => self.accounts.now(caches).await?,
            None => accounts::Now::default(),
        };
        let presented = Presented { certificates: &shown.certificates, authorization };
        match authenticator.authenticate(&presented, &accounts, jiff::Timestamp::now()) {
            Ok(user) => {
                // Only who they are by their certificate holds for the next request as well.
                if !shown.certificates.is_empty() && authorization.is_none() {
                    let mut known = shown.user.lock().unwrap_or_else(PoisonError::into_inner);
                    *known = Some((Instant::now(), user.clone()));
                }
                Ok(user)
            }
            Err(why) => {
                tracing::debug!(%why, "nobody's credentials");
                Err(Status::unauthorized())
            }
        }
    }

    fn may(&self, user: &User, headers: &HeaderMap, action: &Action<'_>) -> Result<User, Status> {
        self.policy.ask(|chain| {
            let texts =
                headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            let user = auth::impersonate(user, texts, action, chain)?.unwrap_or_else(|| user.clone());
            let verdict = chain.authorize(&user, action);
            if verdict.allowed { Ok(user) } else { Err(auth::forbidden(&user, action, &verdict.reason)) }
        })
    }
}
