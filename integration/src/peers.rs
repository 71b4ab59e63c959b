//! CRI daemons that tests and benches run side by side: ours, and Debian's containerd with runc.
//!
//! Each has its own folders, sockets, bridge and cgroup parent. `orlop` and `containerd` here mean whole instances
//! with the test images imported.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use api_cri::v1 as cri;

use crate::cri::Cri;
use crate::memory;
use crate::process::Daemon;
use crate::world::{bin, repository};

/// A CRI daemon of one kind, and how to talk to it.
#[derive(Clone)]
pub struct Peer {
    /// For reports.
    pub name: &'static str,
    /// Connected.
    pub cri: Cri,
    folder: PathBuf,
    started_before: Arc<BTreeSet<i32>>,
    others: &'static [&'static str],
    _daemon: Arc<Daemon>,
}

impl Peer {
    /// A sandbox as a kubelet would ask for, in the pod network.
    pub fn sandbox(&self, name: &str) -> cri::PodSandboxConfig {
        cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: name.into(),
                namespace: "bench".into(),
                uid: format!("uid-{name}"),
                attempt: 0,
            }),
            log_directory: self.folder.join("logs").join(name).display().to_string(),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: format!("/orlop-bench-{}", self.name),
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(self.namespaces()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// What a kubelet asks for by default: all of the pod but the PID namespace.
    pub fn namespaces(&self) -> cri::NamespaceOption {
        cri::NamespaceOption { pid: cri::NamespaceMode::Container.into(), ..Default::default() }
    }

    /// Whether a process was started since this peer was, and belongs to it by its command line.
    pub fn owns(&self, pid: i32) -> bool {
        if self.started_before.contains(&pid) {
            return false;
        }
        let line = memory::command_line(pid);
        !line.is_empty() && !self.others.iter().any(|other| line.contains(other))
    }
}

/// Makes the test images once per folder and returns where they lie.
pub fn test_images(folder: &Path) -> Result<PathBuf, Box<dyn Error + Send + Sync>> {
    // The same packages give the same images: a test run makes them once.
    if let Some(made) = std::env::var_os("ORLOP_TEST_IMAGES") {
        return Ok(made.into());
    }
    let images = folder.join("images");
    run(Command::new(repository().join("hack/test-images")).arg(&images))?;
    Ok(images)
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error + Send + Sync>> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{command:?}: {}: {text}", output.status).into())
}

/// `orlop cri` below a folder.
pub async fn orlop(folder: &Path) -> Result<Peer, Box<dyn Error + Send + Sync>> {
    fs::create_dir_all(folder)?;
    let started_before = Arc::new(memory::processes());
    let data = folder.join("data");
    network(&data.join("cni/net.d"), "orlop", &bin("orlop-cni"), Some(&data.join("cni/bin")))?;
    let mut command = Command::new(bin("orlop"));
    command.args(["cri", "--data-dir"]).arg(&data);
    let socket = folder.join("cri.sock");
    command.arg("--listen").arg(format!("unix://{}", socket.display()));
    let mut daemon = Daemon::spawn(command, &folder.join("log"))?;
    daemon.wait_for_socket(&socket).map_err(|error| format!("{error:?}"))?;
    let images = test_images(folder)?;
    run(Command::new(bin("orlop")).arg("--data-dir").arg(&data).arg("--cri-endpoint").arg(&socket).args([
        "import".as_ref(),
        images.join("busybox").as_os_str(),
        "--name".as_ref(),
        "docker.io/library/busybox:1.35".as_ref(),
    ]))?;
    Ok(Peer {
        name: "orlop",
        cri: Cri::connect(&socket).await?,
        folder: folder.into(),
        started_before,
        others: &["containerd", "cri-bench"],
        _daemon: Arc::new(daemon),
    })
}

/// Debian's containerd below a folder, with runc and the reference plugins.
pub async fn containerd(folder: &Path) -> Result<Peer, Box<dyn Error + Send + Sync>> {
    fs::create_dir_all(folder)?;
    let started_before = Arc::new(memory::processes());
    network(&folder.join("net.d"), "containerd", Path::new("/usr/lib/cni"), None)?;
    let socket = folder.join("s");
    let at = folder.display();
    fs::write(
        folder.join("config.toml"),
        format!(
            r#"version = 2
root = "{at}/root"
state = "{at}/state"
oom_score = 0
[grpc]
address = "{at}/s"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:bench"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{at}/net.d"
[plugins."io.containerd.internal.v1.opt"]
path = "{at}/opt"
"#
        ),
    )?;
    let mut command = Command::new("containerd");
    command.arg("--config").arg(folder.join("config.toml"));
    let mut daemon = Daemon::spawn(command, &folder.join("log"))?;
    daemon.wait_for_socket(&socket).map_err(|error| format!("{error:?}"))?;
    let images = test_images(folder)?;
    for (layout, name) in [
        ("busybox", "docker.io/library/busybox:1.35"),
        ("nginx", "docker.io/library/nginx:1.22"),
        ("pause", "docker.io/library/pause:bench"),
    ] {
        let archive = folder.join(format!("{layout}.tar"));
        let source = format!("oci:{}", images.join(layout).display());
        run(Command::new("skopeo").args([
            "copy",
            &source,
            &format!("docker-archive:{}:{name}", archive.display()),
        ]))?;
        let mut import = Command::new("ctr");
        import
            .arg("--address")
            .arg(&socket)
            .args(["--namespace", "k8s.io", "images", "import"])
            .arg(&archive);
        run(&mut import)?;
    }
    Ok(Peer {
        name: "containerd",
        cri: Cri::connect(&socket).await?,
        folder: folder.into(),
        started_before,
        others: &["orlop"],
        _daemon: Arc::new(daemon),
    })
}

/// The same network for both: a bridge with masquerading, host-local addresses, host ports.
fn network(conf: &Path, name: &str, plugin: &Path, links: Option<&Path>) -> std::io::Result<()> {
    fs::create_dir_all(conf)?;
    let (bridge, net) = if name == "orlop" { ("bench-a", "10.201") } else { ("bench-b", "10.202") };
    let leases = conf.join("leases");
    fs::write(
        conf.join("10-bench.conflist"),
        format!(
            r#"{{"cniVersion": "1.0.0", "name": "bench-{name}", "plugins": [
  {{"type": "bridge", "bridge": "{bridge}", "isGateway": true, "ipMasq": true, "hairpinMode": true,
    "ipam": {{"type": "host-local", "dataDir": "{}", "ranges": [[{{"subnet": "{net}.0.0/16"}}]],
      "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}"#,
            leases.display()
        ),
    )?;
    if let Some(links) = links {
        fs::create_dir_all(links)?;
        for kind in ["bridge", "host-local", "loopback", "portmap"] {
            std::os::unix::fs::symlink(plugin, links.join(kind))?;
        }
    }
    Ok(())
}
