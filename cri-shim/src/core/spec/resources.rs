//! Limits of a container.

use std::collections::HashMap;

use api_cri::v1::{LinuxContainerResources, LinuxContainerSecurityContext};
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxHugepageLimit, LinuxHugepageLimitBuilder, LinuxMemoryBuilder, LinuxResources,
    LinuxResourcesBuilder, Spec,
};

use super::{Host, Inputs, devices};
use crate::core::failure::Failure;

/// The limits and the device rules.
pub(super) fn all(
    inputs: &Inputs<'_>,
    security: &LinuxContainerSecurityContext,
) -> Result<LinuxResources, Failure> {
    let asked = inputs.config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let mut resources = linux(&asked, inputs.host)?;
    resources.set_devices(Some(devices::rules(inputs.devices, security.privileged)?));
    Ok(resources)
}

/// The limits alone. In the protocol a 0 means "not set".
pub(crate) fn linux(asked: &LinuxContainerResources, host: &Host) -> Result<LinuxResources, Failure> {
    let mut cpu = LinuxCpuBuilder::default().build()?;
    cpu.set_shares(positive("cpu_shares", asked.cpu_shares)?);
    cpu.set_period(positive("cpu_period", asked.cpu_period)?);
    cpu.set_quota(set(asked.cpu_quota));
    cpu.set_cpus(text(&asked.cpuset_cpus)).set_mems(text(&asked.cpuset_mems));
    let mut memory = LinuxMemoryBuilder::default().build()?;
    memory.set_limit(set(asked.memory_limit_in_bytes));
    if host.swap {
        memory.set_swap(set(asked.memory_swap_limit_in_bytes));
    }
    let mut resources = LinuxResourcesBuilder::default().cpu(cpu).memory(memory).build()?;
    if host.hugetlb {
        resources.set_hugepage_limits(Some(hugepages(asked)?));
    }
    if !asked.unified.is_empty() {
        if !host.cgroup2 {
            return Err(Failure::invalid("resources.unified needs cgroup v2"));
        }
        resources.set_unified(Some(asked.unified.clone().into_iter().collect::<HashMap<_, _>>()));
    }
    Ok(resources)
}

/// Puts limits in place of those of a bundle; its device rules stay.
pub(crate) fn limit(bundle: &mut Spec, asked: &LinuxContainerResources, host: &Host) -> Result<(), Failure> {
    let mut resources = linux(asked, host)?;
    let mut linux = bundle.linux().clone().unwrap_or_default();
    let devices = linux.resources().as_ref().and_then(|before| before.devices().clone());
    resources.set_devices(devices);
    linux.set_resources(Some(resources));
    bundle.set_linux(Some(linux));
    Ok(())
}

fn hugepages(asked: &LinuxContainerResources) -> Result<Vec<LinuxHugepageLimit>, Failure> {
    asked
        .hugepage_limits
        .iter()
        .map(|limit| {
            let bytes = i64::try_from(limit.limit)
                .map_err(|_| Failure::invalid(format!("hugepage_limits: {} is out of range", limit.limit)))?;
            Ok(LinuxHugepageLimitBuilder::default()
                .page_size(limit.page_size.clone())
                .limit(bytes)
                .build()?)
        })
        .collect()
}

fn set(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

fn positive(field: &str, value: i64) -> Result<Option<u64>, Failure> {
    let value = u64::try_from(value)
        .map_err(|_| Failure::invalid(format!("resources.{field} {value} is negative")))?;
    Ok((value != 0).then_some(value))
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}
