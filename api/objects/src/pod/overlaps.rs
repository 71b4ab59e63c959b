//! Paths in one volume that cannot be there together, or of which only the last one is.

use serde_json::Value;

use crate::check::{has, list, text};

/// A path, and who puts something there where there are several.
#[derive(Clone, PartialEq)]
struct Place {
    path: String,
    source: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.source.as_str() {
            "" => write!(f, "{:?}", self.path),
            source => write!(f, "{:?} ({source})", self.path),
        }
    }
}

/// The warnings of all volumes.
pub(super) fn of(spec: &Value) -> Vec<String> {
    let mut told = Vec::new();
    for volume in list(spec, "volumes") {
        let name = text(volume, "name");
        let plain = [
            ("configMap", format!("ConfigMap {:?}", text(&volume["configMap"], "name"))),
            ("secret", format!("Secret {:?}", text(&volume["secret"], "secretName"))),
            ("downwardAPI", "DownwardAPI".to_owned()),
        ];
        for (field, what) in plain {
            collide(&mut told, name, &what, places(&volume[field], ""));
        }
        if !has(volume, "projected") {
            continue;
        }
        let mut all = Vec::new();
        for source in list(&volume["projected"], "sources") {
            if source.as_object().is_none_or(serde_json::Map::is_empty) {
                told.push(format!("volume {name:?} (Projected) has no sources provided"));
            }
            all.extend(projected(source));
        }
        collide(&mut told, name, "Projected", all);
    }
    told
}

fn places(source: &Value, of: &str) -> Vec<Place> {
    let items = list(source, "items").iter();
    items.map(|item| Place { path: text(item, "path").to_owned(), source: of.to_owned() }).collect()
}

fn projected(source: &Value) -> Vec<Place> {
    let named = |field: &str, what: &str| {
        let source = &source[field];
        places(source, &format!("{what} {:?}", text(source, "name")))
    };
    if has(source, "configMap") {
        named("configMap", "ConfigMap")
    } else if has(source, "secret") {
        named("secret", "Secret")
    } else if has(source, "downwardAPI") {
        places(&source["downwardAPI"], "DownwardAPI")
    } else if has(source, "serviceAccountToken") {
        let path = text(&source["serviceAccountToken"], "path").to_owned();
        vec![Place { path, source: "ServiceAccountToken".to_owned() }]
    } else {
        Vec::new()
    }
}

fn collide(told: &mut Vec<String>, volume: &str, what: &str, places: Vec<Place>) {
    let mut seen: Vec<Place> = Vec::new();
    for mut place in places {
        place.path.truncate(place.path.trim_end_matches('/').len());
        let inside =
            |one: &Place, other: &Place| format!("{}/", one.path).starts_with(&format!("{}/", other.path));
        for other in seen.iter().filter(|other| !other.path.is_empty() && !place.path.is_empty()) {
            if inside(other, &place) || inside(&place, other) {
                told.push(format!("volume {volume:?} ({what}): overlapping paths: {place} with {other}"));
            }
        }
        seen.push(place);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_collide_within_a_volume() {
        let items = |paths: &[&str]| -> Value { paths.iter().map(|path| json!({ "path": path })).collect() };
        let spec = |volume: Value| json!({ "volumes": [volume] });
        let plain =
            json!({"name": "v", "configMap": {"name": "m", "items": items(&["a", "b", "a/c", "ab"])}});
        assert_eq!(
            of(&spec(plain)),
            ["volume \"v\" (ConfigMap \"m\"): overlapping paths: \"a/c\" with \"a\""]
        );
        let both = json!({"name": "v", "projected": {"sources": [
            {"secret": {"name": "s", "items": items(&["token/"])}}, {"serviceAccountToken": {"path": "token"}}, {}]}});
        assert_eq!(
            of(&spec(both)),
            [
                "volume \"v\" (Projected) has no sources provided",
                "volume \"v\" (Projected): overlapping paths: \"token\" (ServiceAccountToken) with \"token\" (Secret \"s\")",
            ]
        );
    }
}
