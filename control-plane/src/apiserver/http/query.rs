//! The query of a request, and the options of lists and watches in it.

use api_objects::selector::{FieldSelector, LabelSelector};
use api_objects::{FieldError, Path};

use crate::apiserver::status::Status;

/// Names and values, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the question mark.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether a name is there, whatever its value.
    pub fn names(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a switch is there and not off.
    pub fn flag(&self, name: &str) -> bool {
        self.switch(name).unwrap_or(false)
    }

    fn switch(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => {
                let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                let why = if all { "value out of range" } else { "invalid syntax" };
                Err(Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}")))
            }
        }
    }
}

/// Undoes `%XX`, and `+` in a query. A wrong escape stands for itself; what is no UTF-8 is replaced.
pub(super) fn decode(text: &str, plus: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |offset: usize| bytes.get(at + offset).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                at += 3;
                continue;
            }
            (b'+', _, _) if plus => decoded.push(b' '),
            (byte, _, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// How exactly a `resourceVersion` is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// That revision.
    Exact,
    /// That one or a later one.
    NotOlderThan,
}

/// The options of a list or a watch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListOptions {
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
    /// A watch and no list.
    pub watch: bool,
    /// The client understands BOOKMARK events.
    pub bookmarks: bool,
    /// As it was sent; empty where none was.
    pub resource_version: String,
    /// How it is meant.
    pub version_match: Option<Match>,
    /// Seconds after which a watch ends.
    pub timeout: Option<u64>,
    /// So many objects at most; 0 is all.
    pub limit: usize,
    /// The token of the page before; empty for the first page.
    pub continue_token: String,
    /// The watch begins with what there is.
    pub initial_events: bool,
}

impl ListOptions {
    /// Reads and checks them.
    pub fn parse(query: &Query, watch: bool) -> Result<Self, Status> {
        let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
        let wrong = |error: api_objects::selector::SelectorError| Status::bad_request(error.to_string());
        let labels = LabelSelector::parse(&text("labelSelector")).map_err(wrong)?;
        let fields = FieldSelector::parse(&text("fieldSelector")).map_err(wrong)?;
        let timeout = query.number("timeoutSeconds")?.and_then(|t| u64::try_from(t).ok()).filter(|t| *t > 0);
        let limit = query.number("limit")?.and_then(|l| usize::try_from(l).ok()).unwrap_or(0);
        let mut options = Self {
            labels,
            fields,
            watch,
            bookmarks: query.flag("allowWatchBookmarks"),
            resource_version: text("resourceVersion"),
            timeout,
            limit,
            continue_token: text("continue"),
            ..Self::default()
        };
        let (asked, match_text) = (query.switch("sendInitialEvents"), text("resourceVersionMatch"));
        // Without a revision a watch always began with what there is.
        let from_now = matches!(options.resource_version.as_str(), "" | "0");
        if watch && asked.is_none() && match_text.is_empty() {
            options.initial_events = from_now;
            return Ok(options);
        }
        let errors = options.wrong(asked, &match_text);
        if !errors.is_empty() {
            return Err(Status::invalid("meta.k8s.io", "ListOptions", "", errors));
        }
        options.initial_events = asked.unwrap_or(false);
        options.version_match = match match_text.as_str() {
            "Exact" => Some(Match::Exact),
            "NotOlderThan" => Some(Match::NotOlderThan),
            _ => None,
        };
        Ok(options)
    }

    fn wrong(&self, initial_events: Option<bool>, version_match: &str) -> Vec<FieldError> {
        let (on_match, on_events) =
            (Path::ROOT.field("resourceVersionMatch"), Path::ROOT.field("sendInitialEvents"));
        let given = !version_match.is_empty();
        let known: &[&str] = if self.watch { &["NotOlderThan"] } else { &["Exact", "NotOlderThan", ""] };
        let mut errors = Vec::new();
        if self.watch && initial_events.is_some() && version_match != "NotOlderThan" {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(FieldError::forbidden(&on_match, why));
        }
        if self.watch && given && initial_events.is_none() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(&on_match, why));
        }
        if !self.watch && given && self.resource_version.is_empty() {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(FieldError::forbidden(&on_match, why));
        }
        if given && !self.continue_token.is_empty() {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(&on_match, why));
        }
        if given && !known.contains(&version_match) {
            errors.push(FieldError::not_supported(&on_match, version_match, known));
        }
        if !self.watch && version_match == "Exact" && self.resource_version == "0" {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(&on_match, why));
        }
        if !self.watch && initial_events.is_some() {
            errors.push(FieldError::forbidden(&on_events, "sendInitialEvents is forbidden for list"));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, watch: bool) -> Result<ListOptions, Status> {
        ListOptions::parse(&Query::parse(query), watch)
    }

    #[test]
    fn a_query_is_decoded() {
        let query = Query::parse("a=1%2C2&b=x+y&c&a=3&d=%zz&e=%41&&f=%");
        assert_eq!(query.get("a"), Some("1,2"));
        assert_eq!(query.get("b"), Some("x y"));
        assert_eq!(query.get("c"), Some(""));
        assert_eq!((query.get("d"), query.get("e"), query.get("f")), (Some("%zz"), Some("A"), Some("%")));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1,2", "3"]);
        assert!(
            Query::parse("w=1").flag("w") && Query::parse("w").flag("w") && !Query::parse("w=0").flag("w")
        );
    }

    #[test]
    fn what_was_not_asked_for_has_its_default() {
        let options = parse("", false).unwrap();
        assert_eq!(options, ListOptions::default());
        assert_eq!(parse("limit=-1&timeoutSeconds=0", false).unwrap(), ListOptions::default());
        assert!(parse("resourceVersion=0", true).unwrap().initial_events);
        assert!(!parse("resourceVersion=5", true).unwrap().initial_events);
    }

    #[test]
    fn wrong_options_are_refused_in_the_words_of_the_api() {
        let message = |query, watch| parse(query, watch).unwrap_err().message;
        let forbidden = |why: &str| {
            format!("ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: {why}")
        };
        assert_eq!(message("limit=x", false), "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(
            message("resourceVersionMatch=Exact", false),
            forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
        );
        assert_eq!(
            message("resourceVersion=0&resourceVersionMatch=Exact", false),
            forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
        );
        assert_eq!(
            message("sendInitialEvents=true", true),
            forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        );
        assert!(
            message("sendInitialEvents=true", false).ends_with("sendInitialEvents is forbidden for list")
        );
        assert!(
            message("resourceVersionMatch=Zz&resourceVersion=1", false)
                .ends_with("Unsupported value: \"Zz\": supported values: \"Exact\", \"NotOlderThan\", \"\"")
        );
    }
}
