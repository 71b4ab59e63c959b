//! One line of a CRI log: `TIMESTAMP STREAM TAG CONTENT`.

use jiff::Timestamp;

/// A parsed line; it borrows from the bytes that were read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// As written, RFC 3339 with nanoseconds.
    pub(super) timestamp: &'a str,
    /// Whether the process's own line goes on in the next one (tag `P`).
    pub(super) partial: bool,
    /// Without the newline that ends the log's line.
    pub(super) content: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads one line, with or without its newline; `None` for what no CRI runtime writes.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut fields = bytes.splitn(4, |byte| *byte == b' ');
        let timestamp = std::str::from_utf8(fields.next()?).ok()?;
        let stream = fields.next()?;
        let tags = fields.next()?;
        if !matches!(stream, b"stdout" | b"stderr") {
            return None;
        }
        // Tags are separated by colons; the first says whether the line is whole.
        let partial = match tags.split(|byte| *byte == b':').next()? {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        Some(Self { timestamp, partial, content: fields.next().unwrap_or_default() })
    }

    /// When it was written; `None` for a timestamp that is none.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.timestamp.parse().ok()
    }

    /// What a person gets to see: the content, its newline back where the process wrote one.
    pub(super) fn render(&self, timestamps: bool) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.timestamp.len() + self.content.len() + 2);
        if timestamps {
            text.extend_from_slice(self.timestamp.as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(self.content);
        if !self.partial {
            text.push(b'\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_line_ends_with_its_newline() {
        let line = Line::parse(b"2026-01-02T03:04:05.000000006Z stdout F hello world\n").unwrap();
        assert_eq!(line.render(false), b"hello world\n");
        assert_eq!(line.render(true), b"2026-01-02T03:04:05.000000006Z hello world\n");
    }

    #[test]
    fn parts_of_a_long_line_join() {
        let parts = [&b"2026-01-02T03:04:05Z stderr P ab\n"[..], b"2026-01-02T03:04:05Z stderr F c\n"];
        let joined: Vec<u8> =
            parts.iter().flat_map(|part| Line::parse(part).unwrap().render(false)).collect();
        assert_eq!(joined, b"abc\n");
    }

    #[test]
    fn an_empty_line_is_a_line() {
        assert_eq!(Line::parse(b"2026-01-02T03:04:05Z stdout F \n").unwrap().render(false), b"\n");
    }

    #[test]
    fn what_no_runtime_writes_is_refused() {
        for bytes in
            [&b""[..], b"hello", b"2026-01-02T03:04:05Z stdin F x", b"2026-01-02T03:04:05Z stdout Q x"]
        {
            assert_eq!(Line::parse(bytes), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Line::parse(&bytes).map(|line| line.time());
        }
    }
}
