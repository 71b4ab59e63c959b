//! `$(VAR)` in commands, arguments, environment values and `subPathExpr`.

use std::borrow::Cow;

/// Replaces each `$(NAME)` that `value_of` knows. An unknown name stays as it is written; `$$` is one dollar that
/// starts no reference, so `$$(NAME)` becomes the text `$(NAME)`.
pub fn expand<'v>(text: &str, value_of: impl Fn(&str) -> Option<&'v str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            out.push_str(&value_of(name).map_or_else(|| Cow::Owned(format!("$({name})")), Cow::Borrowed));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// The names that a text refers to, in order.
pub fn references(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            names.push(name);
            rest = after;
        }
    }
    names
}

/// `(NAME)rest` → `NAME`, `rest`.
fn reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('(')?.split_once(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Option<&'static str> {
        match name {
            "A" => Some("1"),
            "B" => Some("$(A)"),
            "EMPTY" => Some(""),
            _ => None,
        }
    }

    #[test]
    fn references_are_replaced_once_and_escapes_kept() {
        for (text, want) in [
            ("$(A)", "1"),
            ("$(A)-$(NO)-$$(A)", "1-$(NO)-$(A)"),
            ("$(B)", "$(A)"),
            ("x$(EMPTY)y", "xy"),
            ("$$$(A)", "$1"),
            ("$$$$", "$$"),
            ("$A $ $(", "$A $ $("),
            ("$(A", "$(A"),
            ("$", "$"),
            ("", ""),
        ] {
            assert_eq!(expand(text, known), want, "{text}");
        }
    }

    #[test]
    fn references_are_listed() {
        assert_eq!(references("$(A)/$$(B)/$(C)"), ["A", "C"]);
    }
}
