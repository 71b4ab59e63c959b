//! Content digests, `sha256:` and 64 hexadecimal digits.

use ring::digest::{Context, SHA256};

use super::ImageError;

/// Gathers a digest piece by piece.
pub(super) struct Hasher(Context);

impl Hasher {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> String {
        format!("sha256:{}", hex::encode(self.0.finish()))
    }
}

/// The digest of bytes that are at hand.
pub(super) fn of(bytes: &[u8]) -> String {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finish()
}

/// An error unless the bytes have the digest.
pub(super) fn verify(what: &str, bytes: &[u8], wanted: &str) -> Result<(), ImageError> {
    let found = of(bytes);
    if found == wanted {
        return Ok(());
    }
    Err(ImageError::Digest { what: what.into(), found, wanted: wanted.into() })
}

/// Whether the text is a digest that we can verify.
pub(super) fn is_valid(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing_is_known() {
        assert_eq!(of(b""), EMPTY);
        assert!(verify("it", b"", EMPTY).is_ok());
        assert!(verify("it", b"x", EMPTY).unwrap_err().to_string().contains("should be sha256:e3b0"));
    }

    #[test]
    fn only_lower_case_sha256_is_a_digest() {
        assert!(is_valid(EMPTY));
        for text in ["", "sha256:", "sha512:00", &EMPTY.to_uppercase(), &EMPTY[..70]] {
            assert!(!is_valid(text), "{text}");
        }
    }
}
