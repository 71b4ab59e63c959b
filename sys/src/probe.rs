//! What this kernel can do for this process, tried for real.
//!
//! Every probe makes the thing and lets it go again: a namespace with a child that ends at once, an overlay that is
//! never attached, a bridge in a network namespace that ends with its thread. Nothing is left on the machine. A
//! probe says what it found, or why not.
#![allow(unsafe_code)]

use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use caps::{CapSet, Capability};
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::process::{WaitId, WaitIdOptions};

use crate::cgroup::{Cgroup, Hierarchies, Version};
use crate::error::errno_of;
use crate::mount::Attributes;
use crate::namespace::{self, Kind};
use crate::netlink::{Netlink, Peer};
use crate::netns::NetNs;
use crate::process::{self, Child, Fork};
use crate::{During as _, Error, mount};

/// What was found, in a few words, or why it is missing.
pub type Found = Result<String, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The kernel's release.
pub fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// A child in a new namespace, by clone3(2) with a pidfd.
pub fn namespace(kind: Kind) -> Found {
    let child = child_in(kind)?;
    process::send_signal(&child.pidfd, libc::SIGKILL).map_err(text)?;
    reap(&child)?;
    Ok("a child was cloned into it".into())
}

/// A child that waits for its end.
fn child_in(kind: Kind) -> Result<Child, String> {
    let how = process::Clone { flags: kind.flag(), cgroup: None };
    // SAFETY: the child makes two kinds of system calls that take no lock, never returns, and is killed by us;
    // that other threads exist does not matter to it.
    match unsafe { process::clone(&how) }.map_err(text)? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => loop {
            // SAFETY: neither takes a pointer. The child does not outlive its parent.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::pause();
            }
        },
    }
}

fn reap(child: &Child) -> Result<(), String> {
    rustix::process::waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).map_err(text)?;
    Ok(())
}

/// Sending a signal by descriptor, to this process (signal 0).
pub fn pidfd() -> Found {
    let own = process::pidfd(std::process::id().cast_signed()).map_err(text)?;
    process::send_signal(&own, 0).map_err(text)?;
    Ok("pidfd_open and pidfd_send_signal".into())
}

/// Resolving a path below a folder (openat2(2)).
pub fn openat2() -> Found {
    let root = crate::fs::Root::open(Path::new("/")).map_err(text)?;
    root.resolve(Path::new("proc/self")).map_err(text)?;
    Ok("RESOLVE_IN_ROOT".into())
}

/// A detached tmpfs by the new mount calls, with changed attributes.
pub fn mount_api() -> Found {
    let tree = mount::empty_folder().map_err(text)?;
    let attributes =
        Attributes { set: libc::MOUNT_ATTR_NOATIME, clear: libc::MOUNT_ATTR__ATIME, propagation: 0 };
    mount::set_attributes(&tree, true, attributes, None).map_err(text)?;
    Ok("fsopen, fsmount and mount_setattr".into())
}

/// An overlay whose layers lie in a new folder below `folder`, which is removed afterwards.
pub fn overlay(folder: &Path) -> Found {
    let scratch = folder.join(format!(".orlop-doctor-{}", std::process::id()));
    let probe = || -> Result<(), Error> {
        let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).during("fsopen", "overlay")?;
        for (option, name) in [("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")] {
            let path = scratch.join(name);
            std::fs::create_dir_all(&path).during("mkdir", path.display())?;
            let set = rustix::mount::fsconfig_set_string(&fs, option, path.as_path());
            set.during("fsconfig", path.display())?;
        }
        rustix::mount::fsconfig_create(&fs).during("create overlay", scratch.display())?;
        rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
            .during("fsmount", "overlay")
            .map(drop)
    };
    let result = probe();
    // The kernel makes work/work with mode 000, which root may remove.
    let removed = std::fs::remove_dir_all(&scratch);
    result.map_err(text)?;
    removed.map_err(|error| format!("removing {}: {error}", scratch.display()))?;
    Ok(format!("with layers in {}", folder.display()))
}

/// A copy of the mount at `folder` whose owners are mapped by a user namespace.
pub fn idmapped_mount(folder: &Path) -> Found {
    let child = child_in(Kind::User)?;
    let mapped = map_owners(folder, child.pid);
    process::send_signal(&child.pidfd, libc::SIGKILL).map_err(text)?;
    reap(&child)?;
    mapped.map(|()| format!("on the file system of {}", folder.display()))
}

