//! What no record tells of: found by the names that everything of a pod carries, ended and removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use api_monitor::user_pin;

use super::super::Engine;
use super::records::Unreadable;
use crate::core::failure::Failure;
use crate::core::sandbox::Sandbox;
use crate::disk;
use crate::effects::Effect;
use crate::monitor::Process;

impl Engine {
    /// Ends and removes the pods and containers whose records cannot be read. The containers of such a pod have records
    /// of their own and are undone by these; its addresses and the pin of its network are swept.
    pub(super) async fn end_unreadable(
        &self,
        unreadable: &Unreadable,
        rebooted: bool,
    ) -> Result<(), Failure> {
        let Unreadable { sandboxes, containers } = unreadable;
        let names: BTreeSet<&str> = sandboxes.iter().chain(containers).map(String::as_str).collect();
        if names.is_empty() {
            return Ok(());
        }
        let paths = &self.performer.paths;
        for id in sandboxes {
            tracing::warn!(sandbox = id, "ending a pod without a record");
            self.end_folder(&paths.monitor(id), rebooted).await?;
            disk::unmount(&paths.pod_files(id).shm)?;
        }
        for id in containers {
            tracing::warn!(container = id, "ending a container without a record");
            if !rebooted {
                self.performer.delete_alone(id).await?;
            }
        }
        let operation = self.performer.begin("EndUnreadable");
        // Without the record nobody knows under which parent their cgroups are.
        let mut cgroups = BTreeSet::new();
        for tree in &self.performer.hierarchies.trees {
            let folders = folders_named(&tree.mount, &names);
            cgroups.extend(
                folders.iter().filter_map(|path| Some(path.strip_prefix(&tree.mount).ok()?.to_owned())),
            );
        }
        for path in cgroups {
            operation.perform(Effect::RemoveCgroup { path: path.display().to_string() }).await?;
        }
        for id in containers {
            operation.perform(Effect::UnmountRootfs { container: id.clone() }).await?;
            operation.perform(Effect::ForgetContainer { container: id.clone() }).await?;
        }
        for id in sandboxes {
            operation.perform(Effect::ForgetSandbox { sandbox: id.clone() }).await?;
        }
        Ok(())
    }

    /// Ends the monitors whose sandbox has no record, not even an unreadable one.
    pub(super) async fn end_monitors_without_record(&self, sandboxes: &[Sandbox]) -> Result<(), Failure> {
        let paths = &self.performer.paths;
        let known: BTreeSet<PathBuf> = sandboxes.iter().map(|sandbox| paths.monitor(&sandbox.id)).collect();
        for name in disk::names(&paths.monitors())? {
            let folder = paths.monitors().join(name);
            if !known.contains(&folder) {
                tracing::warn!(folder = %folder.display(), "ending a monitor of no known pod");
                self.end_folder(&folder, false).await?;
            }
        }
        Ok(())
    }

    /// Kills the monitor that owns a folder and removes the folder. After a reboot its number is somebody else's.
    async fn end_folder(&self, folder: &Path, rebooted: bool) -> Result<(), Failure> {
        if !rebooted && let Some(process) = Process::find(folder, &folder.join(crate::paths::SOCKET)) {
            process.kill().await;
        }
        disk::unmount(&user_pin(folder))?;
        disk::remove_dirs(folder)?;
        Ok(())
    }
}

/// The folders below one that have any of these names, which are ids and so nobody else's.
fn folders_named(folder: &Path, names: &BTreeSet<&str>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
            found.push(entry.path());
        } else {
            found.extend(folders_named(&entry.path(), names));
        }
    }
    found
}
