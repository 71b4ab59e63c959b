//! What the daemon may touch on the machine: one field per flag.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Everything that the daemon touches. Built from the conventional paths, then the file, then the flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The unix socket of both CRI services.
    pub listen: PathBuf,
    /// What lasts: images, and the writable layers of containers.
    pub root: PathBuf,
    /// What a reboot ends: pods, containers, monitors. A folder on a tmpfs with a short path, for it holds sockets.
    pub state: PathBuf,
    /// CNI configuration lists.
    pub cni_conf_dir: PathBuf,
    /// CNI plugins, in the order of search.
    pub cni_bin_dirs: Vec<PathBuf>,
    /// libcni's results of earlier ADDs, needed for DEL.
    pub cni_cache_dir: PathBuf,
    /// `hosts.toml` folders, one per registry.
    pub registry_config_dir: PathBuf,
    /// The cgroup of what is no pod's: the monitors, and pods whose configuration names no parent.
    pub cgroup_parent: String,
    /// Where network namespaces are bind-mounted.
    pub netns_dir: PathBuf,
    /// `orlop-runtime`.
    pub runtime: PathBuf,
    /// Where exec and attach are served to the kubelet; port 0 takes a free one.
    pub stream_address: SocketAddr,
    /// The admin endpoint's socket; `None` serves none.
    pub admin: Option<PathBuf>,
    /// The pod CIDR until a kubelet says one (for CNI configurations that want it).
    pub pod_cidr: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self::under(Path::new("/var/lib/orlop"), Path::new("/run/orlop"))
    }
}

impl Config {
    /// The conventional paths, with what lasts under `data` and what a reboot ends under `run`.
    pub fn under(data: &Path, run: &Path) -> Self {
        Self {
            listen: run.join("cri.sock"),
            root: data.join("cri"),
            state: run.join("cri"),
            cni_conf_dir: "/etc/cni/net.d".into(),
            cni_bin_dirs: vec!["/opt/cni/bin".into()],
            cni_cache_dir: "/var/lib/cni".into(),
            registry_config_dir: "/etc/orlop/certs.d".into(),
            cgroup_parent: "/orlop".into(),
            netns_dir: "/run/netns".into(),
            runtime: beside_this_program("orlop-runtime"),
            stream_address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            admin: Some(run.join("cri-admin.sock")),
            pod_cidr: None,
        }
    }

    /// These settings with those of a file, or of flags, in their place.
    pub fn with(mut self, file: ConfigFile) -> Self {
        // Destructured in full, so that a new key cannot be forgotten here.
        let ConfigFile {
            listen,
            root,
            state,
            cni_conf_dir,
            cni_bin_dirs,
            cni_cache_dir,
            registry_config_dir,
            cgroup_parent,
            netns_dir,
            runtime,
            stream_address,
            admin,
            pod_cidr,
        } = file;
        set(&mut self.listen, listen.map(|path| without_scheme(&path)));
        set(&mut self.root, root);
        set(&mut self.state, state);
        set(&mut self.cni_conf_dir, cni_conf_dir);
        set(&mut self.cni_bin_dirs, cni_bin_dirs);
        set(&mut self.cni_cache_dir, cni_cache_dir);
        set(&mut self.registry_config_dir, registry_config_dir);
        set(&mut self.cgroup_parent, cgroup_parent);
        set(&mut self.netns_dir, netns_dir);
        set(&mut self.runtime, runtime);
        set(&mut self.stream_address, stream_address);
        self.admin = admin.or(self.admin);
        self.pod_cidr = pod_cidr.or(self.pod_cidr);
        self
    }
}

/// The configuration file: any of [`Config`]'s fields by the same name. An unknown key is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is the field of Config of the same name")]
pub struct ConfigFile {
    /// With or without `unix://`.
    pub listen: Option<PathBuf>,
    pub root: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub cni_conf_dir: Option<PathBuf>,
    pub cni_bin_dirs: Option<Vec<PathBuf>>,
    pub cni_cache_dir: Option<PathBuf>,
    pub registry_config_dir: Option<PathBuf>,
    pub cgroup_parent: Option<String>,
    pub netns_dir: Option<PathBuf>,
    pub runtime: Option<PathBuf>,
    pub stream_address: Option<SocketAddr>,
    pub admin: Option<PathBuf>,
    pub pod_cidr: Option<String>,
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn without_scheme(path: &Path) -> PathBuf {
    path.to_str().and_then(|text| text.strip_prefix("unix://")).map_or_else(|| path.into(), PathBuf::from)
}

/// The three binaries are installed into one folder.
fn beside_this_program(name: &str) -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|folder| folder.join(name)))
        .unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_source_wins_and_the_scheme_is_optional() {
        let config = Config::default()
            .with(ConfigFile {
                listen: Some("unix:///a.sock".into()),
                root: Some("/file".into()),
                ..ConfigFile::default()
            })
            .with(ConfigFile { root: Some("/flag".into()), ..ConfigFile::default() });
        assert_eq!(config.listen, Path::new("/a.sock"));
        assert_eq!(config.root, Path::new("/flag"));
        assert_eq!(config.state, Path::new("/run/orlop/cri"));
    }
}
