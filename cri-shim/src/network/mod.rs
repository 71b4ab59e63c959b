//! The caller's side of CNI: attaches a pod's network namespace to the network that the administrator configured.
//!
//! ```text
//! conf_dir/*.conflist ──▶ config ──┐                       ┌──▶ cache (prevResult until the DEL)
//!                                  ├─▶ add: plugin 1 … n ──┤
//! Attachment ──────────────────────┘                       └──▶ PodIps
//!                                      del: plugin n … 1 (by the cached configuration)
//! ```
//! Configuration is read when it is asked for, so one that appears or changes later needs no restart. Every verb is one
//! process per plugin with a deadline. ADD and DEL of different pods run beside each other; GC runs alone.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use api_cni::{Dns, NetResult, PortMapping};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::RwLock;

mod cache;
mod config;
mod exec;
mod verbs;

#[cfg(test)]
mod tests;

pub use config::NotReady;

/// The name of the pod's interface, which Kubernetes fixes.
pub const IFNAME: &str = "eth0";

/// Where the network's files are.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of network configurations; its lexically first valid file is used. `/etc/cni/net.d` by convention.
    pub conf_dir: PathBuf,
    /// The folders that plugins are searched in, in this order. `/opt/cni/bin` by convention.
    pub bin_dirs: Vec<PathBuf>,
    /// The folder that holds `results/`. `/var/lib/cni` by convention.
    pub cache_dir: PathBuf,
    /// How long one plugin may run for one verb before it is killed.
    pub deadline: Duration,
    /// Tells this daemon's attachments from those of others that share `cache_dir`: GC removes only ours.
    pub owner: String,
}

/// What a pod asks of the network.
#[derive(Debug, Clone, Default)]
pub struct Attachment {
    /// The sandbox's id, which is CNI_CONTAINERID.
    pub sandbox_id: String,
    /// The path of its network namespace. It may be gone on DEL.
    pub netns: PathBuf,
    /// The pod's name.
    pub pod_name: String,
    /// The pod's namespace.
    pub pod_namespace: String,
    /// The pod's uid.
    pub pod_uid: String,
    /// Its ports on the host; those with `host_port` 0 are left out.
    pub port_mappings: Vec<PortMapping>,
    /// Its limits of bandwidth.
    pub bandwidth: Option<Bandwidth>,
    /// Its resolver configuration, for plugins that want to know.
    pub dns: Option<Dns>,
    /// Its cgroup, for plugins that declare `cgroupPath`; empty for unsaid.
    pub cgroup_path: String,
}

/// The capability `bandwidth`: rates in bits per second, bursts in bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bandwidth {
    /// Towards the pod.
    pub ingress_rate: u64,
    /// The burst towards the pod.
    pub ingress_burst: u64,
    /// From the pod.
    pub egress_rate: u64,
    /// The burst from the pod.
    pub egress_burst: u64,
}

/// The addresses of an attached pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodIps {
    /// All addresses: the primary one first, which is IPv4 where there is one. Never empty.
    pub ips: Vec<IpAddr>,
    /// The whole result, for the verbose status.
    pub result: NetResult,
}

