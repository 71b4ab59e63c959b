//! Records that are cut off or gone: what they told of is found without them and ended.

use std::path::PathBuf;
use std::time::Duration;

use integration::leftovers::compare;
use integration::node::{Node, machine};
use integration::process::wait_for;
use integration::runner::{TestError, TestResult, check, fail};
use nix::mount::{MntFlags, umount2};

use crate::life::{first_pod, remove};
use crate::recovery::ready;

/// One process, always the same, since processes are compared.
const FOR_EVER: &[&str] = &["sleep", "100000"];
const DEADLINE: Duration = Duration::from_secs(20);

fn pod(node: &Node, name: &str) -> Result<(String, String), TestError> {
    let sandbox = node.run(name)?;
    let container = node.create(name, &sandbox, "c", FOR_EVER)?;
    node.start_container(&container)?;
    Ok((sandbox, container))
}

fn record(node: &Node, kind: &str, id: &str, file: &str) -> PathBuf {
    node.folder.join("state").join(kind).join(id).join(file)
}

/// Killed processes leave their cgroup a moment later.
fn nothing_is_left(node: &Node, before: &std::collections::BTreeSet<String>, what: &str) -> TestResult {
    let mut left = None;
    let gone = wait_for(DEADLINE, "everything to be gone", || {
        left = compare(before, &machine(node)?).err();
        Ok(left.is_none().then_some(()))
    });
    gone.or_else(|_| fail(format!("{what}: {left:?}\n{}", node.log())))
}

pub(crate) fn a_pod_whose_record_is_lost_is_ended() -> TestResult {
    let mut node = Node::ready()?;
    first_pod(&node)?;
    let (spared, other) = pod(&node, "spared")?;
    let before = machine(&node)?;
    for what in ["cut off", "missing", "all of its folder missing"] {
        let (sandbox, _) = pod(&node, "lost")?;
        let path = record(&node, "sandboxes", &sandbox, "sandbox.json");
        node.kill()?;
        match what {
            "cut off" => std::fs::File::options().write(true).open(&path)?.set_len(100)?,
            "missing" => std::fs::remove_file(&path)?,
            _ => {
                umount2(&record(&node, "sandboxes", &sandbox, "shm"), MntFlags::MNT_DETACH)?;
                std::fs::remove_dir_all(node.folder.join("state/sandboxes").join(&sandbox))?;
                // Nobody can tell the sandbox's own cgroup by anything but its record and its folder.
                for group in integration::leftovers::cgroups(&node.cgroup) {
                    let groups = integration::leftovers::below(&group);
                    for own in groups.iter().filter(|group| group.ends_with(&sandbox)) {
                        std::fs::remove_dir(own)?;
                    }
                }
            }
        }
        node.start(&[])?;
        nothing_is_left(&node, &before, what)?;
        check(ready(&node, &spared)? && node.exec(&other, &["true"])?.0 == 0, || {
            format!("{what}: another pod noticed")
        })?;
    }
    remove(&node, &spared)
}

pub(crate) fn a_container_whose_record_is_lost_is_ended_alone() -> TestResult {
    let mut node = Node::ready()?;
    let (sandbox, kept) = pod(&node, "part")?;
    let before = machine(&node)?;
    let lost = node.create("part", &sandbox, "lost", FOR_EVER)?;
    node.start_container(&lost)?;
    node.kill()?;
    std::fs::write(record(&node, "containers", &lost, "container.json"), "{")?;
    node.start(&[])?;
    nothing_is_left(&node, &before, "a container")?;
    check(ready(&node, &sandbox)? && node.exec(&kept, &["true"])?.0 == 0, || "the pod noticed".into())?;
    // Its name is free, and its monitor has forgotten it.
    let again = node.create("part", &sandbox, "lost", FOR_EVER)?;
    node.start_container(&again)?;
    remove(&node, &sandbox)
}
