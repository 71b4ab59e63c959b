//! Acting as somebody else, by the headers `Impersonate-User`, `-Group`, `-Uid` and `-Extra-…`.
//!
//! Two ways lead there. Constrained, since 1.36: the verb `impersonate:MODE` on the user and
//! `impersonate-on:MODE:VERB` on what is to be done, where the mode says what kind of user it is. And the old way:
//! the verb `impersonate` on user, groups, uid and extra, for whatever is done. The first way that is open is taken;
//! when none is, the first refusal is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::quote::quoted;
use super::{
    ANONYMOUS, AUTHENTICATED, Action, Authorizer, MASTERS, NODE_USER, NODES, Resource, Status, Target,
    UNAUTHENTICATED, User, forbidden, service_account_groups, split_service_account, token,
};

const GROUP: &str = "authentication.k8s.io";
/// From this many groups or extras on, one question for all of them goes first.
const MANY: usize = 4;

/// Who is to act, given who asks, the request's headers (names in lower case) and what is to be done. `None` when
/// nobody else is.
///
/// # Errors
/// When the headers make no sense, or the user may not act as that one.
pub fn impersonate<'h>(
    user: &User,
    headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    action: &Action<'_>,
    authorizer: &dyn Authorizer,
) -> Result<Option<User>, Status> {
    let Some(wanted) = wanted(headers)? else { return Ok(None) };
    let ask = Ask { user, wanted: &wanted, authorizer };
    let mut first = None;
    for mode in Mode::ALL {
        if !mode.fits(user, &wanted) {
            continue;
        }
        match ask.on(mode, action).and_then(|()| ask.as_user(mode)) {
            Ok(acting) => return Ok(Some(acting)),
            Err(refusal) if first.is_none() => first = Some(refusal),
            Err(_) => {}
        }
    }
    Err(first.unwrap_or_else(|| Status::bad_request("no way to impersonate that user")))
}

/// The user that the headers ask for, as they have it.
fn wanted<'h>(headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> Result<Option<User>, Status> {
    let mut wanted = User::default();
    for (name, value) in headers {
        match name {
            "impersonate-user" if wanted.name.is_empty() => value.clone_into(&mut wanted.name),
            "impersonate-uid" if wanted.uid.is_empty() => value.clone_into(&mut wanted.uid),
            "impersonate-group" => wanted.groups.push(value.to_owned()),
            _ => {
                if let Some(key) = name.strip_prefix("impersonate-extra-") {
                    wanted.extra.entry(unescaped(key)).or_default().push(value.to_owned());
                }
            }
        }
    }
    if !wanted.name.is_empty() {
        return Ok(Some(wanted));
    }
    if wanted == User::default() {
        return Ok(None);
    }
    Err(Status::bad_request(format!("requested {} without impersonating a user name", go_syntax(&wanted))))
}

/// `%2F` and the like as what they stand for; a key that is not well escaped stays as it is.
fn unescaped(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) else {
                return key.to_owned();
            };
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

/// A user as the API's message shows it.
fn go_syntax(user: &User) -> String {
    let list = |list: &[String]| {
        let quoted: Vec<_> = list.iter().map(|one| quoted(one)).collect();
        if list.is_empty() {
            "[]string(nil)".to_owned()
        } else {
            format!("[]string{{{}}}", quoted.join(", "))
        }
    };
    let mut extra = "map[string][]string(nil)".to_owned();
    if !user.extra.is_empty() {
        let entries: Vec<_> =
            user.extra.iter().map(|(key, values)| format!("{}:{}", quoted(key), list(values))).collect();
        extra.truncate("map[string][]string".len());
        let _ = write!(extra, "{{{}}}", entries.join(", "));
    }
    let (name, uid, groups) = (quoted(&user.name), quoted(&user.uid), list(&user.groups));
    format!("&user.DefaultInfo{{Name:{name}, UID:{uid}, Groups:{groups}, Extra:{extra}}}")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A service account as the node that it runs on.
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    /// Anybody who is neither.
    UserInfo,
    Legacy,
}

fn node_name(user: &str) -> Option<&str> {
    let name = user.strip_prefix(NODE_USER)?;
    api_objects::names::dns_subdomain(name).is_empty().then_some(name)
}

impl Mode {
    const ALL: [Self; 5] =
        [Self::AssociatedNode, Self::ArbitraryNode, Self::ServiceAccount, Self::UserInfo, Self::Legacy];

    /// Its name in verbs; the old way has none.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::AssociatedNode => Some("associated-node"),
            Self::ArbitraryNode => Some("arbitrary-node"),
            Self::ServiceAccount => Some("serviceaccount"),
            Self::UserInfo => Some("user-info"),
            Self::Legacy => None,
        }
    }

    /// Is it about such a user?
    fn fits(self, user: &User, wanted: &User) -> bool {
        let (node, account) = (node_name(&wanted.name), split_service_account(&wanted.name));
        let only_name = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        match self {
            Self::AssociatedNode => {
                let own = user.extra.get(token::NODE_NAME).map(Vec::as_slice);
                only_name
                    && split_service_account(&user.name).is_some()
                    && node.is_some_and(|node| matches!(own, Some([own]) if own == node))
            }
            Self::ArbitraryNode => only_name && node.is_some(),
            Self::ServiceAccount => only_name && account.is_some(),
            Self::UserInfo => node.is_none() && account.is_none(),
            Self::Legacy => true,
        }
    }
}

