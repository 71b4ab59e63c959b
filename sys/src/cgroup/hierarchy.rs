//! Where the machine's cgroup trees are mounted.

use std::path::{Component, Path, PathBuf};

use super::Version;
use crate::{Result, fs};

/// Where distributions mount them.
const ROOT: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2: i64 = 0x6367_7270;

/// All trees that a container gets a cgroup in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    /// Version 1 when any controller is mounted that way.
    pub version: Version,
    /// One on version 2.
    pub trees: Vec<Hierarchy>,
}

/// One tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// `memory`, `cpu,cpuacct`, `name=systemd`; empty on version 2.
    pub controllers: String,
    /// Its mount point.
    pub mount: PathBuf,
    /// The folder of the calling process.
    pub own: PathBuf,
}

impl Hierarchies {
    /// Looks at the machine as this process sees it. On a hybrid host the version 2 tree is left out: its
    /// controllers are those that version 1 lacks, and container managers make and remove no folders there.
    pub fn discover() -> Result<Self> {
        let own = fs::read(Path::new("/proc/self/cgroup"))?;
        let root = rustix::fs::open(
            ROOT,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        );
        if let Ok(root) = root
            && fs::magic(&root)? == CGROUP2
        {
            let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
            let own = below(Path::new(ROOT), Path::new(path));
            let tree = Hierarchy { controllers: String::new(), mount: ROOT.into(), own };
            return Ok(Self { version: Version::V2, trees: vec![tree] });
        }
        Ok(Self { version: Version::V1, trees: parse_v1(&own, fs::exists) })
    }
}

/// Lines are `ID:CONTROLLERS:PATH`. A tree is mounted at its controllers' names; one that is not is left out.
fn parse_v1(text: &str, exists: impl Fn(&Path) -> bool) -> Vec<Hierarchy> {
    let tree = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let name = controllers.strip_prefix("name=").unwrap_or(controllers);
        if name.is_empty() {
            return None;
        }
        let mount = Path::new(ROOT).join(name);
        let own = below(&mount, Path::new(path));
        // Inside a container the own path may name a folder that is not visible.
        let own = if exists(&own) { own } else { mount.clone() };
        exists(&mount).then_some(Hierarchy { controllers: controllers.to_owned(), mount, own })
    };
    text.lines().filter_map(tree).collect()
}

/// `path` below `base`, which `..` does not leave.
pub(super) fn below(base: &Path, path: &Path) -> PathBuf {
    let mut parts: Vec<_> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    let mut result = base.to_path_buf();
    result.extend(parts);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_host_has_its_version_1_trees() {
        let text = "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/\n1:net_cls:/\n0::/\n";
        let trees = parse_v1(text, |path| !path.ends_with("net_cls"));
        let names: Vec<_> = trees.iter().map(|tree| tree.controllers.as_str()).collect();
        assert_eq!(names, ["name=systemd", "memory", "cpu,cpuacct"]);
        assert_eq!(trees[0].mount, Path::new("/sys/fs/cgroup/systemd"));
        assert_eq!(trees[1].own, Path::new("/sys/fs/cgroup/memory/a/b"));
    }
}
