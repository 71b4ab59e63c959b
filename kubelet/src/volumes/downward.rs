//! Facts of the pod as files.
//!
//! A reader sees all old or all new files: they lie in a folder of their own, the link `..data` points to it and
//! is renamed over, and the names in the volume are links through `..data`.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use api_k8s::v1::{DownwardAPIVolumeFile, Pod};
use sys::During;

use super::make_dir;
use crate::translate::{Node, TranslateError, field_value, resource_value};

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";
const DEFAULT_MODE: i32 = 0o644;

/// A file's content and mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    text: String,
    mode: u32,
}

/// The files of a volume, by their paths in it.
pub(super) fn files<'f>(
    pod: &Pod,
    node: &Node,
    items: impl Iterator<Item = &'f DownwardAPIVolumeFile>,
    default_mode: Option<i32>,
) -> Result<BTreeMap<PathBuf, Content>, TranslateError> {
    let mut files = BTreeMap::new();
    for item in items {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => field_value(pod, node, &[], &field.field_path)?,
            (None, Some(selector)) => resource_value(pod, None, node, selector)?,
            (None, None) => String::new(),
        };
        let mode = item.mode.or(default_mode).unwrap_or(DEFAULT_MODE);
        let mode = u32::try_from(mode).unwrap_or(0o644) & 0o777;
        files.insert(PathBuf::from(&item.path), Content { text, mode });
    }
    Ok(files)
}

/// Makes the volume hold exactly these files. Returns whether anything changed.
pub(super) fn write(volume: &Path, files: &BTreeMap<PathBuf, Content>) -> sys::Result<bool> {
    make_dir(volume, 0o777)?;
    let old = fs::read_link(volume.join(DATA)).ok();
    if old.is_some() && files.iter().all(|(path, content)| is_current(&volume.join(DATA).join(path), content))
    {
        return Ok(false);
    }
    let folder = new_folder(volume)?;
    for (path, content) in files {
        let file = folder.join(path);
        make_dir(file.parent().unwrap_or(&folder), 0o755)?;
        fs::write(&file, &content.text)
            .and_then(|()| fs::set_permissions(&file, Permissions::from_mode(content.mode)))
            .during("write", file.display())?;
    }
    let new = volume.join(DATA_NEW);
    let name = folder.file_name().unwrap_or_default();
    remove(&new)
        .and_then(|()| symlink(name, &new))
        .and_then(|()| fs::rename(&new, volume.join(DATA)))
        .during("link", new.display())?;
    for path in files.keys() {
        // One link per first name: what is below lies behind it.
        if let Some(Component::Normal(first)) = path.components().next() {
            let link = volume.join(first);
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new(DATA).join(first), &link).during("link", link.display())?;
            }
        }
    }
    if let Some(old) = old {
        let old = volume.join(old);
        fs::remove_dir_all(&old).during("remove", old.display())?;
    }
    Ok(true)
}

fn is_current(path: &Path, content: &Content) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text == content.text)
}

/// A folder that was not there before.
fn new_folder(volume: &Path) -> sys::Result<PathBuf> {
    let mut number = 1;
    loop {
        let folder = volume.join(format!("..{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => {
                fs::set_permissions(&folder, Permissions::from_mode(0o755))
                    .during("chmod", folder.display())?;
                return Ok(folder);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error).during("mkdir", folder.display()),
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{setup, teardown};
    use super::*;
    use crate::translate::tests::{node, pod};

    fn volume_of(dir: &Path, volume: serde_json::Value) -> (Pod, Node, PathBuf) {
        let mut node = node();
        node.root_dir = dir.to_owned();
        let resources = json!({"limits": {"cpu": "250m"}});
        let pod = pod(json!({
            "containers": [{"name": "c", "image": "i", "resources": resources}], "volumes": [volume],
        }));
        setup(&pod, &node).unwrap();
        let path = crate::translate::host_volume(&pod, &node, "d").unwrap().path;
        (pod, node, path)
    }

    #[test]
    fn files_have_their_modes() {
        let dir = tempfile::tempdir().unwrap();
        let (pod, node, path) = volume_of(
            dir.path(),
            json!({"name": "d", "downwardAPI": {"defaultMode": 0o440, "items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o600},
                {"path": "deep/cpu", "resourceFieldRef":
                    {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}},
            ]}}),
        );
        assert_eq!(fs::read_to_string(path.join("labels")).unwrap(), "app=\"a\"");
        assert_eq!(fs::read_to_string(path.join("deep/cpu")).unwrap(), "250");
        let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("labels"), mode("deep/cpu")), (0o600, 0o440));
        let data = fs::read_link(path.join(DATA)).unwrap();
        setup(&pod, &node).unwrap();
        assert_eq!(fs::read_link(path.join(DATA)).unwrap(), data, "the same facts are not written again");
        teardown(&node, "u").unwrap();
        assert!(!node.pod_dir("u").exists());
    }

    #[test]
    fn sources_are_joined() {
        let dir = tempfile::tempdir().unwrap();
        let one = |path: &str, field: &str| json!({"downwardAPI": {"items": [{"path": path, "fieldRef": {"fieldPath": field}}]}});
        let sources = [one("name", "metadata.name"), one("space", "metadata.namespace")];
        let volume = json!({"name": "d", "projected": {"defaultMode": 0o644, "sources": sources}});
        let (_, _, path) = volume_of(dir.path(), volume);
        assert_eq!(fs::read_to_string(path.join("name")).unwrap(), "a-lab");
        assert_eq!(fs::read_to_string(path.join("space")).unwrap(), "default");
    }

    #[test]
    fn a_change_swaps_all_files_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            BTreeMap::from([(PathBuf::from("a"), Content { text: text.to_owned(), mode: 0o644 })])
        };
        assert!(write(dir.path(), &of("1")).unwrap());
        assert!(!write(dir.path(), &of("1")).unwrap());
        assert!(write(dir.path(), &of("2")).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "2");
        let folders = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(folders, 3, "the link a, the link ..data and one folder");
    }
}
