//! Since when the cluster notes which long-lived tokens of service accounts are still used: who cleans up those that are
//! not reads the day in a ConfigMap.

use jiff::Timestamp;
use serde_json::{Value, json};

/// Where the day stands: namespace and name.
pub(super) const PLACE: (&str, &str) =
    ("kube-system", "kube-apiserver-legacy-service-account-token-tracking");
const SINCE: &str = "since";

/// The ConfigMap as it is to be, if it names no day.
pub(super) fn since(found: Option<&Value>, now: Timestamp) -> Option<Value> {
    let told = found.and_then(|found| found["data"][SINCE].as_str());
    let is_day = |text: &str| text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    if told.is_some_and(is_day) {
        return None;
    }
    let mut object =
        found.cloned().unwrap_or_else(|| json!({"metadata": {"name": PLACE.1, "namespace": PLACE.0}}));
    object["data"][SINCE] = now.strftime("%Y-%m-%d").to_string().into();
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_day_stays() {
        let now = |text: &str| text.parse::<Timestamp>().unwrap();
        let made = since(None, now("2026-03-04T23:59:59Z")).unwrap();
        assert_eq!(
            (&made["data"], &made["metadata"]["name"]),
            (&json!({"since": "2026-03-04"}), &json!(PLACE.1))
        );
        assert_eq!(since(Some(&made), now("2027-01-01T00:00:00Z")), None);
        let mut wrong = made.clone();
        for text in ["", "soon", "2026-13-04", "2026-03-04T00:00:00"] {
            wrong["data"] = json!({"since": text, "other": "kept"});
            let mended = since(Some(&wrong), now("2027-01-01T00:00:00Z")).unwrap();
            assert_eq!(mended["data"], json!({"since": "2027-01-01", "other": "kept"}));
        }
    }
}
