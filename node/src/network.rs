//! The pod network that an instance brings when the machine has none.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::layout::Layout;

/// The plugins that `orlop-cni` is.
const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];
const FILE: &str = "10-orlop.conflist";

/// A bridge with masquerading, addresses from the instance's subnet, and host ports.
fn conflist(layout: &Layout) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": layout.network,
        "plugins": [
            {
                "type": "bridge",
                "bridge": layout.bridge,
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "nftTable": layout.nft_table,
                "ipam": {
                    "type": "host-local",
                    "dataDir": layout.cni_leases,
                    "ranges": [[{ "subnet": layout.pod_cidr }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "nftTable": layout.nft_table, "capabilities": { "portMappings": true } },
        ],
    })
}

/// Writes the configuration when the folder has none, and links the plugins that the folder lacks to `orlop-cni`.
///
/// What somebody else put there stays as it is. Returns the file that was written.
pub(crate) fn provide(
    layout: &Layout,
    conf_dir: &Path,
    bin_dir: &Path,
    orlop_cni: &Path,
) -> io::Result<Option<PathBuf>> {
    std::fs::create_dir_all(bin_dir)?;
    for plugin in PLUGINS {
        let link = bin_dir.join(plugin);
        // A link whose target has gone (another build's folder) is replaced; anything that works is not ours to touch.
        if link.exists() {
            continue;
        }
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => symlink(orlop_cni, &link)?,
        }
    }
    std::fs::create_dir_all(conf_dir)?;
    if has_configuration(conf_dir)? {
        return Ok(None);
    }
    let path = conf_dir.join(FILE);
    // The CRI daemon looks at complete files only: a hidden name until it is one.
    let unfinished = conf_dir.join(format!(".{FILE}"));
    std::fs::write(&unfinished, format!("{:#}\n", conflist(layout)))?;
    std::fs::rename(&unfinished, &path)?;
    Ok(Some(path))
}

/// Whether the folder holds a file that libcni would read.
fn has_configuration(folder: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let known = path
            .extension()
            .is_some_and(|ending| ending == "conflist" || ending == "conf" || ending == "json");
        if known && !hidden {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folders {
        _root: tempfile::TempDir,
        conf: PathBuf,
        bin: PathBuf,
    }

    fn folders() -> Folders {
        let root = tempfile::tempdir().unwrap();
        let [conf, bin] = ["net.d", "bin"].map(|name| root.path().join(name));
        Folders { _root: root, conf, bin }
    }

    fn provide_in(folders: &Folders) -> Option<PathBuf> {
        let layout = Layout::new(Some(Path::new("/srv/orlop")));
        provide(&layout, &folders.conf, &folders.bin, Path::new("/proc/self/exe")).unwrap()
    }

    #[test]
    fn an_empty_machine_gets_a_network_of_the_instances_own() {
        let folders = folders();
        let written = provide_in(&folders).unwrap();
        let value: Value = serde_json::from_slice(&std::fs::read(written).unwrap()).unwrap();
        let layout = Layout::new(Some(Path::new("/srv/orlop")));
        assert_eq!(value["plugins"][0]["bridge"], layout.bridge);
        assert_eq!(value["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], layout.pod_cidr);
        assert!(folders.bin.join("portmap").exists());
    }

    #[test]
    fn a_configuration_that_is_there_stays() {
        let folders = folders();
        std::fs::create_dir_all(&folders.conf).unwrap();
        std::fs::write(folders.conf.join("05-calico.conflist"), "{}").unwrap();
        assert_eq!(provide_in(&folders), None);
        assert_eq!(std::fs::read_dir(&folders.conf).unwrap().count(), 1);
    }

    #[test]
    fn plugins_of_others_stay_and_dangling_links_are_mended() {
        let folders = folders();
        std::fs::create_dir_all(&folders.bin).unwrap();
        std::fs::write(folders.bin.join("bridge"), "theirs").unwrap();
        symlink("/nonexistent/orlop-cni", folders.bin.join("portmap")).unwrap();
        provide_in(&folders);
        assert_eq!(std::fs::read(folders.bin.join("bridge")).unwrap(), b"theirs");
        assert_eq!(std::fs::read_link(folders.bin.join("portmap")).unwrap(), Path::new("/proc/self/exe"));
    }
}
