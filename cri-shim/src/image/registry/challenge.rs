//! `WWW-Authenticate`: how a registry wants to be asked (RFC 9110 §11.6.1, RFC 6750).

use std::collections::BTreeMap;

/// What the registry wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// A token of the service at `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// Reads one header's value; `None` for a scheme that we do not speak.
pub(super) fn parse(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = parameters(rest);
    let realm = parameters.remove("realm")?;
    Some(Challenge::Bearer {
        realm,
        service: parameters.remove("service"),
        scope: parameters.remove("scope"),
    })
}

/// `key="value"` pairs; a quoted value may hold commas and escaped characters.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((key, after)) = rest.split_once('=') {
        let mut value = String::new();
        rest = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut characters = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((index, character)) = characters.next() {
                    match character {
                        '"' => {
                            end = index + 1;
                            break;
                        }
                        '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                        other => value.push(other),
                    }
                }
                &quoted[end..]
            }
            None => {
                let (plain, more) = after.split_once(',').unwrap_or((after, ""));
                value.push_str(plain.trim());
                more
            }
        };
        found.insert(key.trim().to_ascii_lowercase(), value);
        rest = rest.trim_start_matches([' ', ',']);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_challenge_names_its_service() {
        let header = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
            scope: Some("repository:a/b:pull,push".into()),
        };
        assert_eq!(parse(header), Some(expected));
    }

    #[test]
    fn basic_is_basic_and_others_are_not_spoken() {
        assert_eq!(parse(r#"basic realm="x""#), Some(Challenge::Basic));
        assert_eq!(parse("Negotiate"), None);
        assert_eq!(parse(r#"Bearer service="x""#), None, "without a realm there is nobody to ask");
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(header: String) {
            let _ = parse(&header);
            let _ = parse(&format!("Bearer realm={header}"));
        }
    }
}
