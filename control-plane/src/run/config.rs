//! What the control plane is told when it starts.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::apiserver::inflight::Limits;
pub use crate::apiserver::services::{InvalidRange, PortRange, Ranges};
use crate::storage::{EmbeddedOptions, EtcdOptions, Retention};

/// The configuration; every path and address that is touched is in it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where objects are kept.
    pub backend: Backend,
    /// How long the past is kept.
    pub retention: Retention,
    /// The folder of keys and certificates.
    pub pki: PathBuf,
    /// Where the API is served.
    pub bind: SocketAddr,
    /// Where members of the cluster reach it; found out where it is not told.
    pub advertise: Option<IpAddr>,
    /// The socket at which root is the superuser.
    pub socket: PathBuf,
    /// Where the administrator's kubeconfig is written.
    pub kubeconfig: PathBuf,
    /// What else the server is called, for its certificate.
    pub names: Names,
    /// The domain of Services.
    pub cluster_domain: String,
    /// The addresses of Services.
    pub service_range: Ranges,
    /// The ports of Services on nodes.
    pub node_ports: PortRange,
    /// How much is served at once.
    pub limits: Limits,
    /// What runs beside the API.
    pub parts: Parts,
}

/// What runs beside the API.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// The controllers.
    pub controllers: bool,
    /// The scheduler.
    pub scheduler: bool,
    /// Others may run the same parts on the same store: who runs them is agreed upon.
    pub shared: bool,
    /// So many nodes that only seem to be there, and take pods.
    pub simulated_nodes: usize,
}

/// Names and addresses.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Names.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let mut sorted = Self::default();
        for name in names {
            match name.parse() {
                Ok(address) => sorted.addresses.push(address),
                Err(_) => sorted.hosts.push(name),
            }
        }
        sorted
    }
}

/// Where objects are kept.
#[derive(Debug, Clone)]
pub enum Backend {
    /// In a file of this process alone.
    File {
        /// Its path.
        path: PathBuf,
        /// How it is opened.
        options: EmbeddedOptions,
    },
    /// In etcd.
    Etcd(EtcdOptions),
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Etcd(options) => write!(f, "etcd at {}", options.endpoints.join(", ")),
        }
    }
}

impl Config {
    /// Where members of the cluster reach the API.
    pub fn advertised(&self) -> IpAddr {
        let own = || daemon::own_addresses().first().copied();
        let bound = Some(self.bind.ip()).filter(|ip| !ip.is_unspecified());
        self.advertise.or(bound).or_else(own).unwrap_or(Ipv4Addr::LOCALHOST.into())
    }
}

/// Makes a folder that only its owner may enter.
pub(super) fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
