//! Base64 as Go's `encoding/json` reads and writes it: the standard alphabet, padded, line breaks ignored.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

/// The bytes, or the offset that Go's error names.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, usize> {
    let mut input = text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n'));
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    loop {
        let mut bits = 0u32;
        for place in 0..4 {
            let Some((offset, byte)) = input.next() else {
                return if place == 0 { Ok(bytes) } else { Err(text.len() - place) };
            };
            if byte == b'=' {
                padding(place, offset, &mut input, text.len())?;
                let whole = bits << (6 * (4 - place));
                bytes.extend_from_slice(&whole.to_be_bytes()[1..place]);
                return Ok(bytes);
            }
            bits = bits << 6 | value(byte).ok_or(offset)?;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
}

/// Checks what follows the first `=` of a group.
fn padding(
    place: usize,
    offset: usize,
    rest: &mut impl Iterator<Item = (usize, u8)>,
    length: usize,
) -> Result<(), usize> {
    match place {
        0 | 1 => return Err(offset),
        2 => match rest.next() {
            Some((_, b'=')) => {}
            Some(_) => return Err(offset),
            None => return Err(length),
        },
        _ => {}
    }
    rest.next().map_or(Ok(()), |(offset, _)| Err(offset))
}

fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// How many bytes a well-formed text stands for.
pub(crate) fn decoded_length(text: &str) -> usize {
    let letters = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n' | b'=')).count();
    letters * 3 / 4
}

/// The text of some bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_and_have_one_spelling() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(encode(&[0xfb, 0xff]), "+/8=");
        assert_eq!(decode("Zm9v\nYmFy").unwrap(), b"foobar");
        assert_eq!(encode(&decode("QR==").unwrap()), "QQ==", "unused bits are dropped");
    }

    #[test]
    fn the_offset_of_what_is_wrong_is_gos() {
        for (text, offset) in [("A_b!", 1), ("abc", 0), ("Zg=", 3), ("Zg==x", 4), ("=", 0), ("Z===", 1)] {
            assert_eq!(decode(text), Err(offset), "{text}");
        }
    }
}
