//! CNI_ARGS: `KEY=VALUE` pairs between semicolons.

use crate::error::{Code, Error};

/// The pairs of CNI_ARGS, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args(Vec<(String, String)>);

impl Args {
    /// Splits the variable. An item without `=` is an error, as in the reference.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut pairs = Vec::new();
        for item in text.split(';').filter(|item| !item.is_empty()) {
            let Some((key, value)) = item.split_once('=') else {
                return Err(Error::new(Code::INVALID_ENVIRONMENT, format!("CNI_ARGS: {item:?} has no '='")));
            };
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self(pairs))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Refuses keys that nobody knows, unless `IgnoreUnknown` says that they may be there.
    pub fn check_known(&self, known: &[&str]) -> Result<(), Error> {
        let ignore = matches!(self.get("IgnoreUnknown"), Some("1" | "true" | "TRUE" | "True"));
        match self.0.iter().find(|(key, _)| key != "IgnoreUnknown" && !known.contains(&key.as_str())) {
            Some((key, _)) if !ignore => {
                Err(Error::new(Code::INVALID_ENVIRONMENT, format!("CNI_ARGS: the key {key} is not known")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused_unless_told_otherwise() {
        assert!(Args::parse("IP=10.0.0.2").unwrap().check_known(&["IP"]).is_ok());
        assert_eq!(Args::parse("K8S_POD_NAME=a").unwrap().check_known(&["IP"]).unwrap_err().code, 4);
        assert!(Args::parse("IgnoreUnknown=1;K8S_POD_NAME=a").unwrap().check_known(&["IP"]).is_ok());
        assert!(Args::parse("IP").is_err());
        assert_eq!(Args::parse("IP=a=b;").unwrap().get("IP"), Some("a=b"));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in "[;=A-Za-z0-9é]{0,60}") {
            let _ = Args::parse(&text).map(|args| args.check_known(&["IP"]));
        }
    }
}
