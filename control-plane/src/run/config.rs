//! What the control plane is told when it starts.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::apiserver::inflight::Limits;
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
    pub service_range: Range,
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

/// A text is no range, or one that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {why}")]
pub struct InvalidRange {
    text: String,
    why: &'static str,
}

/// A range of IPv4 addresses, `10.96.0.0/12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    base: Ipv4Addr,
    bits: u8,
}

impl Range {
    /// The first address that can be given out: the API's own Service has it.
    pub fn first(self) -> IpAddr {
        Ipv4Addr::from(u32::from(self.base) + 1).into()
    }

    /// The lowest address, and how many bits all of them share.
    pub fn network(self) -> (Ipv4Addr, u8) {
        (self.base, self.bits)
    }
}

impl FromStr for Range {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let wrong = |why| InvalidRange { text: text.to_owned(), why };
        let (base, bits) = text.split_once('/').ok_or(wrong("is no ADDRESS/BITS"))?;
        let base: Ipv4Addr = base.parse().map_err(|_| wrong("does not begin with an IPv4 address"))?;
        let bits: u8 = bits.parse().map_err(|_| wrong("does not end with a number of bits"))?;
        if !(12..=28).contains(&bits) {
            return Err(wrong("must have from 12 to 28 bits"));
        }
        if u32::from(base) & (u32::MAX >> bits) != 0 {
            return Err(wrong("has bits set behind its prefix"));
        }
        Ok(Self { base, bits })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// Ports from the first to the last, `30000-32767`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last, which is one of them.
    pub last: u16,
}

impl FromStr for PortRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let wrong = |why| InvalidRange { text: text.to_owned(), why };
        let (first, last) = text.split_once('-').ok_or(wrong("is no FIRST-LAST"))?;
        let port = |port: &str| port.parse::<u16>().map_err(|_| wrong("has a port that is none"));
        let (first, last) = (port(first)?, port(last)?);
        if first == 0 || last < first {
            return Err(wrong("is empty or begins at 0"));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Makes a folder that only its owner may enter.
pub(super) fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_nonsense_is_named() {
        let range: Range = "10.96.0.0/12".parse().unwrap();
        assert_eq!(
            (range.first().to_string().as_str(), range.to_string().as_str()),
            ("10.96.0.1", "10.96.0.0/12")
        );
        for (text, why) in [
            ("10.96.0.0", "is no ADDRESS/BITS"),
            ("x/12", "does not begin with an IPv4 address"),
            ("10.0.0.0/x", "does not end with a number of bits"),
            ("10.0.0.0/8", "must have from 12 to 28 bits"),
            ("10.96.0.1/12", "has bits set behind its prefix"),
        ] {
            assert_eq!(text.parse::<Range>().unwrap_err().to_string(), format!("{text:?} {why}"));
        }
        let ports: PortRange = "30000-32767".parse().unwrap();
        assert_eq!((ports.first, ports.last, ports.to_string().as_str()), (30000, 32767, "30000-32767"));
        for text in ["30000", "2-1", "0-5", "1-70000"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
