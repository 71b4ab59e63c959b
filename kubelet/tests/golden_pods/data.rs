//! Where the recordings and the ledger are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The workspace.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of recordings, if there is one.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder =
        std::env::var_os("ORLOP_GOLDEN").map_or_else(|| repository().join("../shared/golden"), PathBuf::from);
    folder.join("pods.jsonl").is_file().then_some(folder)
}

/// The values of a file, one a line.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The value of a file.
pub(crate) fn value(path: &Path) -> Value {
    lines(path).swap_remove(0)
}

/// The ledger's rows of the kubelet's half: pod → fields that may differ.
pub(crate) fn ledger() -> BTreeMap<String, Vec<String>> {
    let path = repository().join("integration/ledger/pods.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let half = text.split("## ").find(|part| part.starts_with("The kubelet")).unwrap_or_default();
    for line in half.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        rows.entry(cells[1].clone()).or_default().push(cells[2].clone());
    }
    rows
}

/// All files below a folder as one text.
pub(crate) fn text_below(folder: &Path) -> String {
    let mut text = String::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the sources are there").flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => text.push_str(&fs::read_to_string(entry.path()).unwrap_or_default()),
            }
        }
    }
    text
}
