//! Bootstrap tokens: `ID.SECRET`, kept in Secrets of `kube-system`, with which machines join.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::User;

const GROUP: &str = "system:bootstrappers";

/// A token of the right form; nothing is known of its worth yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootstrapToken<'a> {
    id: &'a str,
    secret: &'a str,
}

impl<'a> BootstrapToken<'a> {
    /// Six and sixteen characters of `a-z0-9` with a dot between them.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.split_once('.')?;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some(Self { id, secret })
    }

    /// The name of its Secret in `kube-system`.
    pub fn secret_name(&self) -> String {
        format!("bootstrap-token-{}", self.id)
    }

    /// Who it stands for, when that Secret says so.
    pub fn user(&self, secret: &Value, now: Timestamp) -> Option<User> {
        let data = |key: &str| {
            let bytes = STANDARD.decode(secret["data"][key].as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        };
        let there = secret["type"] == "bootstrap.kubernetes.io/token"
            && secret["metadata"]["deletionTimestamp"].is_null()
            && same(data("token-secret")?.as_bytes(), self.secret.as_bytes())
            && data("token-id")? == self.id
            && data("usage-bootstrap-authentication").as_deref() == Some("true");
        let alive = match data("expiration").filter(|text| !text.is_empty()) {
            None => true,
            Some(expiry) => expiry.parse::<Timestamp>().is_ok_and(|expiry| now < expiry),
        };
        if !there || !alive {
            return None;
        }
        let mut groups = BTreeSet::from([GROUP.to_owned()]);
        for group in
            data("auth-extra-groups").unwrap_or_default().split(',').filter(|group| !group.is_empty())
        {
            if !is_extra_group(group) {
                return None;
            }
            groups.insert(group.to_owned());
        }
        let name = format!("system:bootstrap:{}", self.id);
        Some(User { name, groups: groups.into_iter().collect(), ..User::default() })
    }
}

/// Compares in a time that does not tell how much of it is right.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// `system:bootstrappers:` and up to 256 of `a-z0-9:-`, the last one no sign.
fn is_extra_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix("system:bootstrappers:") else { return false };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    rest.len() <= 256
        && rest.bytes().last().is_some_and(plain)
        && rest.bytes().all(|byte| plain(byte) || matches!(byte, b':' | b'-'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOKEN: BootstrapToken<'static> = BootstrapToken { id: "abcdef", secret: "0123456789abcdef" };

    fn secret(change: (&str, Option<&str>)) -> Value {
        let mut data = serde_json::Map::new();
        for (key, value) in [
            ("token-id", Some("abcdef")),
            ("token-secret", Some("0123456789abcdef")),
            ("usage-bootstrap-authentication", Some("true")),
            change,
        ] {
            data.remove(key);
            if let Some(value) = value {
                data.insert(key.into(), json!(STANDARD.encode(value)));
            }
        }
        json!({"type": "bootstrap.kubernetes.io/token", "metadata": {}, "data": data})
    }

    #[test]
    fn only_one_form_is_a_token() {
        assert_eq!(BootstrapToken::parse("abcdef.0123456789abcdef"), Some(TOKEN));
        for text in
            ["", "abcdef", "abcdeF.0123456789abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdef.x"]
        {
            assert_eq!(BootstrapToken::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_token_is_as_good_as_its_secret() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let extra = Some("system:bootstrappers:a,system:bootstrappers:b-c:d");
        for (change, good) in [
            (("description", Some("x")), true),
            (("token-id", Some("abcdeg")), false),
            (("token-id", None), false),
            (("token-secret", Some("0123456789abcdeg")), false),
            (("token-secret", Some("")), false),
            (("usage-bootstrap-authentication", Some("false")), false),
            (("usage-bootstrap-authentication", None), false),
            (("expiration", Some("2026-01-01T00:00:01Z")), true),
            (("expiration", Some("2026-01-01T00:00:00Z")), false),
            (("expiration", Some("soon")), false),
            (("auth-extra-groups", extra), true),
            (("auth-extra-groups", Some("system:masters")), false),
            (("auth-extra-groups", Some("system:bootstrappers:A")), false),
            (("auth-extra-groups", Some("system:bootstrappers:a-")), false),
        ] {
            assert_eq!(TOKEN.user(&secret(change), now).is_some(), good, "{change:?}");
        }
        let user = TOKEN.user(&secret(("auth-extra-groups", extra)), now).unwrap();
        assert_eq!(user.name, "system:bootstrap:abcdef");
        assert_eq!(
            user.groups,
            ["system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:b-c:d"]
        );
        let mut other = secret(("x", None));
        other["type"] = json!("Opaque");
        assert_eq!(TOKEN.user(&other, now), None);
        let mut going = secret(("x", None));
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(TOKEN.user(&going, now), None);
    }
}
