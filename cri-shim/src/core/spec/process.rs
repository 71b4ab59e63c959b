//! The process of a container, and the further ones that are executed in it.

use std::collections::HashSet;

use api_cri::v1::{KeyValue, LinuxContainerSecurityContext};
use oci_spec::runtime::{Process, ProcessBuilder, User as SpecUser, UserBuilder};

use super::{Inputs, capabilities};
use crate::core::failure::Failure;
use crate::core::sandbox::Sandbox;
use crate::core::user::User;

/// Where programs are looked for when the image says nothing.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container's first process.
pub(super) fn init(
    inputs: &Inputs<'_>,
    security: &LinuxContainerSecurityContext,
) -> Result<Process, Failure> {
    let config = inputs.config;
    let working_dir = [config.working_dir.as_str(), inputs.image.working_dir.as_str(), "/"]
        .into_iter()
        .find(|path| !path.is_empty())
        .unwrap_or("/");
    if !working_dir.starts_with('/') {
        return Err(Failure::invalid(format!("working_dir {working_dir:?} is not absolute")));
    }
    let mut process = ProcessBuilder::default()
        .args(arguments(inputs)?)
        .cwd(working_dir)
        .env(environment(inputs)?)
        .user(user(inputs.user)?)
        .capabilities(capabilities::sets(security, &inputs.host.capabilities)?)
        .no_new_privileges(security.no_new_privs)
        .terminal(config.tty)
        .build()?;
    process.set_rlimits(None).set_oom_score_adj(Some(oom_score_adj(inputs)?));
    Ok(process)
}

/// The command and arguments: the container's command replaces the image's both.
fn arguments(inputs: &Inputs<'_>) -> Result<Vec<String>, Failure> {
    let (config, image) = (inputs.config, inputs.image);
    let mut arguments =
        if config.command.is_empty() { image.entrypoint.clone() } else { config.command.clone() };
    if config.command.is_empty() && config.args.is_empty() {
        arguments.extend(image.cmd.iter().cloned());
    } else {
        arguments.extend(config.args.iter().cloned());
    }
    if arguments.is_empty() {
        return Err(Failure::invalid("no command: neither the container nor its image names one"));
    }
    Ok(arguments)
}

/// PATH and HOSTNAME, then the image's variables, then the container's; the last of a name wins and keeps its place.
fn environment(inputs: &Inputs<'_>) -> Result<Vec<String>, Failure> {
    let mut all = vec![PATH.to_owned()];
    if inputs.config.tty {
        all.push("TERM=xterm".into());
    }
    all.push(format!("HOSTNAME={}", hostname(inputs.sandbox, &inputs.host.hostname)));
    for entry in &inputs.image.env {
        put(&mut all, entry.clone());
    }
    for entry in &inputs.config.envs {
        put(&mut all, variable(entry)?);
    }
    Ok(all)
}

fn put(all: &mut Vec<String>, entry: String) {
    let name = entry.split('=').next().unwrap_or_default();
    match all.iter_mut().find(|known| known.split('=').next() == Some(name)) {
        Some(known) => *known = entry,
        None => all.push(entry),
    }
}

fn variable(entry: &KeyValue) -> Result<String, Failure> {
    // An OCI configuration is JSON, and JSON is Unicode.
    let value = std::str::from_utf8(&entry.value)
        .map_err(|_| Failure::invalid(format!("envs[{:?}]: the value is not UTF-8", entry.key)))?;
    if entry.key.is_empty() || entry.key.contains(['=', '\0']) || value.contains('\0') {
        return Err(Failure::invalid(format!("envs[{:?}] cannot be an environment variable", entry.key)));
    }
    Ok(format!("{}={value}", entry.key))
}

/// The name that the pod's processes see.
pub(crate) fn hostname<'a>(sandbox: &'a Sandbox, host: &'a str) -> &'a str {
    if sandbox.config.hostname.is_empty() || sandbox.host_network() { host } else { &sandbox.config.hostname }
}

fn user(user: &User) -> Result<SpecUser, Failure> {
    Ok(UserBuilder::default().uid(user.uid).gid(user.gid).additional_gids(user.groups.clone()).build()?)
}

fn oom_score_adj(inputs: &Inputs<'_>) -> Result<i32, Failure> {
    let resources = inputs.config.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let asked = resources.map_or(0, |resources| resources.oom_score_adj);
    let asked = i32::try_from(asked)
        .ok()
        .filter(|score| (-1000..=1000).contains(score))
        .ok_or_else(|| Failure::invalid(format!("oom_score_adj {asked} is not between -1000 and 1000")))?;
    Ok(inputs.host.lowest_oom_score_adj.map_or(asked, |lowest| asked.max(lowest)))
}

/// A further process in a container: its own arguments and terminal, all else as the first one has it.
pub(crate) fn exec(init: &Process, command: &[String], terminal: bool) -> Result<Process, Failure> {
    if command.is_empty() {
        return Err(Failure::invalid("cmd is empty"));
    }
    let mut process = init.clone();
    process.set_args(Some(command.to_vec())).set_terminal(Some(terminal));
    if terminal {
        let mut env = init.env().clone().unwrap_or_default();
        let names: HashSet<_> = env.iter().filter_map(|entry| entry.split('=').next()).collect();
        if !names.contains("TERM") {
            env.push("TERM=xterm".into());
        }
        process.set_env(Some(env));
    }
    Ok(process)
}
