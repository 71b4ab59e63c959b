//! Field selectors: `metadata.name=a,status.phase!=Running`. Which fields there are is the kind's business.

use super::SelectorError;

/// One equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field's name, as it was written.
    pub field: String,
    /// Whether it must have the value, or must not.
    pub equal: bool,
    /// The value, with escapes undone.
    pub value: String,
}

/// Equalities that must all hold; without any, every object fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<FieldTerm>);

impl FieldSelector {
    /// Reads the text. In a value `\` stands before a comma, an equals sign or another `\`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parts = split(text);
        parts.sort_unstable();
        let terms = parts.into_iter().filter(|part| !part.is_empty()).map(|part| term(text, part));
        terms.collect::<Result<_, _>>().map(Self)
    }

    /// Every object fits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What must hold.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.0
    }

    /// The value that a field must have.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }
}

/// At the commas that no backslash stands before.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut escaped) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
        } else if byte == b'\\' {
            escaped = true;
        } else if byte == b',' {
            parts.push(&text[begin..at]);
            begin = at + 1;
        }
    }
    parts.push(&text[begin..]);
    parts
}

fn term(text: &str, part: &str) -> Result<FieldTerm, SelectorError> {
    let found = part.bytes().enumerate().find_map(|(at, byte)| match byte {
        b'!' if part[at..].starts_with("!=") => Some((at, 2, false)),
        b'=' if part[at..].starts_with("==") => Some((at, 2, true)),
        b'=' => Some((at, 1, true)),
        _ => None,
    });
    let Some((at, length, equal)) = found else {
        return Err(SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'")));
    };
    Ok(FieldTerm { field: part[..at].to_owned(), equal, value: unescape(&part[at + length..])? })
}

fn unescape(text: &str) -> Result<String, SelectorError> {
    let mut value = String::with_capacity(text.len());
    let mut rest = text.chars();
    let sequence =
        |text: String| SelectorError(format!("invalid field selector: invalid escape sequence: {text}"));
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some(c @ ('\\' | ',' | '=')) => value.push(c),
                other => {
                    return Err(sequence(
                        ["\\".to_owned(), other.map(String::from).unwrap_or_default()].concat(),
                    ));
                }
            },
            ',' | '=' => {
                let code = u32::from(c);
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {code}"
                )));
            }
            c => value.push(c),
        }
    }
    Ok(value)
}
