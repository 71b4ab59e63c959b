//! The stores under test, each fresh.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::storage::{Embedded, EmbeddedOptions, Etcd, EtcdOptions, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Something that opens stores over the same data.
pub(crate) trait Backend {
    fn open(&self, runtime: &Runtime) -> Arc<dyn Store>;
    /// Ends what serves the data, and starts it again over them.
    fn restart(&mut self);

    /// Runs a test on a store.
    fn run<F: Future<Output = ()>>(&self, test: impl FnOnce(Arc<dyn Store>) -> F) {
        let runtime = runtime();
        let store = self.open(&runtime);
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), test(store))
                .await
                .expect("the test to end within a minute");
        });
    }
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) struct Memory;

pub(crate) fn memory() -> impl Backend {
    Memory
}

impl Backend for Memory {
    fn open(&self, _: &Runtime) -> Arc<dyn Store> {
        Arc::new(Embedded::in_memory().unwrap())
    }

    fn restart(&mut self) {}
}

pub(crate) struct File(TempDir);

pub(crate) fn file() -> impl Backend {
    File(TempDir::new().unwrap())
}

impl Backend for File {
    fn open(&self, _: &Runtime) -> Arc<dyn Store> {
        // The writer of a store that was dropped gives the file free a moment later.
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match Embedded::open(&self.0.path().join("store.redb"), &EmbeddedOptions::default()) {
                Ok(store) => return Arc::new(store),
                Err(e) if Instant::now() > end => panic!("{e}"),
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    fn restart(&mut self) {}
}

pub(crate) struct EtcdServer {
    process: Child,
    client: String,
    peer: String,
    data: TempDir,
}

/// An etcd of Debian's, on loopback ports of its own.
pub(crate) fn etcd() -> impl Backend {
    let [client, peer] = free_ports().map(|port| format!("http://127.0.0.1:{port}"));
    let data = TempDir::new().unwrap();
    EtcdServer { process: start(&client, &peer, data.path()), client, peer, data }
}

fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn start(client: &str, peer: &str, data: &Path) -> Child {
    Command::new("etcd")
        .args(["--name", "test", "--initial-cluster", &format!("test={peer}")])
        .args(["--listen-client-urls", client, "--advertise-client-urls", client])
        .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
        .arg("--data-dir")
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd, of Debian's package etcd-server")
}

impl Backend for EtcdServer {
    fn open(&self, runtime: &Runtime) -> Arc<dyn Store> {
        let options =
            EtcdOptions { endpoints: vec![self.client.clone()], tls: None, timeout: Duration::from_secs(5) };
        let end = Instant::now() + Duration::from_secs(20);
        runtime.block_on(async {
            loop {
                let error = match Etcd::connect(&options).await {
                    Ok(store) => match store.stats().await {
                        Ok(_) => return Arc::new(store) as Arc<dyn Store>,
                        Err(e) => e,
                    },
                    Err(e) => e,
                };
                assert!(Instant::now() < end, "etcd does not answer: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    }

    fn restart(&mut self) {
        self.end();
        self.process = start(&self.client, &self.peer, self.data.path());
    }
}

impl EtcdServer {
    fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.end();
    }
}
