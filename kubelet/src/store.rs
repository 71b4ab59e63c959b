//! What the kubelet remembers of its pods over its own restart: one small file per pod.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::core::Saved;

const SUFFIX: &str = ".json";

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

    /// Everything that is remembered. A file that cannot be understood is as good as none.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<String, Saved>> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(uid) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else { continue };
            match fs::read(entry.path()).map(|bytes| serde_json::from_slice(&bytes)) {
                Ok(Ok(saved)) => drop(all.insert(uid.to_owned(), saved)),
                error => tracing::warn!(path = %entry.path().display(), ?error, "not readable"),
            }
        }
        Ok(all)
    }

    /// Replaces what is remembered of a pod. Not synced: after a crash of the machine its containers are gone too.
    pub(crate) fn save(&self, uid: &str, saved: &Saved) -> io::Result<()> {
        let path = self.path(uid);
        let unfinished = path.with_extension("tmp");
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(saved)?)?;
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
        fs::write(folder.path().join("orlop/broken.json"), "{").unwrap();
        assert_eq!(store.load().unwrap(), BTreeMap::from([("u".into(), saved)]));
        store.forget("u").unwrap();
        store.forget("u").unwrap();
        assert!(store.load().unwrap().is_empty());
    }
}
