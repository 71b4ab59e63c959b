//! What the unpacking child gives up before it reads its input.

use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};
use sys::process::{Capabilities, limit_bounding, set_capabilities};

/// capabilities(7), by number: CHOWN, DAC_OVERRIDE, FOWNER and FSETID for files of other owners, MKNOD for devices
/// and whiteouts, SETFCAP for file capabilities, and SYS_ADMIN for `trusted.overlay.opaque`.
const KEPT: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 27 | 1 << 31 | 1 << 21;

/// Makes `folder` all that this process can see.
pub(super) fn to(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let private = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(private).map_err(|errno| format!("unshare: {errno}"))?;
    chroot(folder).map_err(|errno| format!("chroot to {}: {errno}", folder.display()))?;
    chdir("/").map_err(|errno| format!("chdir: {errno}"))?;
    rustix::thread::set_no_new_privs(true).map_err(|errno| format!("no_new_privs: {errno}"))?;
    limit_bounding(KEPT)?;
    let sets = Capabilities { bounding: KEPT, effective: KEPT, permitted: KEPT, inheritable: 0, ambient: 0 };
    set_capabilities(&sets)?;
    Ok(())
}