fn map_owners(folder: &Path, pid: i32) -> Result<(), String> {
    let namespace: OwnedFd = {
        for map in ["uid_map", "gid_map"] {
            crate::fs::write(Path::new(&format!("/proc/{pid}/{map}")), "0 65536 65536").map_err(text)?;
        }
        std::fs::File::open(format!("/proc/{pid}/ns/user")).map_err(text)?.into()
    };
    let tree = mount::copy_tree(folder, false).map_err(text)?;
    mount::set_attributes(&tree, false, Attributes::default(), Some(&namespace)).map_err(text)
}

/// A seccomp filter may be loaded, and may answer with an error, log, or ask a supervisor.
pub fn seccomp() -> Found {
    let mut there = Vec::new();
    for (name, action) in [
        ("errno", libc::SECCOMP_RET_ERRNO),
        ("log", libc::SECCOMP_RET_LOG),
        ("notify", libc::SECCOMP_RET_USER_NOTIF),
    ] {
        // SAFETY: the kernel reads one u32, which outlives the call.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
        if result == 0 {
            there.push(name);
        }
    }
    if there.contains(&"errno") { Ok(there.join(", ")) } else { Err("no filters in this kernel".into()) }
}

/// A bridge and a veth pair, in a network namespace that ends with its thread.
pub fn bridge_and_veth() -> Found {
    let probe = || -> Result<(), String> {
        namespace::unshare(Kind::Network.flag()).map_err(text)?;
        let here = NetNs::current().map_err(text)?;
        let mut netlink = Netlink::open().map_err(text)?;
        netlink.add_bridge("probe0", [2, 0, 0, 0, 0, 1], None).map_err(text)?;
        let peer = Peer { name: "probe2", netns: &here, mac: None };
        netlink.add_veth("probe1", None, None, &peer).map_err(text)
    };
    on_a_thread(probe)?;
    Ok("made in a network namespace of their own".into())
}

/// nf_tables answers for its generation, in a network namespace that ends with its thread.
pub fn nftables() -> Found {
    on_a_thread(|| {
        namespace::unshare(Kind::Network.flag()).map_err(text)?;
        nft_generation().map_err(text)
    })?;
    Ok("nf_tables answers".into())
}

/// Runs a probe on a thread that ends with it, so that the namespaces it enters end as well.
fn on_a_thread(probe: impl FnOnce() -> Result<(), String> + Send) -> Result<(), String> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("probe".into()).spawn_scoped(scope, probe).map_err(text)?;
        thread.join().unwrap_or_else(|_| Err("the probe panicked".into()))
    })
}

