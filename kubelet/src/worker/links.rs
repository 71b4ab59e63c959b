//! Links to the containers' logs in one flat folder, by which shippers of logs find and name them.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::machine::{absent, all, said};
use crate::translate::Node;

/// Makes the link of one run. One that is there already is replaced.
pub(super) fn make(link: &Path, log: &Path) -> Result<(), String> {
    let made = match symlink(log, link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = link.parent().unwrap_or(link);
            fs::create_dir_all(folder).and_then(|()| symlink(log, link))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            absent(fs::remove_file(link)).and_then(|()| symlink(log, link))
        }
        result => result,
    };
    made.map_err(|error| said("linking", link, &error))
}

/// Removes the links into this kubelet's logs whose pod's folder is gone. Those of others are left alone.
pub(super) fn sweep(node: &Node) -> Result<(), String> {
    let folder = &node.container_logs_dir;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return absent(Err(error)).map_err(|error| said("reading", folder, &error)),
    };
    all(entries.flatten().map(|entry| entry.path()).filter(|link| is_left(node, link)).map(|link| {
        tracing::debug!(link = %link.display(), "removing a link to a log that is gone");
        absent(fs::remove_file(&link)).map_err(|error| said("removing", &link, &error))
    }))
}

fn is_left(node: &Node, link: &Path) -> bool {
    let Ok(log) = fs::read_link(link) else { return false };
    let pod = log.strip_prefix(&node.pod_logs_dir).ok().and_then(|rest| rest.components().next());
    pod.is_some_and(|pod| !node.pod_logs_dir.join(pod).exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::tests::node;

    #[test]
    fn a_link_goes_with_its_pods_logs_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let node = Node {
            pod_logs_dir: dir.path().join("pods"),
            container_logs_dir: dir.path().join("containers"),
            ..node()
        };
        let log = node.log_dir("n", "p", "u").join("c/0.log");
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        let link = node.log_link("n", "p", "c", "0123");
        assert_eq!(link, dir.path().join("containers/p_n_c-0123.log"));
        make(&link, Path::new("/elsewhere")).unwrap();
        make(&link, &log).unwrap();
        let foreign = node.container_logs_dir.join("foreign.log");
        symlink("/var/lib/docker/gone", &foreign).unwrap();
        sweep(&node).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), log, "the log need not be there yet");
        fs::remove_dir_all(node.log_dir("n", "p", "u")).unwrap();
        sweep(&node).unwrap();
        assert!(!link.is_symlink() && foreign.is_symlink());
    }

    #[test]
    fn a_name_has_no_more_bytes_than_the_file_system_takes() {
        let link = node().log_link("n", &"p".repeat(253), "c", &"0".repeat(64));
        assert_eq!(link.file_name().unwrap().len(), 255);
        assert!(link.display().to_string().ends_with("p.log"));
    }
}
