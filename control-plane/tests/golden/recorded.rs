//! The recorded data, where it is.

use std::path::PathBuf;

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder of the data; none where there is none.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder =
        std::env::var_os("ORLOP_GOLDEN").map_or_else(|| root().join("../shared/golden"), PathBuf::from);
    folder.join("cases.jsonl").exists().then_some(folder)
}

/// A test that needs the data and is skipped, with the reason, where there is none.
pub(crate) fn test(name: &str, run: impl FnOnce(PathBuf) -> Result<(), String> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match folder() {
        None => Ok(Completion::ignored_with("no recorded data: ORLOP_GOLDEN names no folder that has it")),
        Some(folder) => run(folder).map(|()| Completion::Completed).map_err(Failed::from),
    })
}

/// A file of the data.
pub(crate) fn json(folder: &std::path::Path, name: &str) -> Result<Value, String> {
    let text = std::fs::read_to_string(folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("{name}: {e}"))
}
