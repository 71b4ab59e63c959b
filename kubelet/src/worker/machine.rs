//! What effects do to the machine itself: folders, volumes, cgroups, logs. All of it blocks.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use api_k8s::v1;

use super::links;
use super::perform::is_log_of;
use crate::cgroups::Tree;
use crate::translate::{Node, Start};
use crate::volumes;

/// Clones share one state.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) node: Arc<Node>,
    pub(crate) cgroups: Arc<Tree>,
}

impl Machine {
    /// Does something on a thread that may block.
    pub(crate) async fn on<F>(&self, work: F) -> Result<(), String>
    where
        F: FnOnce(&Self) -> Result<(), String> + Send + 'static,
    {
        let machine = self.clone();
        match tokio::task::spawn_blocking(move || work(&machine)).await {
            Ok(result) => result,
            Err(error) => Err(error.to_string()),
        }
    }

    /// Everything that has to be there before the sandbox.
    pub(crate) fn prepare_pod(&self, pod: &v1::Pod, log_dir: &Path) -> Result<(), String> {
        fs::create_dir_all(log_dir).map_err(|error| said("making", log_dir, &error))?;
        self.cgroups.create_pod(pod, &self.node).map_err(|error| chain(&error))?;
        volumes::setup(pod, &self.node).map_err(|error| chain(&error))
    }

    /// The pod's `/etc/hosts`, once its addresses are known.
    pub(crate) fn write_hosts(&self, pod: &v1::Pod, ips: &[IpAddr]) -> Result<(), String> {
        volumes::write_hosts(pod, &self.node, ips).map_err(|error| chain(&error))
    }

    /// Everything that has to be there before the container.
    pub(crate) fn prepare_container(
        &self,
        pod: &v1::Pod,
        container: &v1::Container,
        start: &Start,
    ) -> Result<(), String> {
        volumes::prepare(pod, container, &self.node, start).map_err(|error| chain(&error))
    }

    /// The files of a run that nobody asks for any more; `link` is the one to its log.
    pub(crate) fn remove_run(
        &self,
        log_folder: &Path,
        link: &Path,
        uid: &str,
        container: &str,
        attempt: u32,
    ) -> Result<(), String> {
        absent(fs::remove_file(link)).map_err(|error| said("removing", link, &error))?;
        let message = self.node.termination_log(uid, container, attempt);
        absent(fs::remove_file(&message)).map_err(|error| said("removing", &message, &error))?;
        let entries = match fs::read_dir(log_folder) {
            Ok(entries) => entries,
            Err(error) => return absent(Err(error)).map_err(|error| said("reading", log_folder, &error)),
        };
        for entry in entries.flatten().filter(|entry| is_log_of(&entry.path(), attempt)) {
            absent(fs::remove_file(entry.path())).map_err(|error| said("removing", &entry.path(), &error))?;
        }
        Ok(())
    }

    /// Nothing of the pod stays. Does not stop at the first error.
    pub(crate) fn remove_pod(&self, uid: &str, log_dir: &Path) -> Result<(), String> {
        let logs = absent(fs::remove_dir_all(log_dir)).map_err(|error| said("removing", log_dir, &error));
        all([self.remove_remains(uid), logs, links::sweep(&self.node)])
    }

    /// What is there although nobody has such a pod: a kubelet may have ended before the sandbox was made, or after
    /// it was removed.
    pub(crate) fn sweep(&self, known: &BTreeSet<String>) -> Result<(), String> {
        let mut uids = self.cgroups.pods();
        uids.extend(volumes::pod_uids(&self.node).map_err(|error| chain(&error))?);
        let remains = uids.difference(known).map(|uid| {
            tracing::info!(uid, "removing what is left of a pod");
            self.remove_remains(uid)
        });
        let logs = match fs::read_dir(&self.node.pod_logs_dir) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => Vec::new(),
        };
        let logs = logs.into_iter().filter(|folder| is_left(folder, known)).map(|folder| {
            absent(fs::remove_dir_all(&folder)).map_err(|error| said("removing", &folder, &error))
        });
        let removed = all(remains.chain(logs));
        all([removed, links::sweep(&self.node)])
    }

    fn remove_remains(&self, uid: &str) -> Result<(), String> {
        let cgroup = self.cgroups.remove_pod(uid).map_err(|error| chain(&error));
        all([cgroup, volumes::teardown(&self.node, uid).map_err(|error| chain(&error))])
    }
}

/// Whether a folder of logs (`NAMESPACE_NAME_UID`) belongs to no pod that is known.
fn is_left(folder: &Path, known: &BTreeSet<String>) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.split('_');
    let uid = (parts.next(), parts.next(), parts.next(), parts.next());
    matches!(uid, (Some(_), Some(_), Some(uid), None) if !known.contains(uid))
}

/// Every error in one text.
pub(super) fn all(results: impl IntoIterator<Item = Result<(), String>>) -> Result<(), String> {
    let errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

pub(super) fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn said(what: &str, path: &Path, error: &io::Error) -> String {
    format!("{what} {}: {error}", path.display())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
