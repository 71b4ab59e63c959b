//! Finds the network configuration to use.

use std::fs;
use std::path::{Path, PathBuf};

use api_cni::{ConfError, NetworkList};

/// Why no pod can be attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The folder has no configuration, or cannot be read.
    #[error("no network configuration in {0}")]
    None(PathBuf),
    /// Every configuration in the folder is broken; this is the first.
    #[error("no valid network configuration in {dir}: {file}: {why}")]
    Invalid {
        /// The folder.
        dir: PathBuf,
        /// The first file that was refused.
        file: String,
        /// Why.
        why: String,
    },
    /// A plugin of the configuration is not installed.
    #[error("{file} wants the network plugin {plugin}, which is not installed")]
    NoPlugin {
        /// Its type.
        plugin: String,
        /// The configuration.
        file: PathBuf,
    },
}

/// A configuration and where it came from.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) list: NetworkList,
    pub(super) path: PathBuf,
    /// The file's bytes as libcni's cache wants them: always those of a list.
    pub(super) bytes: Vec<u8>,
}

/// The lexically first valid file of the folder, as Kubernetes' runtimes choose it.
pub(super) fn load(dir: &Path) -> Result<Loaded, NotReady> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            matches!(path.extension().and_then(|e| e.to_str()), Some("conf" | "conflist" | "json"))
        })
        .collect();
    paths.sort();
    let mut refused = None;
    for path in paths {
        match load_file(dir, &path) {
            Ok(loaded) => return Ok(loaded),
            Err(why) => {
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                refused.get_or_insert(NotReady::Invalid { dir: dir.to_owned(), file, why });
            }
        }
    }
    Err(refused.unwrap_or_else(|| NotReady::None(dir.to_owned())))
}

fn load_file(dir: &Path, path: &Path) -> Result<Loaded, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let say = |error: ConfError| error.to_string();
    if path.extension().is_some_and(|extension| extension == "conflist") {
        let mut list = NetworkList::parse_list(&bytes).map_err(say)?;
        if !list.load_only_inlined {
            push_files(&mut list, dir)?;
        }
        list.check_not_empty().map_err(say)?;
        return Ok(Loaded { list, path: path.to_owned(), bytes });
    }
    let list = NetworkList::parse_single(&bytes).map_err(say)?;
    let plugin: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let bytes = serde_json::json!({
        "cniVersion": list.version.as_str(), "name": list.name, "plugins": [plugin],
    });
    Ok(Loaded { list, path: path.to_owned(), bytes: bytes.to_string().into_bytes() })
}

/// Appends the plugins in the folder that is named as the network (libcni's `loadOnlyInlinedPlugins: false`).
fn push_files(list: &mut NetworkList, dir: &Path) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(dir.join(&list.name)) else { return Ok(()) };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    paths.sort();
    for path in paths {
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        list.push_plugin(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
