//! The command line, as runc's: Go's flag syntax, where long flags take one dash or two.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// A flag that a verb knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// Its long name.
    pub(crate) name: &'static str,
    /// Its one-letter name.
    pub(crate) short: Option<&'static str>,
    /// Whether a value follows.
    pub(crate) value: bool,
}

/// A flag that is there or not.
pub(crate) const fn switch(name: &'static str) -> Flag {
    Flag { name, short: None, value: false }
}

/// A flag with a value.
pub(crate) const fn value(name: &'static str) -> Flag {
    Flag { name, short: None, value: true }
}

impl Flag {
    /// Also reachable by a letter.
    pub(crate) const fn or(self, short: &'static str) -> Self {
        Self { short: Some(short), ..self }
    }
}

/// Flags and operands.
#[derive(Debug, Default)]
pub(crate) struct Args {
    values: BTreeMap<&'static str, Vec<String>>,
    /// What is no flag.
    pub(crate) operands: Vec<String>,
}

impl Args {
    /// Reads flags. `stop` ends them at the first operand, for what belongs to another program.
    pub(crate) fn parse(flags: &[Flag], args: &[String], stop: bool) -> Result<Self> {
        let mut parsed = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                parsed.operands.extend(rest.cloned());
                break;
            }
            let Some(text) =
                arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|text| !text.is_empty())
            else {
                parsed.operands.push(arg.clone());
                if stop {
                    parsed.operands.extend(rest.cloned());
                    break;
                }
                continue;
            };
            let (name, given) =
                text.split_once('=').map_or((text, None), |(name, given)| (name, Some(given)));
            let Some(flag) = flags.iter().find(|flag| flag.name == name || flag.short == Some(name)) else {
                return Err(Error::Usage(format!("flag provided but not defined: -{name}")));
            };
            let given = match (flag.value, given) {
                (_, Some(given)) => given.to_owned(),
                (false, None) => "true".to_owned(),
                (true, None) => match rest.next() {
                    Some(next) => next.clone(),
                    None => return Err(Error::Usage(format!("flag needs an argument: -{name}"))),
                },
            };
            if !flag.value && !matches!(given.as_str(), "true" | "false") {
                return Err(Error::Usage(format!("invalid boolean value {given:?} for -{name}")));
            }
            parsed.values.entry(flag.name).or_default().push(given);
        }
        Ok(parsed)
    }

    /// Whether a switch is on.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// A flag's last value.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.last().map(String::as_str)
    }

    /// A flag's values, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values.get(name).into_iter().flatten().map(String::as_str)
    }

    /// A flag's value as a number.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Error::Usage(format!("invalid value {text:?} for flag -{name}")))
        };
        self.text(name).map(parse).transpose()
    }

    /// The one operand that a verb takes: the container's id.
    pub(crate) fn id(&self, verb: &str) -> Result<&str> {
        match self.operands.as_slice() {
            [id] => Ok(id),
            _ => Err(Error::Usage(format!("{verb:?} requires exactly 1 argument(s)"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] =
        &[value("bundle").or("b"), switch("detach").or("d"), value("env").or("e"), switch("no-subreaper")];

    fn parse(text: &str, stop: bool) -> Result<Args> {
        let args: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Args::parse(FLAGS, &args, stop)
    }

    #[test]
    fn one_dash_or_two_and_either_way_to_give_a_value() {
        for text in ["--bundle x c", "-bundle x c", "--bundle=x c", "-b x c", "c -b=x"] {
            let args = parse(text, false).unwrap();
            assert_eq!(args.text("bundle"), Some("x"), "{text}");
            assert_eq!(args.operands, ["c"], "{text}");
        }
        assert!(parse("-no-subreaper c", false).unwrap().has("no-subreaper"));
        assert!(!parse("--detach=false c", false).unwrap().has("detach"));
    }

    #[test]
    fn flags_of_the_program_to_run_are_its_own() {
        let args = parse("-e A=1 -e B=2 c sh -c --detach", true).unwrap();
        assert_eq!(args.operands, ["c", "sh", "-c", "--detach"]);
        assert_eq!(args.all("env").collect::<Vec<_>>(), ["A=1", "B=2"]);
        assert!(!args.has("detach"));
    }

    #[test]
    fn what_is_missing_or_unknown_is_said() {
        assert_eq!(parse("--bundle", false).unwrap_err().to_string(), "flag needs an argument: -bundle");
        assert_eq!(parse("--moon", false).unwrap_err().to_string(), "flag provided but not defined: -moon");
    }
}
