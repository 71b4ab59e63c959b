//! Device nodes of a container.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use crate::core::failure::Failure;

/// A device node of the host, and where the container sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceNode {
    /// In the container.
    pub path: String,
    /// Character or block.
    pub kind: NodeKind,
    /// Its numbers.
    pub major: u32,
    /// Its numbers.
    pub minor: u32,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Of `rwm`, what the container may do; empty adds no rule (a privileged container has one for all).
    pub access: String,
}

/// The kinds of device nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// Unbuffered.
    Character,
    /// Buffered.
    Block,
}

impl From<NodeKind> for LinuxDeviceType {
    fn from(kind: NodeKind) -> Self {
        match kind {
            NodeKind::Character => Self::C,
            NodeKind::Block => Self::B,
        }
    }
}

/// The nodes to make.
pub(super) fn nodes(devices: &[DeviceNode]) -> Result<Vec<LinuxDevice>, OciSpecError> {
    devices
        .iter()
        .map(|device| {
            LinuxDeviceBuilder::default()
                .path(device.path.clone())
                .typ(LinuxDeviceType::from(device.kind))
                .major(device.major)
                .minor(device.minor)
                .file_mode(device.mode)
                .uid(device.uid)
                .gid(device.gid)
                .build()
        })
        .collect()
}

/// What may be done with devices: nothing but what was asked for, the runtime adds the standard ones.
pub(super) fn rules(devices: &[DeviceNode], privileged: bool) -> Result<Vec<LinuxDeviceCgroup>, Failure> {
    let mut rules = vec![LinuxDeviceCgroupBuilder::default().allow(privileged).access("rwm").build()?];
    for device in devices.iter().filter(|device| !privileged && !device.access.is_empty()) {
        rules.push(
            LinuxDeviceCgroupBuilder::default()
                .allow(true)
                .typ(LinuxDeviceType::from(device.kind))
                .major(device.major)
                .minor(device.minor)
                .access(device.access.clone())
                .build()?,
        );
    }
    Ok(rules)
}
