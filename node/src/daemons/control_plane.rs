//! `orlop control-plane`.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use control_plane::run::{self, Backend, Config, Limits, Parts, PortRange, Ranges, snapshot};
use control_plane::storage::{EmbeddedOptions, EtcdOptions, Retention};
use serde::Deserialize;

use super::{private_folder, serve};
use crate::layout::Layout;
use crate::{Error, Global};

/// Read when neither it nor a data folder is named.
const CONVENTIONAL_FILE: &str = "/etc/orlop/control-plane.toml";
/// Where clients look for an API.
const PORT: u16 = 6443;
/// The longest wait for etcd.
const ETCD_TIMEOUT: Duration = Duration::from_secs(5);

/// `orlop control-plane`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Command {
    #[command(flatten)]
    flags: Flags,
    /// A TOML file with the same keys as the flags; /etc/orlop/control-plane.toml by default, when there is no
    /// --data-dir
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The admin endpoint's socket
    #[arg(long, value_name = "SOCKET", value_parser = daemon::socket_path)]
    admin_socket: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Saves or restores everything that is stored
    Snapshot {
        #[command(subcommand)]
        which: Snapshot,
    },
}

#[derive(Subcommand, Clone, Debug)]
enum Snapshot {
    /// Writes a snapshot, of mode 0600; the control plane may be running
    Save {
        /// The file to write
        file: PathBuf,
    },
    /// Fills an empty store from a snapshot; the control plane must not be running
    Restore {
        /// The file to read
        file: PathBuf,
    },
}

/// The flags of the control plane, which are also the keys of its file. Each flag overrides the file, which overrides
/// what follows from `--data-dir`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Flags {
    /// The address to serve the API at; all of the machine's by default
    #[arg(long, value_name = "ADDRESS", global = true)]
    bind_address: Option<IpAddr>,
    /// The port to serve the API at; 6443 by default, 0 takes any
    #[arg(long, value_name = "PORT", global = true)]
    secure_port: Option<u16>,
    /// The address at which the cluster's members reach the API; found on the machine by default
    #[arg(long, value_name = "ADDRESS", global = true)]
    advertise_address: Option<IpAddr>,
    /// Another name or address of this server, for its certificate; may be given more than once
    #[arg(long, value_name = "NAME", value_delimiter = ',', global = true)]
    tls_san: Vec<String>,
    /// Where the administrator's kubeconfig is written
    #[arg(long, value_name = "FILE", global = true)]
    write_kubeconfig: Option<PathBuf>,
    /// The unix socket at which root is the superuser
    #[arg(long, value_name = "SOCKET", value_parser = daemon::socket_path, global = true)]
    api_socket: Option<PathBuf>,
    /// The folder of keys and certificates
    #[arg(long, value_name = "DIR", global = true)]
    cert_dir: Option<PathBuf>,
    /// Keeps objects in etcd at these addresses, in place of a file
    #[arg(long, value_name = "URL", value_delimiter = ',', global = true)]
    etcd_servers: Vec<String>,
    /// The file in which objects are kept
    #[arg(long, value_name = "FILE", conflicts_with = "etcd_servers", global = true)]
    store: Option<PathBuf>,
    /// The domain of Services; cluster.local by default
    #[arg(long, value_name = "DOMAIN", global = true)]
    cluster_domain: Option<String>,
    /// The addresses of Services, a block or one of each family with a comma between; 10.96.0.0/12 by default
    #[arg(long, value_name = "CIDR", value_parser = parsed::<Ranges>, global = true)]
    service_cluster_ip_range: Option<String>,
    /// Does not run a part: `controllers`, `scheduler`; another program is to do its work
    #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = ["controllers", "scheduler"], global = true)]
    disable: Vec<String>,
    /// Registers so many nodes that only seem to be there: their pods run at once. For trying out and for scale tests
    #[arg(long, value_name = "N", global = true)]
    simulate_nodes: Option<usize>,
    /// Reads that are worked on at once, watches not counted; 400 by default, 0 for any number
    #[arg(long, value_name = "N", global = true)]
    max_requests_inflight: Option<usize>,
    /// Writes that are worked on at once; 200 by default, 0 for any number
    #[arg(long, value_name = "N", global = true)]
    max_mutating_requests_inflight: Option<usize>,
    /// Requests that a user may send in a second; 0, the default, for any number
    #[arg(long, value_name = "N", global = true)]
    max_requests_per_second: Option<u32>,
    /// The ports of Services on nodes; 30000-32767 by default
    #[arg(long, value_name = "FIRST-LAST", value_parser = parsed::<PortRange>, global = true)]
    service_node_port_range: Option<String>,
}

/// Checks a text that the file may give as well.
fn parsed<T: std::str::FromStr>(text: &str) -> Result<String, T::Err> {
    text.parse::<T>().map(|_| text.to_owned())
}

