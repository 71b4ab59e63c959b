//! The text of label selectors, in the words of the API where it is wrong.
//!
//! ```text
//!   selector    = requirement { "," requirement }
//!   requirement = [ "!" ] KEY [ ( "in" | "notin" ) "(" VALUE { "," VALUE } ")"
//!                             | ( "=" | "==" | "!=" | ">" | "<" ) VALUE ]
//! ```

use super::{Operator, Requirement, SelectorError};
use crate::names;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// `in` and `notin`, which are also words where a key or a value stands.
    Set(&'a str),
    Sign(&'a str),
    End,
}

impl<'a> Token<'a> {
    fn literal(self) -> String {
        match self {
            Self::Word(text) | Self::Set(text) | Self::Sign(text) => text.to_owned(),
            Self::End => String::new(),
        }
    }

    /// As a key or a value.
    fn word(self) -> Option<&'a str> {
        match self {
            Self::Word(text) | Self::Set(text) => Some(text),
            _ => None,
        }
    }
}

/// The longer ones first; every byte of [`is_sign`] is one.
const SIGNS: [&str; 9] = ["==", "!=", "=", "!", ",", "(", ")", ">", "<"];

fn is_sign(byte: u8) -> bool {
    b"=!(),><".contains(&byte)
}

fn is_space(byte: u8) -> bool {
    b" \t\r\n".contains(&byte)
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut rest = text;
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(&first) = rest.as_bytes().first() else { break };
        let (token, length) = if !is_sign(first) {
            let end = rest.bytes().position(|b| is_sign(b) || is_space(b)).unwrap_or(rest.len());
            match &rest[..end] {
                word @ ("in" | "notin") => (Token::Set(word), end),
                word => (Token::Word(word), end),
            }
        } else {
            let length = SIGNS.iter().find(|sign| rest.starts_with(**sign)).map_or(1, |sign| sign.len());
            (Token::Sign(&rest[..length]), length)
        };
        found.push(token);
        rest = &rest[length..];
    }
    found.push(Token::End);
    found
}

pub(super) fn wrong_key(key: &str) -> Option<String> {
    let wrong = names::qualified_name(key);
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { tokens: tokens(text), at: 0 };
    let mut requirements = Vec::new();
    loop {
        match parser.peek() {
            Token::Word(_) | Token::Set(_) | Token::Sign("!") => {}
            Token::End => return Ok(requirements),
            other => {
                return wrong(format!(
                    "found '{}', expected: !, identifier, or 'end of string'",
                    other.literal()
                ));
            }
        }
        let requirement = parser.requirement();
        requirements
            .push(requirement.map_err(|e| SelectorError(format!("unable to parse requirement: {e}")))?);
        match parser.next() {
            Token::End => return Ok(requirements),
            Token::Sign(",") => {
                let next = parser.peek();
                if next.word().is_none() && next != Token::Sign("!") {
                    return wrong(format!("found '{}', expected: identifier after ','", next.literal()));
                }
            }
            other => {
                return wrong(format!("found '{}', expected: ',' or 'end of string'", other.literal()));
            }
        }
    }
}

fn wrong<T>(message: String) -> Result<T, SelectorError> {
    Err(SelectorError(message))
}

impl<'a> Parser<'a> {
    /// Behind the last token there is its end, again and again.
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = self.peek() == Token::Sign("!");
        if absent {
            self.next();
        }
        let token = self.next();
        let Some(key) = token.word() else {
            return wrong(format!("found '{}', expected: identifier", token.literal()));
        };
        if let Some(why) = wrong_key(key) {
            return wrong(format!("<nil>: Invalid value: {key:?}: {why}"));
        }
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let operator = match self.next() {
            Token::Set("in") => Operator::In,
            Token::Set(_) => Operator::NotIn,
            Token::Sign("=") => Operator::Equals,
            Token::Sign("==") => Operator::DoubleEquals,
            Token::Sign("!=") => Operator::NotEquals,
            Token::Sign(">") => Operator::GreaterThan,
            Token::Sign("<") => Operator::LessThan,
            other => {
                let known = "in, notin, =, ==, !=, gt, lt";
                return wrong(format!("found '{}', expected: {known}", other.literal()));
            }
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact()?],
        };
        Requirement::new(key, operator, values)
    }

    fn exact(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(String::new());
        }
        let token = self.next();
        match token.word() {
            Some(word) => Ok(word.to_owned()),
            None => wrong(format!("found '{}', expected: identifier", token.literal())),
        }
    }

    /// `(a,b)`; between two commas, and in an empty list, stands an empty value.
    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let open = self.next();
        if open != Token::Sign("(") {
            return wrong(format!("found '{}' expected: '('", open.literal()));
        }
        match self.peek() {
            Token::Word(_) | Token::Set(_) | Token::Sign("," | ")") => {}
            other => {
                return wrong(format!("found '{}', expected: ',', ')' or identifier", other.literal()));
            }
        }
        let mut values = Vec::new();
        loop {
            match self.peek().word() {
                Some(word) => {
                    values.push(word.to_owned());
                    self.next();
                }
                None => values.push(String::new()),
            }
            match self.next() {
                Token::Sign(",") => {}
                Token::Sign(")") => return Ok(values),
                other => return wrong(format!("found '{}', expected: ',' or ')'", other.literal())),
            }
        }
    }
}
