//! The rules of `resourceVersion`, `resourceVersionMatch`, `limit` and `continue`, as one decision.
//!
//! | resourceVersion | without match | NotOlderThan | Exact |
//! |---|---|---|---|
//! | none | latest | refused | refused |
//! | `0` | any, without a limit | any | refused |
//! | N | not older; with a limit exact | not older | exact |
//!
//! A token pins the revision of the list's first page.

use super::token;
use crate::apiserver::cache::When;
use crate::apiserver::http::query::{ListOptions, Match};
use crate::apiserver::status::Status;
use crate::storage::Revision;

/// What to list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub when: When,
    /// 0 is all.
    pub limit: usize,
    /// Behind this key, told without the prefix of the list.
    pub after: Option<String>,
}

/// Reads a `resourceVersion`; none where none was sent. The error is the API's text.
pub(super) fn revision(text: &str) -> Result<Option<Revision>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let why = if digits { "value out of range" } else { "invalid syntax" };
        format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: {why}")
    })
}

pub(super) fn list(options: &ListOptions) -> Result<Plan, Status> {
    if !options.continue_token.is_empty() {
        return continued(options);
    }
    let invalid = |why: String| Status::bad_request(format!("invalid resource version: {why}"));
    let revision = revision(&options.resource_version).map_err(invalid)?;
    let plan = |when, limit| Ok(Plan { when, limit, after: None });
    match (revision, options.version_match) {
        (None, _) => plan(When::Latest, options.limit),
        (Some(revision), Some(Match::Exact)) => plan(When::Exact(revision), options.limit),
        (Some(0), None) => plan(When::Any, 0),
        (Some(0), Some(Match::NotOlderThan)) => plan(When::Any, 0),
        (Some(revision), Some(Match::NotOlderThan)) => plan(When::NotOlderThan(revision), options.limit),
        (Some(revision), None) if options.limit > 0 => plan(When::Exact(revision), options.limit),
        (Some(revision), None) => plan(When::NotOlderThan(revision), 0),
    }
}

fn continued(options: &ListOptions) -> Result<Plan, Status> {
    let invalid = |why: String| Status::bad_request(format!("invalid continue token: {why}"));
    let (revision, after) = token::decode(&options.continue_token).map_err(invalid)?;
    if !matches!(options.resource_version.as_str(), "" | "0") {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let when = match Revision::try_from(revision) {
        Ok(revision) => When::Exact(revision),
        Err(_) => When::Latest,
    };
    Ok(Plan { when, limit: options.limit, after: Some(after) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::http::query::Query;

    fn plan(query: &str) -> Result<Plan, String> {
        let options = ListOptions::parse(&Query::parse(query), false).map_err(|e| e.message)?;
        list(&options).map_err(|e| e.message)
    }

    #[test]
    fn each_combination_has_its_meaning() {
        for (query, when, limit) in [
            ("", When::Latest, 0),
            ("limit=5", When::Latest, 5),
            ("resourceVersion=0", When::Any, 0),
            ("resourceVersion=0&limit=5", When::Any, 0),
            ("resourceVersion=0&resourceVersionMatch=NotOlderThan", When::Any, 0),
            ("resourceVersion=7", When::NotOlderThan(7), 0),
            ("resourceVersion=7&limit=5", When::Exact(7), 5),
            ("resourceVersion=7&limit=5&resourceVersionMatch=NotOlderThan", When::NotOlderThan(7), 5),
            ("resourceVersion=7&resourceVersionMatch=Exact", When::Exact(7), 0),
        ] {
            assert_eq!(plan(query), Ok(Plan { when, limit, after: None }), "{query}");
        }
    }

    #[test]
    fn a_token_pins_the_revision_of_the_first_page() {
        let query = format!("limit=2&continue={}", token::encode(9, "ns/a"));
        let expected = Plan { when: When::Exact(9), limit: 2, after: Some("ns/a".to_owned()) };
        assert_eq!(plan(&query), Ok(expected));
        let query = format!("continue={}", token::encode(token::LATEST, "a"));
        assert_eq!(plan(&query).unwrap().when, When::Latest);
        let query = format!("continue={}&resourceVersion=5", token::encode(9, "a"));
        assert_eq!(
            plan(&query).unwrap_err(),
            "specifying resource version is not allowed when using continue"
        );
    }

    #[test]
    fn what_is_no_revision_is_refused() {
        assert!(
            plan("resourceVersion=x").unwrap_err().starts_with("invalid resource version: resourceVersion: ")
        );
        assert!(plan("resourceVersion=-1").unwrap_err().ends_with("invalid syntax"));
        assert!(plan("resourceVersion=99999999999999999999999").unwrap_err().ends_with("value out of range"));
        assert!(
            plan("continue=zz")
                .unwrap_err()
                .starts_with("invalid continue token: continue key is not valid: ")
        );
    }
}