impl Flags {
    fn over(self, file: Self) -> Self {
        let list = |own: Vec<String>, other| if own.is_empty() { other } else { own };
        Self {
            bind_address: self.bind_address.or(file.bind_address),
            secure_port: self.secure_port.or(file.secure_port),
            advertise_address: self.advertise_address.or(file.advertise_address),
            tls_san: list(self.tls_san, file.tls_san),
            write_kubeconfig: self.write_kubeconfig.or(file.write_kubeconfig),
            api_socket: self.api_socket.or(file.api_socket),
            cert_dir: self.cert_dir.or(file.cert_dir),
            etcd_servers: list(self.etcd_servers, file.etcd_servers),
            store: self.store.or(file.store),
            cluster_domain: self.cluster_domain.or(file.cluster_domain),
            disable: list(self.disable, file.disable),
            simulate_nodes: self.simulate_nodes.or(file.simulate_nodes),
            max_requests_inflight: self.max_requests_inflight.or(file.max_requests_inflight),
            max_mutating_requests_inflight: self
                .max_mutating_requests_inflight
                .or(file.max_mutating_requests_inflight),
            max_requests_per_second: self.max_requests_per_second.or(file.max_requests_per_second),
            service_cluster_ip_range: self.service_cluster_ip_range.or(file.service_cluster_ip_range),
            service_node_port_range: self.service_node_port_range.or(file.service_node_port_range),
        }
    }

    fn config(self, layout: &Layout) -> Result<Config, Error> {
        let root = layout.root.join("control-plane");
        let backend = match (self.etcd_servers.is_empty(), self.store) {
            (false, None) => {
                Backend::Etcd(EtcdOptions { endpoints: self.etcd_servers, tls: None, timeout: ETCD_TIMEOUT })
            }
            (false, Some(_)) => {
                return Err(Error::Usage("store and etcd-servers exclude each other".to_owned()));
            }
            (true, path) => Backend::File {
                path: path.unwrap_or_else(|| root.join("store.redb")),
                options: EmbeddedOptions::default(),
            },
        };
        let usage = |key: &'static str| move |error| Error::Usage(format!("{key}: {error}"));
        let range = self.service_cluster_ip_range.as_deref().unwrap_or("10.96.0.0/12");
        let ports = self.service_node_port_range.as_deref().unwrap_or("30000-32767");
        let known = |part: &&String| ["controllers", "scheduler"].contains(&part.as_str());
        if let Some(part) = self.disable.iter().find(|part| !known(part)) {
            return Err(Error::Usage(format!("disable: there is no part {part:?}")));
        }
        let usual = Limits::default();
        let limits = Limits {
            reads: self.max_requests_inflight.unwrap_or(usual.reads),
            writes: self.max_mutating_requests_inflight.unwrap_or(usual.writes),
            per_second: self.max_requests_per_second.unwrap_or(usual.per_second),
        };
        // A file is used by one process at a time.
        let shared = matches!(backend, Backend::Etcd(_));
        let disabled = |part: &str| self.disable.iter().any(|one| one == part);
        Ok(Config {
            backend,
            retention: Retention::default(),
            pki: self.cert_dir.unwrap_or_else(|| root.join("pki")),
            bind: SocketAddr::new(
                self.bind_address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
                self.secure_port.unwrap_or(PORT),
            ),
            advertise: self.advertise_address,
            socket: self.api_socket.unwrap_or_else(|| layout.api_socket()),
            kubeconfig: self.write_kubeconfig.unwrap_or_else(|| root.join("admin.kubeconfig")),
            names: self.tls_san.into_iter().collect(),
            cluster_domain: self.cluster_domain.unwrap_or_else(|| "cluster.local".to_owned()),
            service_range: range.parse().map_err(usage("service-cluster-ip-range"))?,
            limits,
            parts: Parts {
                controllers: !disabled("controllers"),
                scheduler: !disabled("scheduler"),
                shared,
                simulated_nodes: self.simulate_nodes.unwrap_or(0),
            },
            node_ports: ports.parse().map_err(usage("service-node-port-range"))?,
        })
    }
}

/// Runs the control plane until it is asked to end, or works on what it stores.
pub(crate) fn run(global: &Global, command: &Command) -> Result<ExitCode, Error> {
    let layout = global.layout().map_err(|error| Error::failed(&error))?;
    let file: Flags = match (&command.config, &global.data_dir) {
        (Some(path), _) => daemon::load_toml(path, false),
        // An instance with a folder of its own takes nothing from the machine's.
        (None, Some(_)) => Ok(Flags::default()),
        (None, None) => daemon::load_toml(Path::new(CONVENTIONAL_FILE), true),
    }
    .map_err(|error| Error::Usage(error.to_string()))?;
    let config = command.flags.clone().over(file).config(&layout)?;
    if let Some(Action::Snapshot { which }) = &command.action {
        return work(&config, which);
    }
    private_folder(&layout.run)?;
    private_folder(&layout.root.join("control-plane"))?;
    let admin = command.admin_socket.clone().unwrap_or_else(|| layout.control_plane_admin_socket());
    let sockets = vec![config.socket.clone()];
    serve(global, &admin, sockets, |shutdown, readiness| async move {
        run::run(config, shutdown, readiness).await.map_err(|error| Error::failed(&error))
    })
}

fn work(config: &Config, which: &Snapshot) -> Result<ExitCode, Error> {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let executor = executor.map_err(|error| Error::failed(&error))?;
    let (done, count) = match which {
        Snapshot::Save { file } => {
            let file = std::path::absolute(file).map_err(|error| Error::failed(&error))?;
            ("saved", executor.block_on(snapshot::save(config, &file)))
        }
        Snapshot::Restore { file } => ("restored", executor.block_on(snapshot::restore_to(config, file))),
    };
    let count = count.map_err(|error| Error::failed(&error))?;
    // Who closed the pipe does not want to know.
    let _ = writeln!(std::io::stdout(), "{count} objects {done}");
    Ok(ExitCode::SUCCESS)
}
