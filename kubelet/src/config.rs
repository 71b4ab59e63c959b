//! What the kubelet is told: one field per flag, and the subset of KubeletConfiguration that fills them.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::fields::cut;

/// A parser's message is cut here.
const LONGEST_LINE: usize = 300;

/// Everything that the kubelet touches on the machine, and how it behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The CRI socket of the runtime service: a path, without `unix://`.
    pub container_runtime_endpoint: PathBuf,
    /// The CRI socket of the image service; the runtime's when `None`.
    pub image_service_endpoint: Option<PathBuf>,
    /// Pods' volumes, `/etc/hosts` files and the kubelet's own state.
    pub root_dir: PathBuf,
    /// The folder (or the one file) of static pod manifests; `None` runs no pods.
    pub pod_manifest_path: Option<PathBuf>,
    /// CRI logs: `NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log` below it.
    pub pod_logs_dir: PathBuf,
    /// Links to the containers' logs, named by pod, namespace, container and id.
    pub container_logs_dir: PathBuf,
    /// The node's name; it becomes part of static pods' names.
    pub node_name: String,
    /// The node's addresses, primary first; found on the machine when empty.
    pub node_ips: Vec<IpAddr>,
    /// The unix socket of the HTTP API; mode 0600.
    pub listen_socket: PathBuf,
    /// Where to serve the HTTP API over TCP, without authentication; nowhere by default.
    pub listen_address: Option<SocketAddr>,
    /// The cgroup under which `kubepods` is made.
    pub cgroup_root: String,
    /// DNS servers for pods with `dnsPolicy: ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// The DNS domain of the cluster.
    pub cluster_domain: String,
    /// The resolver configuration that pods inherit.
    pub resolv_conf: PathBuf,
    /// How many pods may be active.
    pub max_pods: usize,
    /// Image garbage collection starts at this use of the image file system, in percent; 100 switches it off.
    pub image_gc_high_percent: u8,
    /// Image garbage collection stops at this use, in percent.
    pub image_gc_low_percent: u8,
    /// Images younger than this are kept.
    pub image_minimum_gc_age: Duration,
    /// A container's log is rotated when it is larger, in bytes.
    pub container_log_max_size: u64,
    /// How many log files a container keeps, the current one included; at least 2.
    pub container_log_max_files: u32,
    /// How often log sizes are looked at.
    pub container_log_monitor_interval: Duration,
    /// The longest delay between two starts of a crashing container.
    pub max_container_restart_period: Duration,
    /// Containers without a seccomp profile get the runtime's default one.
    pub seccomp_default: bool,
    /// Sysctls allowed beyond the safe ones; a trailing `*` matches the rest.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// `pids.max` of each pod; `None` leaves it alone.
    pub pod_pids_limit: Option<i64>,
}

/// A configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It is not YAML or JSON, or not a KubeletConfiguration.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A field has a value that it cannot have.
    #[error("{}: {field}: {message}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Default for Config {
    /// The conventional paths of a Kubernetes node, and the defaults of KubeletConfiguration v1beta1.
    fn default() -> Self {
        Self {
            container_runtime_endpoint: "/run/orlop/cri.sock".into(),
            image_service_endpoint: None,
            root_dir: "/var/lib/kubelet".into(),
            pod_manifest_path: None,
            pod_logs_dir: "/var/log/pods".into(),
            container_logs_dir: "/var/log/containers".into(),
            node_name: String::new(),
            node_ips: Vec::new(),
            listen_socket: "/run/orlop/kubelet.sock".into(),
            listen_address: None,
            cgroup_root: "/".into(),
            cluster_dns: Vec::new(),
            cluster_domain: String::new(),
            resolv_conf: "/etc/resolv.conf".into(),
            max_pods: 110,
            image_gc_high_percent: 85,
            image_gc_low_percent: 80,
            image_minimum_gc_age: Duration::from_secs(120),
            container_log_max_size: 10 << 20,
            container_log_max_files: 5,
            container_log_monitor_interval: Duration::from_secs(10),
            max_container_restart_period: Duration::from_secs(300),
            seccomp_default: false,
            allowed_unsafe_sysctls: Vec::new(),
            pod_pids_limit: None,
        }
    }
}

