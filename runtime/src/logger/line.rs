//! From bytes to entries of a CRI log: `TIME stdout|stderr F|P TEXT\n`.
//!
//! `F` ends a line, `P` is a part of one that goes on in the next entry. Joining the texts, with a newline after
//! each `F`, gives back the bytes that the container wrote.

/// The longest text of one entry, in bytes, as containerd and CRI-O have it.
pub(crate) const MAX_TEXT: usize = 16 << 10;

/// Whether an entry ends its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Full,
    Partial,
}

/// Cuts one stream into entries. Holds what came of a line that has not ended, at most [`MAX_TEXT`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    begun: Vec<u8>,
}

impl Splitter {
    /// Takes what was read, and gives the entries that are complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut entry: impl FnMut(Tag, &[u8])) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.begun.is_empty() {
                let last = parts(line, &mut entry);
                entry(Tag::Full, last);
            } else {
                self.begun.extend_from_slice(line);
                let last = parts(&self.begun, &mut entry);
                entry(Tag::Full, last);
                // Frees the memory: most streams are silent most of the time, and there are many.
                self.begun = Vec::new();
            }
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.begun.extend_from_slice(bytes);
            let rest = parts(&self.begun, &mut entry).len();
            self.begun.drain(..self.begun.len() - rest);
        }
    }

    /// Gives what is left of a line that will not end.
    pub(crate) fn flush(&mut self, mut entry: impl FnMut(Tag, &[u8])) {
        if !self.begun.is_empty() {
            entry(Tag::Partial, &std::mem::take(&mut self.begun));
        }
    }
}

/// Gives all but the last part of a text as partial entries; returns the last part.
fn parts<'a>(mut text: &'a [u8], entry: &mut impl FnMut(Tag, &[u8])) -> &'a [u8] {
    while text.len() > MAX_TEXT {
        let (part, rest) = text.split_at(MAX_TEXT);
        entry(Tag::Partial, part);
        text = rest;
    }
    text
}

/// Appends one entry to a buffer.
pub(crate) fn format(out: &mut Vec<u8>, time: &str, stream: &str, tag: Tag, text: &[u8]) {
    let tag = match tag {
        Tag::Full => " F ",
        Tag::Partial => " P ",
    };
    for part in [time.as_bytes(), b" ", stream.as_bytes(), tag.as_bytes(), text, b"\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(Tag, Vec<u8>)> {
        let mut splitter = Splitter::default();
        let mut entries = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |tag, text| entries.push((tag, text.to_vec())));
        }
        splitter.flush(|tag, text| entries.push((tag, text.to_vec())));
        entries
    }

    fn join(entries: &[(Tag, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, text) in entries {
            bytes.extend_from_slice(text);
            if *tag == Tag::Full {
                bytes.push(b'\n');
            }
        }
        bytes
    }

    #[test]
    fn lines_are_full_and_a_last_one_without_newline_is_partial() {
        let entries = split(&[b"one\ntw", b"o\n\nthree"]);
        let texts: Vec<_> = entries.iter().map(|(tag, text)| (*tag, text.as_slice())).collect();
        assert_eq!(
            texts,
            [(Tag::Full, &b"one"[..]), (Tag::Full, b"two"), (Tag::Full, b""), (Tag::Partial, b"three")]
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_one_entry() {
        let line = [vec![b'x'; MAX_TEXT], b"\n".to_vec()].concat();
        assert_eq!(split(&[&line]), [(Tag::Full, vec![b'x'; MAX_TEXT])]);
        let longer = [vec![b'x'; MAX_TEXT + 1], b"\n".to_vec()].concat();
        assert_eq!(split(&[&longer]), [(Tag::Partial, vec![b'x'; MAX_TEXT]), (Tag::Full, b"x".to_vec())]);
    }

    #[test]
    fn an_entry_is_one_line_of_the_cri_format() {
        let mut out = Vec::new();
        format(&mut out, "2026-11-21T05:51:57.000000000Z", "stdout", Tag::Partial, b"a b");
        assert_eq!(out, b"2026-11-21T05:51:57.000000000Z stdout P a b\n");
    }

    proptest! {
        #[test]
        fn the_texts_joined_are_the_bytes(
            chunks in prop::collection::vec((0..3 * MAX_TEXT, any::<u8>(), prop::collection::vec(any::<u16>(), 0..8)), 0..6),
        ) {
            let chunks: Vec<Vec<u8>> = chunks
                .into_iter()
                .map(|(len, fill, newlines)| {
                    let mut bytes = vec![fill; len];
                    for at in newlines {
                        if let Some(byte) = bytes.get_mut(usize::from(at)) {
                            *byte = b'\n';
                        }
                    }
                    bytes
                })
                .collect();
            let entries = split(&chunks.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(join(&entries), chunks.concat());
            prop_assert!(entries.iter().all(|(_, text)| text.len() <= MAX_TEXT && !text.contains(&b'\n')));
        }

        #[test]
        fn short_lines_come_back_too(chunks in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"a\nb"[..]), 0..9), 0..9)) {
            let entries = split(&chunks.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(join(&entries), chunks.concat());
        }
    }
}