/// `NFT_MSG_GETGEN` without attributes: a netlink header and an nfgenmsg of zeros.
fn nft_generation() -> Result<(), Error> {
    const NETLINK_NETFILTER: isize = 12;
    const NFNL_SUBSYS_NFTABLES: u16 = 10;
    const NFT_MSG_GETGEN: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const NLMSG_ERROR: u16 = 2;
    let mut request = Vec::with_capacity(20);
    request.extend(20_u32.to_ne_bytes());
    request.extend((NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN).to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend([0; 12]);
    let mut socket = Socket::new(NETLINK_NETFILTER).during("socket", "netfilter")?;
    socket.bind_auto().during("bind", "netfilter")?;
    socket.connect(&SocketAddr::new(0, 0)).during("connect", "netfilter")?;
    socket.send(&request, 0).during("send", "nf_tables")?;
    let mut answer = Vec::with_capacity(4096);
    socket.recv(&mut answer, 0).during("receive", "nf_tables")?;
    let field = |at: usize| answer.get(at..at + 2).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    if field(4) != Some(NLMSG_ERROR) {
        return Ok(());
    }
    let code =
        answer.get(16..20).map_or(0, |bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    Err(Error::new("query", "nf_tables", Errno::from_raw_os_error(-code)))
}

/// A cgroup in every tree, made and removed. Says which version.
pub fn cgroups() -> Found {
    let hierarchies = Hierarchies::discover().map_err(text)?;
    if hierarchies.trees.is_empty() {
        return Err("no cgroup tree is mounted at /sys/fs/cgroup".into());
    }
    let cgroup = Cgroup::new(&hierarchies, Path::new(&format!("/orlop-doctor-{}", std::process::id())));
    let created = cgroup.create();
    let removed = cgroup.remove();
    created.and(removed).map_err(text)?;
    Ok(match hierarchies.version {
        Version::V1 => format!("version 1, {} trees", hierarchies.trees.len()),
        Version::V2 => "version 2".into(),
    })
}

/// Whether a controller (`cpu`, `memory`, `pids`, `cpuset`, `devices`, `freezer`, `hugetlb`) limits containers.
pub fn controller(name: &str) -> Found {
    let hierarchies = Hierarchies::discover().map_err(text)?;
    if hierarchies.version == Version::V2 {
        let available = crate::fs::read(Path::new("/sys/fs/cgroup/cgroup.controllers")).map_err(text)?;
        let there = available.split_whitespace().any(|controller| controller == name);
        return if there {
            Ok("version 2".into())
        } else {
            Err(format!("cgroup.controllers says {available:?}"))
        };
    }
    let tree = hierarchies
        .trees
        .iter()
        .find(|tree| tree.controllers.split(',').any(|controller| controller == name));
    tree.map(|tree| format!("version 1 at {}", tree.mount.display())).ok_or_else(|| "no tree has it".into())
}

/// Whether the machine has version 2 alone.
pub fn cgroup_v2() -> Found {
    let hierarchies = Hierarchies::discover().map_err(text)?;
    if hierarchies.version == Version::V2 {
        Ok("cgroup.kill, cgroup.events".into())
    } else {
        Err("version 1".into())
    }
}

/// A program that decides about devices on cgroup version 2 can be loaded.
pub fn device_program() -> Found {
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    // `r0 = 1; exit`: one instruction is 8 bytes.
    let program: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let license = c"Apache-2.0";
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        rest: [u64; 14],
    }
    let load = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: 2,
        instructions: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        rest: [0; 14],
    };
    // SAFETY: `load` begins as the kernel's `bpf_attr` for BPF_PROG_LOAD does, its size is given, and what it points
    // to outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) };
    if fd < 0 {
        return Err(text(Error::new("load", "device program", errno_of(&std::io::Error::last_os_error()))));
    }
    let fd = i32::try_from(fd).map_err(text)?;
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok("loaded by bpf(2)".into())
}

/// Whether this process has all of these capabilities.
pub fn capabilities(wanted: &[&str]) -> Found {
    let have = caps::read(None, CapSet::Effective).map_err(text)?;
    let mut missing = Vec::new();
    for name in wanted {
        let capability: Capability = name.parse().map_err(text)?;
        if !have.contains(&capability) {
            missing.push(*name);
        }
    }
    if missing.is_empty() {
        Ok(format!("{} effective", have.len()))
    } else {
        Err(format!("without {}", missing.join(", ")))
    }
}

/// Whether a file of the kernel can be read and, unless `expected` is empty, begins with it.
pub fn kernel_file(path: &str, expected: &str) -> Found {
    let content = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let line = content.lines().next().unwrap_or_default();
    if line.starts_with(expected) { Ok(path.to_owned()) } else { Err(format!("{path} says {line:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As root on a machine that runs containers; what a probe says elsewhere is not this test's business.
    #[test]
    fn probes_answer_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let before = std::fs::read_dir("/proc/self/task").unwrap().count();
        if capabilities(&["CAP_SYS_ADMIN"]).is_ok() {
            namespace(Kind::Mount).unwrap();
            namespace(Kind::Pid).unwrap();
            overlay(folder.path()).unwrap();
            bridge_and_veth().unwrap();
        }
        pidfd().unwrap();
        openat2().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(std::fs::read_dir("/proc/self/task").unwrap().count() <= before + 1);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(kernel_file("/proc/sys/kernel/ostype", "Linux"), Ok("/proc/sys/kernel/ostype".into()));
        assert!(kernel_file("/proc/sys/kernel/ostype", "Hurd").unwrap_err().contains("Linux"));
        assert!(kernel_file("/proc/nothing", "").unwrap_err().starts_with("/proc/nothing: "));
        assert!(capabilities(&["CAP_MAGIC"]).is_err());
    }
}
