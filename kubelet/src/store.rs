//! What the kubelet remembers of its pods over its own restart: one small file per pod.
//!
//! Each carries the version of its layout. A file of another one is not used and goes: what runs is seen in the
//! runtime, and what was remembered beyond that (when the pod began, what its probes said) is found out anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::Saved;

const SUFFIX: &str = ".json";

/// Another number for every change of [`Saved`] that an older or a newer kubelet would misread.
const VERSION: u32 = 1;

/// A whole file.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    pod: &'a Saved,
}

/// Read before the rest.
#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    version: u32,
}

#[derive(Deserialize)]
struct Remembered {
    pod: Saved,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    #[error("written by another version of the kubelet: its layout is {0}, this one's is {VERSION}")]
    Version(u32),
}

fn read(path: &Path) -> Result<Saved, Unusable> {
    let bytes = fs::read(path)?;
    let Version { version } = serde_json::from_slice(&bytes)?;
    if version != VERSION {
        return Err(Unusable::Version(version));
    }
    let Remembered { pod } = serde_json::from_slice(&bytes)?;
    Ok(pod)
}

/// `ROOT/orlop/UID.json`.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes the folder.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let folder = root.join("orlop");
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Everything that is remembered. A file that cannot be used is said, and removed.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<String, Saved>> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(uid) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else { continue };
            match read(&entry.path()) {
                Ok(saved) => drop(all.insert(uid.to_owned(), saved)),
                Err(error) => {
                    let path = entry.path();
                    tracing::warn!(path = %path.display(), %error, "what was remembered of a pod is not used");
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(all)
    }

    /// Replaces what is remembered of a pod. Not synced: after a crash of the machine its containers are gone too.
    pub(crate) fn save(&self, uid: &str, saved: &Saved) -> io::Result<()> {
        let path = self.path(uid);
        let unfinished = path.with_extension("tmp");
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(&Written { version: VERSION, pod: saved })?)?;
        fs::rename(&unfinished, path)
    }

    /// Forgets a pod.
    pub(crate) fn forget(&self, uid: &str) -> io::Result<()> {
        match fs::remove_file(self.path(uid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, uid: &str) -> PathBuf {
        self.folder.join(format!("{uid}{SUFFIX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut saved = Saved::default();
        saved
            .containers
            .insert("c".into(), crate::core::SavedContainer { started: true, ..Default::default() });
        store.save("u", &saved).unwrap();
        let unusable =
            ["broken", "newer", "older"].map(|name| folder.path().join(format!("orlop/{name}.json")));
        fs::write(&unusable[0], "{").unwrap();
        fs::write(&unusable[1], r#"{"version": 2, "pod": 7}"#).unwrap();
        fs::write(&unusable[2], r#"{"start_time": null, "containers": {}}"#).unwrap();
        assert_eq!(
            read(&unusable[1]).unwrap_err().to_string(),
            "written by another version of the kubelet: its layout is 2, this one's is 1"
        );
        assert!(matches!(read(&unusable[2]), Err(Unusable::Version(0))));
        assert_eq!(store.load().unwrap(), BTreeMap::from([("u".into(), saved)]));
        assert!(unusable.iter().all(|path| !path.exists()));
        store.forget("u").unwrap();
        store.forget("u").unwrap();
        assert!(store.load().unwrap().is_empty());
    }
}
