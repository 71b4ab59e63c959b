//! What the daemon may touch on the machine: one field per flag.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde::Deserialize;

/// Everything that the daemon touches. Whoever starts it says all of it: conventional paths, then the file, then flags.
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
    /// The admin endpoint's socket; `None` leaves the choice to who starts the daemon.
    pub admin: Option<PathBuf>,
}

impl Config {
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
        } = file;
        set(&mut self.listen, listen);
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
        self
    }

    /// These settings with absolute paths, or the key and the value that cannot work. Touches nothing.
    pub fn checked(mut self) -> Result<Self, String> {
        // The monitors run in another folder: for them a relative path would mean something else.
        for path in [
            &mut self.root,
            &mut self.state,
            &mut self.cni_conf_dir,
            &mut self.cni_cache_dir,
            &mut self.registry_config_dir,
            &mut self.netns_dir,
            &mut self.runtime,
        ]
        .into_iter()
        .chain(&mut self.cni_bin_dirs)
        {
            *path = std::path::absolute(&*path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        for (key, socket) in [("listen", Some(&mut self.listen)), ("admin", self.admin.as_mut())] {
            if let Some(socket) = socket {
                let text =
                    socket.to_str().ok_or_else(|| format!("{key}: {} is no UTF-8", socket.display()))?;
                *socket = daemon::socket_path(text).map_err(|error| format!("{key}: {error}"))?;
            }
        }
        daemon::cgroup_path(&self.cgroup_parent).map_err(|error| format!("cgroup-parent: {error}"))?;
        let runtime = self.runtime.metadata().map_err(|error| error.to_string());
        match runtime {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => Ok(self),
            Ok(_) => Err(format!("runtime: {} is no program", self.runtime.display())),
            Err(error) => Err(format!("runtime: {}: {error}", self.runtime.display())),
        }
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
    #[serde(alias = "cni-bin-dir")]
    pub cni_bin_dirs: Option<Vec<PathBuf>>,
    pub cni_cache_dir: Option<PathBuf>,
    pub registry_config_dir: Option<PathBuf>,
    pub cgroup_parent: Option<String>,
    pub netns_dir: Option<PathBuf>,
    pub runtime: Option<PathBuf>,
    pub stream_address: Option<SocketAddr>,
    #[serde(alias = "admin-socket")]
    pub admin: Option<PathBuf>,
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            listen: "/run/x/cri.sock".into(),
            root: "/lib".into(),
            state: "/run/x/state".into(),
            cni_conf_dir: "net.d".into(),
            cni_bin_dirs: vec!["bin".into()],
            cni_cache_dir: "/cache".into(),
            registry_config_dir: "/registries".into(),
            cgroup_parent: "/x".into(),
            netns_dir: "/run/netns".into(),
            runtime: "/proc/self/exe".into(),
            stream_address: ([127, 0, 0, 1], 0).into(),
            admin: None,
        }
    }

    #[test]
    fn a_later_source_wins() {
        let file = ConfigFile {
            listen: Some("unix:///a.sock".into()),
            root: Some("/file".into()),
            ..ConfigFile::default()
        };
        let flags = ConfigFile { root: Some("/flag".into()), ..ConfigFile::default() };
        let config = config().with(file).with(flags).checked().unwrap();
        assert_eq!(config.listen, std::path::Path::new("/a.sock"));
        assert_eq!(config.root, std::path::Path::new("/flag"));
        assert_eq!(config.state, std::path::Path::new("/run/x/state"));
    }

    #[test]
    fn relative_folders_become_absolute() {
        let here = std::env::current_dir().unwrap();
        let config = config().checked().unwrap();
        assert_eq!((config.cni_conf_dir, &config.cni_bin_dirs[0]), (here.join("net.d"), &here.join("bin")));
    }

    #[test]
    fn what_cannot_work_is_named_by_key_and_value() {
        let refused = |change: fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            config.checked().unwrap_err()
        };
        assert!(refused(|c| c.listen = "tcp://1.2.3.4:5".into()).contains("listen: \"tcp://1.2.3.4:5\""));
        assert!(refused(|c| c.admin = Some("x.sock".into())).contains("admin: \"x.sock\""));
        assert!(refused(|c| c.cgroup_parent = "rel/../x".into()).contains("cgroup-parent: \"rel/../x\""));
        assert!(
            refused(|c| c.runtime = "/nonexistent".into()).contains("runtime: /nonexistent: No such file")
        );
        assert!(refused(|c| c.runtime = "/etc".into()).contains("/etc is no program"));
    }
}
