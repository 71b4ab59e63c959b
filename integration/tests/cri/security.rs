//! Privileged containers and the propagation of mounts.

use std::collections::HashMap;
use std::path::Path;

use api_cri::v1::{
    ContainerConfig, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, Mount, MountPropagation,
    PodSandboxConfig, RunPodSandboxRequest,
};
use integration::node::Node;
use integration::runner::{TestError, TestResult, check, fail};
use nix::mount::{MsFlags, mount};

use crate::life::remove;
use crate::recovery::FOR_EVER;

fn privileged_pod(node: &Node, name: &str) -> PodSandboxConfig {
    let mut config = node.pod(name);
    security_of_pod(&mut config).privileged = true;
    config
}

fn security_of_pod(config: &mut PodSandboxConfig) -> &mut LinuxSandboxSecurityContext {
    config.linux.get_or_insert_default().security_context.get_or_insert_default()
}

fn security(config: &mut ContainerConfig) -> &mut LinuxContainerSecurityContext {
    config.linux.get_or_insert_default().security_context.get_or_insert_default()
}

fn run(node: &Node, config: PodSandboxConfig) -> Result<String, TestError> {
    let request = RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
    let mut cri = node.client()?;
    let answer =
        node.runtime.block_on(cri.runtime.run_pod_sandbox(request)).map_err(|status| node.told(&status))?;
    Ok(answer.into_inner().pod_sandbox_id)
}

fn started(node: &Node, sandbox: &str, config: ContainerConfig) -> Result<String, TestError> {
    let id = node.create_from("security", sandbox, config)?;
    node.start_container(&id)?;
    Ok(id)
}

/// The lines of a process's status, by their names.
fn fields(text: &str) -> HashMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect()
}

pub(crate) fn a_privileged_container_is_held_back_by_nothing() -> TestResult {
    let node = Node::ready()?;
    let sandbox = run(&node, privileged_pod(&node, "security"))?;
    let mut config = node.container("free", FOR_EVER);
    security(&mut config).privileged = true;
    let free = started(&node, &sandbox, config)?;
    // As a kubelet asks for it when procMount is Default.
    let mut config = node.container("bound", FOR_EVER);
    security(&mut config).masked_paths = vec!["/proc/kcore".into(), "/proc/keys".into()];
    security(&mut config).readonly_paths = vec!["/proc/sys".into()];
    let bound = started(&node, &sandbox, config)?;

    let own = std::fs::read_to_string("/proc/self/status")?;
    let status = |id: &str| node.exec(id, &["cat", "/proc/self/status"]).map(|(_, text)| text);
    let (of_free, of_bound) = (status(&free)?, status(&bound)?);
    let (own, of_free, of_bound) = (fields(&own), fields(&of_free), fields(&of_bound));
    check(of_free["CapEff"] == own["CapBnd"], || {
        format!("it has {} of {}", of_free["CapEff"], own["CapBnd"])
    })?;
    check(of_free["Seccomp"] == "0", || format!("its seccomp mode is {}", of_free["Seccomp"]))?;
    check(of_bound["CapEff"] != own["CapBnd"], || "so has the other".into())?;

    // Each works in the one and fails in the other.
    for (what, script) in [
        ("a device of the host", "head -c 0 /dev/kmsg"),
        ("a device that it makes", "mknod /made c 1 11 && head -c 0 </made && rm /made"),
        ("a mount", "mkdir -p /m && mount -t tmpfs none /m && umount /m"),
        (
            "a parameter",
            "cat /proc/sys/kernel/core_pattern >/tmp-c && cat /tmp-c >/proc/sys/kernel/core_pattern",
        ),
        ("sysfs", "mount | grep -q '^sysfs on /sys type sysfs (rw'"),
        (
            "an unmasked path",
            "mount | grep -q ' /proc/keys ' && exit 1; mount | grep -q ' /proc/kcore ' && exit 1; :",
        ),
    ] {
        let (code, text) = node.exec(&free, &["sh", "-c", script])?;
        check(code == 0, || format!("{what} in the privileged one: {code}: {text}"))?;
        let (code, _) = node.exec(&bound, &["sh", "-c", script])?;
        check(code != 0, || format!("{what} in the other one"))?;
    }
    remove(&node, &sandbox)
}

pub(crate) fn mounts_propagate_as_asked() -> TestResult {
    let node = Node::ready()?;
    let shared = node.folder.join("shared");
    std::fs::create_dir_all(&shared)?;
    let none = None::<&str>;
    mount(Some(&shared), &shared, none, MsFlags::MS_BIND, none)?;
    mount(none, &shared, none, MsFlags::MS_SHARED, none)?;
    let sandbox = run(&node, privileged_pod(&node, "security"))?;
    let container = |name: &str, source: &Path, propagation: MountPropagation| {
        let mut config = node.container(name, FOR_EVER);
        security(&mut config).privileged = true;
        config.mounts = vec![Mount {
            container_path: "/m".into(),
            host_path: source.display().to_string(),
            propagation: propagation.into(),
            ..Mount::default()
        }];
        config
    };
    use MountPropagation::{
        PropagationBidirectional as Both, PropagationHostToContainer as Into, PropagationPrivate as Private,
    };
    let private = started(&node, &sandbox, container("private", &shared, Private))?;
    let slave = started(&node, &sandbox, container("slave", &shared, Into))?;
    let both = started(&node, &sandbox, container("both", &shared, Both))?;

    // From the host into the containers.
    let late = shared.join("late");
    std::fs::create_dir(&late)?;
    mount(Some("tmpfs"), &late, Some("tmpfs"), MsFlags::empty(), none)?;
    std::fs::write(late.join("file"), "")?;
    for (name, id, seen) in [("private", &private, false), ("slave", &slave, true), ("both", &both, true)] {
        let (code, _) = node.exec(id, &["test", "-e", "/m/late/file"])?;
        check((code == 0) == seen, || format!("{name}: a mount of the host is seen: {}", code == 0))?;
    }
    // From a container to the host, and on.
    for (name, id, seen) in [("private", &private, false), ("slave", &slave, false), ("both", &both, true)] {
        let make = format!("mkdir /m/{name} && mount -t tmpfs none /m/{name} && touch /m/{name}/file");
        let (code, text) = node.exec(id, &["sh", "-c", &make])?;
        check(code == 0, || format!("{name}: {text}"))?;
        check(shared.join(name).join("file").exists() == seen, || {
            format!("{name}: its mount reached the host")
        })?;
    }
    let (code, _) = node.exec(&slave, &["test", "-e", "/m/both/file"])?;
    check(code == 0, || "a mount of one did not reach the other".into())?;

    // What cannot propagate is refused: `/run` of this test is private.
    let plain = node.folder.join("plain");
    std::fs::create_dir_all(&plain)?;
    for (name, propagation) in [("plain-slave", Into), ("plain-both", Both)] {
        match node.create_from("security", &sandbox, container(name, &plain, propagation)) {
            Err(TestError::Failed(text)) if text.contains("not a shared mount") => {}
            other => return fail(format!("{name} of a private mount: {other:?}")),
        }
    }
    remove(&node, &sandbox)?;
    check(late.join("file").exists(), || "the host's own mount went with the pod".into())
}
