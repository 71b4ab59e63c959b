//! What effects do to the machine itself: folders, volumes, cgroups, logs. All of it blocks.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use api_k8s::v1;

use super::perform::is_log_of;
use crate::translate::{Node, Start};
use crate::volumes;

/// Clones share one state.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) node: Arc<Node>,
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

    /// The files of a run that nobody asks for any more.
    pub(crate) fn remove_run(
        &self,
        log_folder: &Path,
        uid: &str,
        container: &str,
        attempt: u32,
    ) -> Result<(), String> {
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

    /// Nothing of the pod stays.
    pub(crate) fn remove_pod(&self, uid: &str, log_dir: &Path) -> Result<(), String> {
        let volumes = volumes::teardown(&self.node, uid).map_err(|error| chain(&error));
        let logs = absent(fs::remove_dir_all(log_dir)).map_err(|error| said("removing", log_dir, &error));
        match (volumes, logs) {
            (Err(one), Err(other)) => Err(format!("{one}; {other}")),
            (one, other) => one.and(other),
        }
    }
}

fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn said(what: &str, path: &Path, error: &io::Error) -> String {
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