struct Ask<'a> {
    user: &'a User,
    wanted: &'a User,
    authorizer: &'a dyn Authorizer,
}

impl Ask<'_> {
    fn may(&self, mode: Mode, verb: &str, target: Target<'_>) -> Result<(), Status> {
        let action = Action { verb, target };
        let verdict = if mode == Mode::AssociatedNode {
            // An answer holds for the account on every node, so what is said of it is no node's either.
            let keys = self.user.extra.keys().cloned().collect();
            let key = "authentication.kubernetes.io/associated-node-keys".to_owned();
            let user = User { extra: BTreeMap::from([(key, keys)]), ..self.user.clone() };
            self.authorizer.authorize(&user, &action)
        } else {
            self.authorizer.authorize(self.user, &action)
        };
        if verdict.allowed { Ok(()) } else { Err(forbidden(self.user, &action, &verdict.reason)) }
    }

    /// May this be done in that mode?
    fn on(&self, mode: Mode, action: &Action<'_>) -> Result<(), Status> {
        let Some(name) = mode.name() else { return Ok(()) };
        self.may(mode, &format!("impersonate-on:{name}:{}", action.verb), action.target)
    }

    /// The user to act as, when every part of it may be taken on.
    fn as_user(&self, mode: Mode) -> Result<User, Status> {
        let wanted = self.wanted;
        let mut acting = wanted.clone();
        let verb = mode.name().map_or("impersonate".to_owned(), |name| format!("impersonate:{name}"));
        let constrained = mode != Mode::Legacy;
        let group = if constrained { GROUP } else { "" };
        let ask = |group, resource, subresource, namespace, name| {
            let on = Resource { group, resource, subresource, namespace, name, fields: &[] };
            self.may(mode, &verb, Target::Resource(on))
        };
        let refuse = |resource, name, why: &str| {
            let on = Resource {
                group: if resource == "groups" { group } else { GROUP },
                resource,
                name,
                ..Resource::default()
            };
            forbidden(self.user, &Action::on(&verb, on), why)
        };

        if let Some((namespace, name)) = split_service_account(&wanted.name) {
            if wanted.groups.is_empty() {
                acting.groups = service_account_groups(namespace);
            }
            ask(group, "serviceaccounts", "", namespace, name)?;
        } else if let Some(node) = node_name(&wanted.name).filter(|_| constrained) {
            acting.groups = vec![NODES.to_owned()];
            ask(group, "nodes", "", "", if mode == Mode::AssociatedNode { "*" } else { node })?;
        } else {
            ask(group, "users", "", "", &wanted.name)?;
        }
        if !wanted.uid.is_empty() {
            ask(GROUP, "uids", "", "", &wanted.uid)?;
        }
        if constrained && wanted.groups.iter().any(String::is_empty) {
            return Err(refuse("groups", "", "impersonating the empty string group is not allowed"));
        }
        if constrained && wanted.in_group(MASTERS) {
            return Err(refuse("groups", MASTERS, "impersonating the system:masters group is not allowed"));
        }
        let all = constrained && wanted.groups.len() >= MANY && ask(group, "groups", "", "", "*").is_ok();
        for one in wanted.groups.iter().filter(|_| !all) {
            ask(group, "groups", "", "", one)?;
        }
        if constrained {
            check_extra(&wanted.extra).map_err(|why| refuse("userextras", "", &why))?;
        }
        let values = wanted.extra.values().map(Vec::len).sum::<usize>();
        let all = constrained && values >= MANY && ask(GROUP, "userextras", "*", "", "*").is_ok();
        for (key, values) in wanted.extra.iter().filter(|_| !all) {
            for value in values {
                ask(GROUP, "userextras", key, "", value)?;
            }
        }
        let class = if acting.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
        if !acting.in_group(class) && !acting.in_group(UNAUTHENTICATED) {
            acting.groups.push(class.to_owned());
        }
        Ok(acting)
    }
}

fn check_extra(extra: &BTreeMap<String, Vec<String>>) -> Result<(), String> {
    for (key, values) in extra {
        if key.is_empty() {
            return Err("impersonating the empty string key in extra is not allowed".to_owned());
        }
        let path = key.split_once('/');
        if !path.is_some_and(|(domain, path)| {
            api_objects::names::dns_subdomain(domain).is_empty() && !path.is_empty()
        }) {
            let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            let key = quoted(key);
            return Err(format!(
                "impersonating an invalid key in extra is not allowed: extra.key: Invalid value: {key}: {why}"
            ));
        }
        if key.chars().any(char::is_uppercase) {
            return Err(format!(
                "impersonating a non-lowercase key in extra is not allowed: {}",
                quoted(key)
            ));
        }
        if values.iter().any(String::is_empty) {
            return Err("impersonating the empty string value in extra is not allowed".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
