//! The capability sets of a container.

use std::collections::HashSet;
use std::str::FromStr as _;

use api_cri::v1::{Capability as Asked, LinuxContainerSecurityContext};
use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};

use crate::core::failure::Failure;

/// What every container has had since Docker, unless it drops it.
const DEFAULT: &[Capability] = &[
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

const ALL: &str = "ALL";

/// The sets of a container's first process. `ALL` means what the daemon itself can give.
pub(super) fn sets(
    context: &LinuxContainerSecurityContext,
    host: &[Capability],
) -> Result<LinuxCapabilities, Failure> {
    let (kept, ambient) = if context.privileged {
        (host.iter().copied().collect(), HashSet::new())
    } else {
        asked(&context.capabilities.clone().unwrap_or_default(), host)?
    };
    let mut sets = LinuxCapabilitiesBuilder::default()
        .bounding(kept.clone())
        .effective(kept.clone())
        .permitted(kept)
        .inheritable(ambient.clone())
        .ambient(ambient.clone())
        .build()?;
    if ambient.is_empty() {
        sets.set_inheritable(None).set_ambient(None);
    }
    Ok(sets)
}

/// The kept and the ambient set.
fn asked(asked: &Asked, host: &[Capability]) -> Result<(HashSet<Capability>, HashSet<Capability>), Failure> {
    let is_all = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(ALL));
    let mut kept: HashSet<Capability> = DEFAULT.iter().copied().collect();
    // ALL first and the names after it, so that "drop ALL, add X" keeps X alone whatever their order.
    if is_all(&asked.add_capabilities) {
        kept = host.iter().copied().collect();
    }
    if is_all(&asked.drop_capabilities) {
        kept.clear();
    }
    let ambient = parsed("add_ambient_capabilities", &asked.add_ambient_capabilities)?;
    kept.extend(parsed("add_capabilities", &asked.add_capabilities)?);
    kept.extend(&ambient);
    for dropped in parsed("drop_capabilities", &asked.drop_capabilities)? {
        kept.remove(&dropped);
    }
    Ok((kept, ambient))
}

fn parsed(field: &str, names: &[String]) -> Result<HashSet<Capability>, Failure> {
    names
        .iter()
        .filter(|name| !name.eq_ignore_ascii_case(ALL))
        .map(|name| {
            parse(name)
                .ok_or_else(|| Failure::invalid(format!("capabilities.{field}: unknown capability {name:?}")))
        })
        .collect()
}

/// A capability with or without `CAP_`, in any case.
pub(crate) fn parse(name: &str) -> Option<Capability> {
    let upper = name.to_ascii_uppercase();
    Capability::from_str(upper.strip_prefix("CAP_").unwrap_or(&upper)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(add: &[&str], drop: &[&str]) -> HashSet<Capability> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let context = LinuxContainerSecurityContext {
            capabilities: Some(Asked {
                add_capabilities: names(add),
                drop_capabilities: names(drop),
                ..Asked::default()
            }),
            ..Default::default()
        };
        let host = [Capability::SysAdmin, Capability::Chown];
        sets(&context, &host).unwrap().bounding().clone().unwrap()
    }

    #[test]
    fn all_is_applied_before_the_names() {
        assert_eq!(kept(&[], &[]).len(), DEFAULT.len());
        assert_eq!(kept(&["net_admin"], &["ALL"]), HashSet::from([Capability::NetAdmin]));
        assert_eq!(kept(&["ALL"], &["CAP_CHOWN"]), HashSet::from([Capability::SysAdmin]));
        assert_eq!(kept(&["ALL"], &["ALL"]), HashSet::new());
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let capabilities = Some(Asked { add_capabilities: vec!["CAP_NOPE".into()], ..Asked::default() });
        let context = LinuxContainerSecurityContext { capabilities, ..Default::default() };
        assert!(sets(&context, &[]).unwrap_err().message.contains("CAP_NOPE"));
    }
}
