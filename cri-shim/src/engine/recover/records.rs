//! The records as earlier daemons left them. Reading changes nothing.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::core::container::Container;
use crate::core::id;
use crate::core::sandbox::{FORMATS, Sandbox, Written};
use crate::disk;
use crate::paths::Paths;

/// Everything that was found.
#[derive(Default)]
pub(super) struct Records {
    pub sandboxes: Vec<Sandbox>,
    pub containers: Vec<Container>,
    pub unreadable: Unreadable,
    pub foreign: Vec<Foreign>,
}

/// The ids of those whose record is missing, cut off, or no record.
#[derive(Default)]
pub(super) struct Unreadable {
    pub sandboxes: Vec<String>,
    pub containers: Vec<String>,
}

/// A record that a daemon of another version wrote.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path} is of format {format}, and this daemon reads {FORMATS:?}: start the version that wrote it, \
     or remove its pods with that one first",
    path = path.display()
)]
pub(super) struct Foreign {
    path: PathBuf,
    format: u32,
}

enum Unread {
    Foreign(Foreign),
    Broken(disk::Error),
}

/// Reads all records.
pub(super) fn read(paths: &Paths) -> Result<Records, disk::Error> {
    let mut records = Records::default();
    let ids = |folder: &Path| {
        disk::names(folder).map(|names| names.into_iter().filter(|name| id::is_id(name)).collect::<Vec<_>>())
    };
    for name in ids(&paths.sandboxes())? {
        match read_one(&paths.sandbox_file(&name)) {
            Ok(sandbox) => records.sandboxes.push(sandbox),
            Err(Unread::Foreign(foreign)) => records.set_aside(foreign, |lost| &mut lost.sandboxes, name),
            Err(Unread::Broken(error)) => {
                tracing::warn!(%error, "a sandbox without a record");
                records.unreadable.sandboxes.push(name);
            }
        }
    }
    for name in ids(&paths.containers())? {
        match read_one(&paths.container_file(&name)) {
            Ok(container) => records.containers.push(container),
            Err(Unread::Foreign(foreign)) => records.set_aside(foreign, |lost| &mut lost.containers, name),
            Err(Unread::Broken(error)) => {
                tracing::warn!(%error, "a container without a record");
                records.unreadable.containers.push(name);
            }
        }
    }
    Ok(records)
}

impl Records {
    /// Where it does not keep the daemon from starting, after a reboot, it is as good as unreadable.
    fn set_aside(
        &mut self,
        foreign: Foreign,
        list: impl Fn(&mut Unreadable) -> &mut Vec<String>,
        name: String,
    ) {
        self.foreign.push(foreign);
        list(&mut self.unreadable).push(name);
    }
}

fn read_one<T: DeserializeOwned>(path: &Path) -> Result<T, Unread> {
    // The version first: the rest of another one's may look like anything.
    let Written { format } = disk::read_json(path).map_err(Unread::Broken)?;
    if !FORMATS.contains(&format) {
        return Err(Unread::Foreign(Foreign { path: path.into(), format }));
    }
    disk::read_json(path).map_err(Unread::Broken)
}
