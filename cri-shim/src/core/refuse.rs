//! Fields of the requests that are not implemented: refused by name when they are not at their defaults.
//!
//! What is implemented and what is inert stands in the table of the test, which knows every field of the protocol.

use api_cri::v1::{
    ContainerConfig, ImageSpec, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    PodSandboxConfig, Protocol, SeLinuxOption, SecurityProfile, security_profile::ProfileType,
};

use crate::core::failure::Failure;
use crate::core::spec::Host;

/// Checks a sandbox's configuration.
pub(crate) fn sandbox(config: &PodSandboxConfig, handler: &str, host: &Host) -> Result<(), Failure> {
    let metadata = config.metadata.as_ref().ok_or_else(|| Failure::missing("config.metadata"))?;
    for (field, value) in
        [("name", &metadata.name), ("namespace", &metadata.namespace), ("uid", &metadata.uid)]
    {
        if value.is_empty() {
            return Err(Failure::missing(&format!("config.metadata.{field}")));
        }
    }
    if !handler.is_empty() {
        return Err(Failure::invalid(format!("runtime_handler {handler:?}: no such runtime is configured")));
    }
    if config.windows.is_some() {
        return Err(Failure::refused("config.windows"));
    }
    for (index, mapping) in config.port_mappings.iter().enumerate() {
        let ports = [mapping.container_port, mapping.host_port];
        if ports.iter().any(|port| !(0..=65535).contains(port)) {
            return Err(Failure::invalid(format!("config.port_mappings[{index}]: {ports:?} are no ports")));
        }
        if mapping.host_port != 0 && mapping.protocol() == Protocol::Sctp {
            return Err(Failure::refused(&format!("config.port_mappings[{index}].protocol SCTP")));
        }
    }
    let context = config.linux.as_ref().and_then(|linux| linux.security_context.clone()).unwrap_or_default();
    sandbox_security(&context, host)
}

fn sandbox_security(context: &LinuxSandboxSecurityContext, host: &Host) -> Result<(), Failure> {
    if let Some(options) = &context.namespace_options {
        for (field, mode) in [("network", options.network()), ("ipc", options.ipc())] {
            if !matches!(mode, NamespaceMode::Pod | NamespaceMode::Node) {
                return Err(Failure::invalid(format!(
                    "namespace_options.{field} cannot be {} for a sandbox",
                    mode.as_str_name()
                )));
            }
        }
        if options.pid() == NamespaceMode::Target {
            return Err(Failure::invalid("namespace_options.pid cannot be TARGET for a sandbox"));
        }
        user_namespace(options)?;
    }
    selinux(context.selinux_options.as_ref(), host)?;
    apparmor(context.apparmor.as_ref(), "linux.security_context.apparmor", host)
}

fn user_namespace(options: &api_cri::v1::NamespaceOption) -> Result<(), Failure> {
    let Some(user) = &options.userns_options else { return Ok(()) };
    match user.mode() {
        NamespaceMode::Node => Ok(()),
        NamespaceMode::Pod => Err(Failure::refused("namespace_options.userns_options.mode POD")),
        other => Err(Failure::invalid(format!(
            "namespace_options.userns_options.mode cannot be {}",
            other.as_str_name()
        ))),
    }
}

/// Without SELinux in the kernel there are no labels; with it a label that we do not set must not be promised.
fn selinux(options: Option<&SeLinuxOption>, host: &Host) -> Result<(), Failure> {
    if host.selinux && options.is_some_and(|options| *options != SeLinuxOption::default()) {
        return Err(Failure::refused("linux.security_context.selinux_options on a host with SELinux"));
    }
    Ok(())
}

/// Without AppArmor in the kernel there is nothing to load; with it a profile that we do not load must not be promised.
fn apparmor(profile: Option<&SecurityProfile>, field: &str, host: &Host) -> Result<(), Failure> {
    match profile.map(|profile| profile.profile_type()) {
        Some(ProfileType::Localhost) => Err(Failure::refused(&format!("{field}.profile_type Localhost"))),
        Some(ProfileType::RuntimeDefault) if host.apparmor => {
            Err(Failure::refused(&format!("{field}.profile_type RuntimeDefault on a host with AppArmor")))
        }
        _ => Ok(()),
    }
}

/// Checks a container's configuration.
pub(crate) fn container(config: &ContainerConfig, host: &Host) -> Result<(), Failure> {
    let metadata = config.metadata.as_ref().ok_or_else(|| Failure::missing("config.metadata"))?;
    if metadata.name.is_empty() {
        return Err(Failure::missing("config.metadata.name"));
    }
    if config.windows.is_some() {
        return Err(Failure::refused("config.windows"));
    }
    if !config.cdi_devices.is_empty() {
        return Err(Failure::refused("config.CDI_devices"));
    }
    for (index, mount) in config.mounts.iter().enumerate() {
        if mount.image.as_ref().is_some_and(|image| *image != ImageSpec::default()) {
            return Err(Failure::refused(&format!("config.mounts[{index}].image")));
        }
        if !mount.image_sub_path.is_empty() {
            return Err(Failure::refused(&format!("config.mounts[{index}].image_sub_path")));
        }
    }
    let context = config.linux.as_ref().and_then(|linux| linux.security_context.clone()).unwrap_or_default();
    container_security(&context, host)
}

fn container_security(context: &LinuxContainerSecurityContext, host: &Host) -> Result<(), Failure> {
    if let Some(options) = &context.namespace_options {
        user_namespace(options)?;
    }
    selinux(context.selinux_options.as_ref(), host)?;
    #[allow(deprecated, reason = "refused, since newer kubelets send the field that replaced it")]
    if !matches!(context.apparmor_profile.as_str(), "" | "runtime/default" | "unconfined") {
        return Err(Failure::refused("linux.security_context.apparmor_profile"));
    }
    apparmor(context.apparmor.as_ref(), "linux.security_context.apparmor", host)
}
