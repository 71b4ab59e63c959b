//! The servers that are compared: ours on its file, ours on etcd, and a stock one on etcd where there is one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use integration::memory;
use integration::process::Daemon;
use integration::world::bin;

use crate::Result;
use crate::client::Target;

/// The longest wait for a server to become ready.
const SOON: Duration = Duration::from_secs(60);

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// `orlop control-plane` on its file.
    File,
    /// `orlop control-plane` on etcd.
    OnEtcd,
    /// A stock API server on etcd.
    Stock,
}

impl Which {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "orlop, redb",
            Self::OnEtcd => "orlop, etcd",
            Self::Stock => "stock, etcd",
        }
    }

    fn ports(self) -> [u16; 3] {
        match self {
            Self::File => [16443, 0, 0],
            Self::OnEtcd => [17443, 17379, 17380],
            Self::Stock => [18443, 18379, 18380],
        }
    }
}

/// A server that runs, with its etcd.
pub(crate) struct Server {
    pub(crate) target: Target,
    daemons: Vec<Daemon>,
    /// From its start until it was ready, without its etcd's.
    pub(crate) start: Duration,
}

/// Starts a server in a folder, or again on what it left there. `more` are further flags of ours.
pub(crate) async fn start(which: Which, folder: &Path, more: &[&str]) -> Result<Server> {
    let folder = folder.join(which.name());
    std::fs::create_dir_all(&folder)?;
    let [port, client, peer] = which.ports();
    let mut daemons = Vec::new();
    if which != Which::File {
        daemons.push(etcd(&folder, client, peer)?);
        wait_for_port(client).await?;
    }
    let servers = format!("http://127.0.0.1:{client}");
    let pki = folder.join("data/lib/control-plane/pki");
    let command = match which {
        Which::File => ours(&folder, port, more),
        Which::OnEtcd => ours(&folder, port, &[&["--etcd-servers", &servers], more].concat()),
        Which::Stock => stock(&pki, port, &servers)?,
    };
    let began = Instant::now();
    daemons.push(Daemon::spawn(command, &folder.join("log"))?);
    let target = loop {
        if began.elapsed() > SOON {
            return Err(format!("{} is not ready: {}", which.name(), daemons[daemons.len() - 1].log()).into());
        }
        // The keys are made when it starts.
        if let Ok(target) = Target::new(port, &pki)
            && let Ok(mut client) = target.client().await
            && client.send("GET", "/readyz", "", &serde_json::Value::Null).await.is_ok()
        {
            break target;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    Ok(Server { target, daemons, start: began.elapsed() })
}

impl Server {
    /// Ends it, in order.
    pub(crate) fn stop(mut self) -> Result<()> {
        while let Some(mut daemon) = self.daemons.pop() {
            daemon.terminate(Duration::from_secs(30)).map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }

    /// Its memory with that of its etcd, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        self.daemons.iter().map(|daemon| memory::pss_kib(daemon.pid())).sum::<u64>() as f64 / 1024.0
    }

    /// CPU time that was used by both so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.daemons.iter().map(|daemon| memory::cpu_ticks(daemon.pid())).sum::<u64>() as f64 / 100.0
    }
}

fn ours(folder: &Path, port: u16, more: &[&str]) -> Command {
    let mut command = Command::new(bin("orlop"));
    command.args(["--data-dir", "data", "control-plane"]).args(more);
    command.args(["--bind-address", "127.0.0.1", "--secure-port", &port.to_string()]);
    command.arg("--api-socket").arg(folder.join("api.sock"));
    command.current_dir(folder).env_remove("ORLOP_DATA_DIR");
    command
}

/// With keys of ours, so that the same client can ask it.
fn stock(pki: &Path, port: u16, etcd: &str) -> Result<Command> {
    let binary = std::env::var_os("ORLOP_STOCK_APISERVER").ok_or("ORLOP_STOCK_APISERVER names no binary")?;
    // The one on the file ran first.
    let own = pki.ancestors().nth(4).ok_or("no folder")?.with_file_name(Which::File.name());
    std::fs::create_dir_all(pki)?;
    for file in std::fs::read_dir(own.join("data/lib/control-plane/pki"))?.flatten() {
        std::fs::copy(file.path(), pki.join(file.file_name()))?;
    }
    // It reads no public key out of ours.
    let tokens = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"];
    if !Command::new("openssl").args(tokens).arg(pki.join("stock.key")).status()?.success() {
        return Err("openssl ecparam failed".into());
    }
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.join(name).display());
    let mut command = Command::new(PathBuf::from(binary));
    command.args([
        file("client-ca-file", "ca.crt"),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("service-account-key-file", "stock.key"),
        file("service-account-signing-key-file", "stock.key"),
    ]);
    command.args(["--service-account-issuer", "https://kubernetes.default.svc.cluster.local"]);
    command.args([
        "--etcd-servers",
        etcd,
        "--authorization-mode",
        "Node,RBAC",
        "--bind-address",
        "127.0.0.1",
    ]);
    command.args(["--advertise-address", "192.0.2.2", "--service-cluster-ip-range", "10.96.0.0/12"]);
    command.args(["--secure-port", &port.to_string()]);
    Ok(command)
}

/// Debian's etcd, as it is by default: what it acknowledges is on the disk.
fn etcd(folder: &Path, client: u16, peer: u16) -> Result<Daemon> {
    let [client, peer] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
    let mut command = Command::new("etcd");
    command.args(["--name", "bench", "--initial-cluster", &format!("bench={peer}")]);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.arg("--data-dir").arg(folder.join("etcd"));
    let daemon = Daemon::spawn(command, &folder.join("etcd.log"));
    daemon.map_err(|error| format!("etcd, of Debian's package etcd-server: {error}").into())
}

async fn wait_for_port(port: u16) -> Result<()> {
    let began = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if began.elapsed() > SOON {
            return Err(format!("nothing listens at port {port}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
