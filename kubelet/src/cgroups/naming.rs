//! How cgroups are spelled.

/// Who makes cgroups, and so how their parents are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// Folders: `/kubepods/burstable/podUID`.
    Cgroupfs,
    /// Slices: `kubepods-burstable-podUID.slice`.
    Systemd,
}
