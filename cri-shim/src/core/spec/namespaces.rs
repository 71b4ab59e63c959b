//! Which namespaces a container joins: its pod's are those of the monitor, which sits in them.

use api_cri::v1::{IdMapping, LinuxContainerSecurityContext, NamespaceMode};
use oci_spec::runtime::{
    LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
};

use super::Inputs;
use crate::core::failure::Failure;

/// The namespaces, with the paths of those that exist already.
pub(super) fn all(
    inputs: &Inputs<'_>,
    security: &LinuxContainerSecurityContext,
) -> Result<Vec<LinuxNamespace>, Failure> {
    let sandbox = inputs.sandbox;
    let monitor = sandbox.monitor_pid;
    let of = |pid: i32, name: &str| format!("/proc/{pid}/ns/{name}");
    let options = security.namespace_options.clone().unwrap_or_default();
    let pid = match options.pid() {
        NamespaceMode::Container => None,
        // The monitor itself stays in the host's PID namespace.
        NamespaceMode::Node => Some(of(monitor, "pid")),
        NamespaceMode::Pod => match sandbox.pause_pid {
            Some(pause) => Some(of(pause, "pid")),
            None => {
                return Err(Failure::invalid(
                    "namespace_options.pid is POD, but the sandbox has no shared PID namespace",
                ));
            }
        },
        NamespaceMode::Target => match inputs.target_pid {
            Some(target) => Some(of(target, "pid")),
            None => {
                return Err(Failure::invalid(format!(
                    "namespace_options.target_id {:?} does not run",
                    options.target_id
                )));
            }
        },
    };
    let mut all = vec![
        namespace(LinuxNamespaceType::Pid, pid)?,
        namespace(LinuxNamespaceType::Ipc, Some(of(monitor, "ipc")))?,
        namespace(LinuxNamespaceType::Uts, Some(of(monitor, "uts")))?,
        namespace(LinuxNamespaceType::Mount, None)?,
        namespace(LinuxNamespaceType::Network, Some(of(monitor, "net")))?,
    ];
    // On the second version containers see their own cgroup as the root, on the first the hierarchy's (as containerd).
    if inputs.host.cgroup2 && !security.privileged {
        all.push(namespace(LinuxNamespaceType::Cgroup, None)?);
    }
    if user_mode(security) == NamespaceMode::Pod {
        all.push(namespace(LinuxNamespaceType::User, Some(of(monitor, "user")))?);
    }
    Ok(all)
}

fn namespace(kind: LinuxNamespaceType, path: Option<String>) -> Result<LinuxNamespace, Failure> {
    let builder = LinuxNamespaceBuilder::default().typ(kind);
    Ok(match path {
        Some(path) => builder.path(path).build()?,
        None => builder.build()?,
    })
}

/// NODE when no user namespace was asked for: the field's absence means the host's.
fn user_mode(security: &LinuxContainerSecurityContext) -> NamespaceMode {
    security
        .namespace_options
        .as_ref()
        .and_then(|options| options.userns_options.as_ref())
        .map_or(NamespaceMode::Node, api_cri::v1::UserNamespace::mode)
}

/// The mappings of users and of groups in the pod's user namespace; empty in the host's.
pub(super) fn mappings(
    security: &LinuxContainerSecurityContext,
) -> Result<(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>), Failure> {
    let user = security.namespace_options.as_ref().and_then(|options| options.userns_options.as_ref());
    match user {
        Some(user) if user.mode() == NamespaceMode::Pod => {
            Ok((id_mappings(&user.uids)?, id_mappings(&user.gids)?))
        }
        _ => Ok((Vec::new(), Vec::new())),
    }
}

/// As the specification spells them.
pub(super) fn id_mappings(mappings: &[IdMapping]) -> Result<Vec<LinuxIdMapping>, Failure> {
    mappings
        .iter()
        .map(|mapping| {
            Ok(LinuxIdMappingBuilder::default()
                .host_id(mapping.host_id)
                .container_id(mapping.container_id)
                .size(mapping.length)
                .build()?)
        })
        .collect()
}
