//! Volumes that put files of several sources together. Those whose features are off in Kubernetes (trust bundles and
//! certificates of pods) are taken away before anything is checked.

use serde_json::Value;

use super::volumes::{downward_file, key_to_path, mode, unreserved};
use crate::check::{has, list, required, text};
use crate::{FieldError, Path};

const MIN_TOKEN_SECONDS: i64 = 600;
const MAX_TOKEN_SECONDS: i64 = 1 << 32;

pub(super) fn check(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    mode(errors, source, path, "defaultMode");
    let sources = path.field("sources");
    let mut paths: Vec<&str> = Vec::new();
    for (index, source) in list(source, "sources").iter().enumerate() {
        let at = sources.index(index);
        let kinds = ["secret", "configMap", "downwardAPI", "serviceAccountToken"];
        let found: Vec<&str> = kinds.into_iter().filter(|kind| has(source, kind)).collect();
        for kind in &found {
            one(errors, kind, &source[*kind], (&at.field(kind), path), &mut paths);
        }
        if found.len() > 1 {
            let why = "may not specify more than 1 volume type per source";
            errors.push(FieldError::forbidden(&at, why));
        }
    }
}

/// Checks a source; what collides in the volume is told of the volume, the second path.
fn one<'v>(
    errors: &mut Vec<FieldError>,
    kind: &str,
    source: &'v Value,
    (path, volume): (&Path, &Path),
    paths: &mut Vec<&'v str>,
) {
    let mut take = |errors: &mut Vec<FieldError>, file: &'v str, told: &str| {
        if paths.contains(&file) {
            errors.push(FieldError::invalid(volume, told, "conflicting duplicate paths"));
        } else {
            paths.push(file);
        }
    };
    let items = path.field("items");
    match kind {
        "secret" | "configMap" => {
            required(errors, source, path, "name", "");
            for (index, item) in list(source, "items").iter().enumerate() {
                key_to_path(errors, item, &items.index(index));
                let file = text(item, "path");
                if !file.is_empty() {
                    take(errors, file, text(source, "name"));
                }
            }
        }
        "downwardAPI" => {
            for file in list(source, "items") {
                downward_file(errors, file, path);
                let file = text(file, "path");
                if !file.is_empty() {
                    take(errors, file, file);
                }
            }
        }
        _ => token(errors, source, path, volume),
    }
}

fn token(errors: &mut Vec<FieldError>, source: &Value, path: &Path, volume: &Path) {
    let seconds = source["expirationSeconds"].as_i64().unwrap_or(0);
    let at = path.field("expirationSeconds");
    if seconds < MIN_TOKEN_SECONDS {
        let why = "may not specify a duration less than 10 minutes";
        errors.push(FieldError::invalid(&at, seconds, why));
    }
    if seconds > MAX_TOKEN_SECONDS {
        let why = "may not specify a duration larger than 2^32 seconds";
        errors.push(FieldError::invalid(&at, seconds, why));
    }
    // The API tells of this path where it does not stand.
    match text(source, "path") {
        "" => errors.push(FieldError::required(&volume.field("path"), "")),
        value => unreserved(errors, &volume.field("path"), value),
    }
}