impl Config {
    /// Takes over what a KubeletConfiguration file sets. Returns one warning per key that has no effect here.
    pub fn apply_file(&mut self, path: &Path) -> Result<Vec<String>, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let syntax = |message: String| ConfigError::Syntax { path: path.into(), message };
        let options = serde_saphyr::options! { with_snippet: false };
        let value: Value = serde_saphyr::from_str_with_options(&text, options)
            .map_err(|error| syntax(cut(error.to_string(), LONGEST_LINE)))?;
        let Value::Object(map) = value else {
            return Err(syntax("not a KubeletConfiguration: no mapping".into()));
        };
        let is = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
        if is("kind") != "KubeletConfiguration" || is("apiVersion") != "kubelet.config.k8s.io/v1beta1" {
            return Err(syntax(
                "not a KubeletConfiguration of kubelet.config.k8s.io/v1beta1: see kind and apiVersion".into(),
            ));
        }
        let mut warnings = Vec::new();
        for (key, value) in &map {
            if matches!(key.as_str(), "kind" | "apiVersion") {
                continue;
            }
            match self.apply(key, value) {
                Ok(true) => {}
                Ok(false) => warnings.push(format!("{}: {key} has no effect here", path.display())),
                Err(message) => {
                    return Err(ConfigError::Field { path: path.into(), field: key.clone(), message });
                }
            }
        }
        if self.image_gc_low_percent >= self.image_gc_high_percent {
            return Err(ConfigError::Field {
                path: path.into(),
                field: "imageGCLowThresholdPercent".into(),
                message: "must be lower than imageGCHighThresholdPercent".into(),
            });
        }
        Ok(warnings)
    }

    /// These settings with absolute paths, or what cannot work, with its value. Touches nothing.
    pub fn checked(mut self) -> Result<Self, String> {
        // A static pod's UID comes from its manifest's path, and monitors run in another folder.
        for path in
            [&mut self.root_dir, &mut self.pod_logs_dir, &mut self.container_logs_dir, &mut self.resolv_conf]
                .into_iter()
                .chain(&mut self.pod_manifest_path)
        {
            *path = std::path::absolute(&*path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let wrong = api_objects::names::dns_subdomain(&self.node_name);
        if let Some(reason) = wrong.first() {
            return Err(format!("the node's name {:?}: {reason}", self.node_name));
        }
        daemon::cgroup_path(&self.cgroup_root).map_err(|error| format!("the cgroup root: {error}"))?;
        Ok(self)
    }

    /// `Ok(false)`: the key is not known here.
    fn apply(&mut self, key: &str, value: &Value) -> Result<bool, String> {
        match key {
            "containerRuntimeEndpoint" => {
                self.container_runtime_endpoint = daemon::socket_path(text(value)?)?
            }
            "imageServiceEndpoint" => self.image_service_endpoint = Some(daemon::socket_path(text(value)?)?),
            "staticPodPath" => self.pod_manifest_path = Some(text(value)?.into()),
            "podLogsDir" => self.pod_logs_dir = text(value)?.into(),
            "cgroupRoot" => self.cgroup_root = text(value)?.into(),
            "clusterDomain" => self.cluster_domain = text(value)?.into(),
            "clusterDNS" => {
                let parse = |text: String| text.parse().map_err(|_| format!("{text:?} is no IP address"));
                self.cluster_dns = texts(value)?.into_iter().map(parse).collect::<Result<_, _>>()?;
            }
            "resolvConf" => self.resolv_conf = text(value)?.into(),
            "maxPods" => self.max_pods = number(value, 1..=i32::MAX.into())? as usize,
            "imageGCHighThresholdPercent" => self.image_gc_high_percent = number(value, 0..=100)? as u8,
            "imageGCLowThresholdPercent" => self.image_gc_low_percent = number(value, 0..=100)? as u8,
            "imageMinimumGCAge" => self.image_minimum_gc_age = duration(value)?,
            "containerLogMaxSize" => self.container_log_max_size = size(value)?,
            "containerLogMaxFiles" => self.container_log_max_files = number(value, 2..=1000)? as u32,
            "containerLogMonitorInterval" => self.container_log_monitor_interval = duration(value)?,
            "seccompDefault" => self.seccomp_default = value.as_bool().ok_or("not true or false")?,
            "allowedUnsafeSysctls" => self.allowed_unsafe_sysctls = texts(value)?,
            "podPidsLimit" => {
                let limit = value.as_i64().ok_or("not a whole number")?;
                self.pod_pids_limit = (limit > 0).then_some(limit);
            }
            "crashLoopBackOff" => {
                let map = value.as_object().ok_or("not a mapping")?;
                for (key, value) in map {
                    if key != "maxContainerRestartPeriod" {
                        return Err(format!("{key} is not known"));
                    }
                    let period = duration(value)?;
                    if !(Duration::from_secs(1)..=Duration::from_secs(300)).contains(&period) {
                        return Err("maxContainerRestartPeriod must be from 1s to 300s".into());
                    }
                    self.max_container_restart_period = period;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let list = value.as_array().ok_or_else(|| format!("{value} is no list"))?;
    list.iter().map(|value| text(value).map(Into::into)).collect()
}

fn number(value: &Value, range: std::ops::RangeInclusive<i64>) -> Result<i64, String> {
    let number = value.as_i64().ok_or_else(|| format!("{value} is no whole number"))?;
    if range.contains(&number) {
        Ok(number)
    } else {
        Err(format!("{number} is not from {} to {}", range.start(), range.end()))
    }
}

/// Go's spelling of a duration (`1m30s`).
fn duration(value: &Value) -> Result<Duration, String> {
    let nanos = api_objects::time::parse_duration(text(value)?).filter(|nanos| *nanos >= 0);
    nanos.map(|nanos| Duration::from_nanos(nanos.unsigned_abs())).ok_or(format!("{value} is no duration"))
}

fn size(value: &Value) -> Result<u64, String> {
    let quantity: api_objects::Quantity =
        text(value)?.parse().map_err(|error| format!("{value}: {error}"))?;
    u64::try_from(quantity.units()).ok().filter(|size| *size > 0).ok_or(format!("{value} is not positive"))
}
