//! Tokens of continued lists: a revision and the key of the last object, as base64 of JSON. Clients must not look into
//! them; the form is the one that other servers of the API use.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use serde::{Deserialize, Serialize};

/// Instead of a revision: go on with what there is now.
pub(super) const LATEST: i64 = -1;

/// Told with an expired token.
pub(super) const EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. \
    You can start a new list without the continue parameter, or use the continue token in this response to retrieve \
    the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that \
    were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// Bits behind the last byte are ignored, as by other servers.
const BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));
const VERSION: &str = "meta.k8s.io/v1";
const INVALID: &str = "continue key is not valid";

#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(rename = "v", default)]
    version: String,
    #[serde(rename = "rv", default)]
    revision: i64,
    #[serde(default)]
    start: String,
}

/// `last` is the key of the last object without the prefix of the list.
pub(super) fn encode(revision: i64, last: &str) -> String {
    // The next key in the order of bytes, which is where such tokens begin.
    let token = serde_json::json!({ "v": VERSION, "rv": revision, "start": format!("{last}\0") });
    BASE64.encode(token.to_string())
}

/// The revision and the key after which to go on. The error is the API's text.
pub(super) fn decode(text: &str) -> Result<(i64, String), String> {
    let bytes = BASE64.decode(text).map_err(|error| format!("{INVALID}: {error}"))?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|error| match bytes.first() {
        Some(&byte) if byte != b'{' => {
            format!("{INVALID}: invalid character '{}' looking for beginning of value", char::from(byte))
        }
        _ => format!("{INVALID}: {error}"),
    })?;
    if token.version != VERSION {
        return Err(format!("{INVALID}: server does not recognize this encoded version {}", token.version));
    }
    if token.revision == 0 {
        return Err(format!("{INVALID}: incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
    }
    let after = token.start.strip_suffix('\0').unwrap_or(&token.start);
    if after.is_empty() {
        return Err(format!("{INVALID}: encoded start key empty (version meta.k8s.io/v1)"));
    }
    // It is put behind the prefix of the list, which it must not leave.
    let inside = after.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !inside {
        return Err(format!("{INVALID}: {}", token.start));
    }
    Ok((token.revision, after.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wrong_tokens_are_refused() {
        let token = |json: &str| decode(&BASE64.encode(json)).unwrap_err();
        assert_eq!(
            decode("zz").unwrap_err(),
            "continue key is not valid: invalid character '\u{cf}' looking for beginning of value"
        );
        assert!(decode("!").unwrap_err().starts_with(INVALID));
        assert!(token("{}").contains("encoded version"));
        assert!(token(r#"{"v":"meta.k8s.io/v1"}"#).contains("resourceVersion"));
        assert!(token(r#"{"v":"meta.k8s.io/v1","rv":1}"#).contains("start key empty"));
        for start in ["../a", "a//b", "/a", "a/.."] {
            let json = serde_json::json!({"v": VERSION, "rv": 1, "start": start}).to_string();
            assert!(token(&json).starts_with(INVALID), "{start}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(revision in 1i64.., key in "[a-z0-9]{1,9}(/[a-z0-9.]{1,9}x)?") {
            prop_assert_eq!(decode(&encode(revision, &key)), Ok((revision, key)));
            prop_assert!(decode(&encode(LATEST, "a")).is_ok());
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = decode(&text);
        }
    }
}