/// Told of each change that a verb made to the machine but the last one, the cache's: the plugin's name, or `lo`.
pub type Step<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no usable configuration.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// A plugin of the list is in none of the folders.
    #[error("the network plugin {plugin} is not in {dirs}")]
    NoPlugin {
        /// Its type.
        plugin: String,
        /// The folders searched.
        dirs: String,
    },
    /// A plugin refused or failed, and said why.
    #[error("{plugin} {verb}: {error}{}", stderr_suffix(.stderr))]
    Plugin {
        /// Its type.
        plugin: String,
        /// The CNI verb.
        verb: &'static str,
        /// What it printed.
        error: api_cni::Error,
        /// The end of its stderr.
        stderr: String,
    },
    /// A plugin ended without an error object, or printed what is no result.
    #[error("{plugin} {verb}: {what}{}", stderr_suffix(.stderr))]
    Broken {
        /// Its type.
        plugin: String,
        /// The CNI verb.
        verb: &'static str,
        /// What is wrong.
        what: String,
        /// The end of its stderr.
        stderr: String,
    },
    /// A plugin ran longer than the deadline and was killed.
    #[error("{plugin} {verb}: killed after {} seconds{}", .after.as_secs_f32(), stderr_suffix(.stderr))]
    Deadline {
        /// Its type.
        plugin: String,
        /// The CNI verb.
        verb: &'static str,
        /// The deadline.
        after: Duration,
        /// The end of its stderr.
        stderr: String,
    },
    /// The plugins succeeded and gave the pod no address.
    #[error("the network {0} gave no address")]
    NoAddress(String),
    /// The pod's id is not one that CNI allows.
    #[error(transparent)]
    Name(#[from] api_cni::NameError),
    /// The pod's loopback interface could not be brought up.
    #[error("bringing up loopback in {netns}: {source}")]
    Loopback {
        /// The network namespace.
        netns: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of ours could not be read or written.
    #[error("{op} {path}: {source}")]
    File {
        /// What was tried.
        op: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A thread of ours panicked.
    #[error("a worker of the network ended early: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

fn stderr_suffix(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; its stderr: {stderr}") }
}

/// The network that pods are attached to.
#[derive(Debug)]
pub struct Network {
    config: Config,
    /// Read for ADD and DEL, written for GC, which must see no attachment come or go.
    gate: RwLock<()>,
}

impl Network {
    /// A network over these folders. Nothing is read yet.
    pub fn new(config: Config) -> Self {
        Self { config, gate: RwLock::new(()) }
    }

    /// Whether a pod could be attached now: there is a valid configuration, and its plugins are installed.
    ///
    /// Reads one folder and one small file.
    pub fn ready(&self) -> Result<(), NotReady> {
        let loaded = config::load(&self.config.conf_dir)?;
        for plugin in &loaded.list.plugins {
            if exec::find(&self.config.bin_dirs, &plugin.kind).is_none() {
                return Err(NotReady::NoPlugin { plugin: plugin.kind.clone(), file: loaded.path });
            }
        }
        Ok(())
    }

    /// Attaches a pod. On failure everything that was made is undone, as far as the plugins can.
    pub async fn add(&self, attachment: &Attachment, step: Step<'_>) -> Result<PodIps, Error> {
        let _open = self.gate.read().await;
        verbs::add(&self.config, attachment, step).await
    }

    /// Detaches a pod: idempotent, also without its network namespace. All plugins are asked, and the first error is returned.
    pub async fn del(&self, attachment: &Attachment, step: Step<'_>) -> Result<(), Error> {
        let _open = self.gate.read().await;
        verbs::del(&self.config, attachment, step).await
    }

    /// Asks the plugins whether the pod's attachment is as it was made.
    pub async fn check(&self, attachment: &Attachment) -> Result<(), Error> {
        let _open = self.gate.read().await;
        verbs::check(&self.config, attachment).await
    }

    /// Asks the plugins of a network of version 1.1.0 or newer whether they could attach a pod, e.g. have a free address.
    pub async fn status(&self) -> Result<(), Error> {
        verbs::status(&self.config).await
    }

    /// Detaches all of this daemon's pods but those with the given sandbox ids, and lets the plugins collect what is left of others.
    pub async fn gc(&self, valid: &BTreeSet<String>) -> Result<(), Error> {
        let _closed = self.gate.write().await;
        verbs::gc(&self.config, valid).await
    }
}

impl Attachment {
    fn runtime_args(&self) -> Map<String, Value> {
        let mut args = Map::new();
        let ports: Vec<_> = self.port_mappings.iter().filter(|mapping| mapping.host_port != 0).collect();
        if !ports.is_empty() {
            args.insert("portMappings".into(), json!(ports));
        }
        if let Some(bandwidth) = self.bandwidth {
            args.insert("bandwidth".into(), json!(bandwidth));
        }
        if let Some(dns) = &self.dns {
            args.insert(
                "dns".into(),
                json!({
                    "servers": dns.nameservers, "searches": dns.search, "options": dns.options,
                }),
            );
        }
        if !self.cgroup_path.is_empty() {
            args.insert("cgroupPath".into(), json!(self.cgroup_path));
        }
        args
    }

    fn cni_args(&self) -> Vec<[String; 2]> {
        let pair = |key: &str, value: &str| [key.to_owned(), value.to_owned()];
        vec![
            pair("IgnoreUnknown", "1"),
            pair("K8S_POD_NAMESPACE", &self.pod_namespace),
            pair("K8S_POD_NAME", &self.pod_name),
            pair("K8S_POD_INFRA_CONTAINER_ID", &self.sandbox_id),
            pair("K8S_POD_UID", &self.pod_uid),
        ]
    }
}
