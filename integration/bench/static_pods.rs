//! `orlop up` as a person sees it: a manifest appears, how long until the process runs, and what do pods weigh?
//!
//! ```text
//! hack/bench static_pods [ROUNDS [PODS]]      20 rounds, 100 pods by default
//! ```
//!
//! The same is asked of two peers in the same run, one after the other on the same machine with the same image:
//! `orlop kubelet` on Debian's containerd and runc, which tells what the runtime's half is; and, where
//! `ORLOP_STOCK_KUBELET` names one, a stock kubelet on that containerd. The process says that it runs by making a
//! file on a hostPath volume, which is watched with inotify.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use integration::process::Daemon;
use integration::world::bin;
use integration::{leftovers, memory, peers, stock_kubelet};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
const WORKLOAD: &str = "sleep 86400";

fn main() -> Result<()> {
    integration::world::enter()?;
    stock_kubelet::prepare_world().map_err(|error| format!("{error:?}"))?;
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (rounds, pods) = (number(20)?.max(1), number(100)?.max(1));
    let folder = tempfile::tempdir()?;

    let mut all = vec![orlop_up(&folder.path().join("up"))?.measure(rounds, pods)?];
    if Path::new("/usr/bin/containerd").exists() {
        let peer = folder.path().join("peer");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _containerd = runtime.block_on(peers::containerd(&peer.join("c")))?;
        all.push(orlop_kubelet(&peer)?.measure(rounds, pods)?);
        match std::env::var_os("ORLOP_STOCK_KUBELET") {
            Some(binary) => all.push(stock(Path::new(&binary), &peer)?.measure(rounds, pods)?),
            None => println!("no stock kubelet: ORLOP_STOCK_KUBELET names none"),
        }
    } else {
        println!("no peers: containerd is not installed");
    }
    let [ours, others @ ..] = all.as_slice() else { return Ok(()) };
    for other in others {
        println!("{} / {}: {}", other.name, ours.name, other.ratios(ours));
    }
    Ok(())
}

/// A kubelet with its runtime.
struct Stack {
    name: &'static str,
    /// Every process of it but those of containers has this path in its command line.
    folder: PathBuf,
    manifests: PathBuf,
    signs: PathBuf,
    cgroup: String,
    daemon: Daemon,
}

/// What was found.
struct Figures {
    name: &'static str,
    /// Milliseconds: the median.
    process: f64,
    /// Seconds until all run, and of CPU for it.
    burst: f64,
    cpu: f64,
    /// KiB a pod.
    weight: f64,
    /// Percent of a core.
    idle: f64,
}

impl Figures {
    fn ratios(&self, ours: &Self) -> String {
        let ratio = |theirs: f64, ours: f64| if ours > 0.0 { theirs / ours } else { f64::INFINITY };
        format!(
            "manifest → process {:.1}×, many at once {:.1}×, CPU for it {:.1}×, memory a pod {:.1}×, idle {:.1}×",
            ratio(self.process, ours.process),
            ratio(self.burst, ours.burst),
            ratio(self.cpu, ours.cpu),
            ratio(self.weight, ours.weight),
            ratio(self.idle, ours.idle),
        )
    }
}

/// The folders of a stack, and its cgroup.
fn places(folder: &Path, name: &str) -> Result<(PathBuf, PathBuf, String)> {
    let [manifests, signs] = ["manifests", "signs"].map(|what| folder.join(format!("{name}-{what}")));
    fs::create_dir_all(&manifests)?;
    fs::create_dir_all(&signs)?;
    Ok((manifests, signs, format!("orlop-bench-{}-{name}", std::process::id())))
}

fn orlop_up(folder: &Path) -> Result<Stack> {
    let (manifests, signs, cgroup) = places(folder, "up")?;
    let data = folder.join("data");
    let mut command = Command::new(bin("orlop"));
    command.args(["up", "--data-dir"]).arg(&data).arg("--manifests").arg(&manifests);
    for flag in ["--cgroup-parent", "--cgroup-root"] {
        command.arg(flag).arg(format!("/{cgroup}"));
    }
    let daemon = Daemon::spawn(command, &folder.join("log"))?;
    let images = peers::test_images(folder)?;
    let stack = Stack { name: "orlop up", folder: folder.into(), manifests, signs, cgroup, daemon };
    stack.wait_until(|| {
        let mut import = Command::new(bin("orlop"));
        import.arg("--data-dir").arg(&data).arg("import").arg(images.join("busybox"));
        import.args(["--name", "docker.io/library/busybox:1.35"]);
        Ok(import.output()?.status.success())
    })?;
    Ok(stack)
}

/// On the containerd that runs below the folder.
fn orlop_kubelet(folder: &Path) -> Result<Stack> {
    let (manifests, signs, cgroup) = places(folder, "kubelet")?;
    let data = folder.join("data");
    let mut command = Command::new(bin("orlop"));
    command.args(["kubelet", "--data-dir"]).arg(&data).arg("--manifests").arg(&manifests);
    command.arg("--container-runtime-endpoint").arg(folder.join("c/s"));
    command.arg("--cgroup-root").arg(format!("/{cgroup}"));
    let daemon = Daemon::spawn(command, &folder.join("log"))?;
    let name = "orlop kubelet on containerd";
    let stack = Stack { name, folder: folder.into(), manifests, signs, cgroup, daemon };
    stack.wait_until(|| {
        let mut ps = Command::new(bin("orlop"));
        Ok(ps.arg("--data-dir").arg(&data).arg("ps").output()?.status.success())
    })?;
    Ok(stack)
}

/// On the same containerd.
fn stock(binary: &Path, folder: &Path) -> Result<Stack> {
    let (manifests, signs, cgroup) = places(folder, "stock")?;
    stock_kubelet::make_cgroup(&cgroup).map_err(|error| format!("{error:?}"))?;
    let config = folder.join("stock.json");
    fs::write(
        &config,
        stock_kubelet::configuration(&manifests, &folder.join("c/s"), &cgroup, &[]).to_string(),
    )?;
    let mut command = Command::new(binary);
    command.arg("--config").arg(&config).arg("--root-dir").arg(folder.join("stock"));
    command.args(["--hostname-override", "n", "--node-ip", stock_kubelet::ADDRESS]);
    let daemon = Daemon::spawn(command, &folder.join("stock.log"))?;
    let name = "stock kubelet on containerd";
    let stack = Stack { name, folder: folder.into(), manifests, signs, cgroup, daemon };
    stack.wait_until(|| {
        let asked = Command::new("curl").args(["-sf", "http://127.0.0.1:10248/healthz"]).output()?;
        Ok(asked.stdout == b"ok")
    })?;
    Ok(stack)
}

impl Stack {
    /// Measures and ends it.
    fn measure(mut self, rounds: usize, pods: usize) -> Result<Figures> {
        let found = self
            .figures(rounds, pods)
            .map_err(|error| format!("{}: {error}\n{}", self.name, self.daemon.log()));
        let ended = self.daemon.terminate(Duration::from_secs(20));
        leftovers::end_all(&self.cgroup);
        let found = found?;
        ended.map_err(|error| format!("{error:?}"))?;
        Ok(found)
    }

    fn figures(&self, rounds: usize, pods: usize) -> Result<Figures> {
        let name = self.name;
        // The first pod makes what the others share.
        self.once("first")?;
        let times = (0..rounds).map(|round| self.once(&format!("one-{round}"))).collect::<Result<Vec<_>>>();
        let mut times: Vec<f64> = times?.into_iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let process = times[rounds / 2];
        let (least, most) = (times[0], times[rounds - 1]);
        println!(
            "{name}: manifest → process: median {process:.1} ms, {least:.1} to {most:.1} ({rounds} rounds)"
        );

        let weight = || self.ours().into_iter().map(memory::pss_kib).sum::<u64>();
        let cpu = || self.ours().into_iter().map(memory::cpu_ticks).sum::<u64>();
        let (empty, cpu_before, start) = (weight(), cpu(), Instant::now());
        let names: Vec<String> = (0..pods).map(|number| format!("many-{number}")).collect();
        for name in &names {
            self.appear(name)?;
        }
        self.wait_for_signs(&names)?;
        let burst = start.elapsed().as_secs_f64();
        let used = cpu().saturating_sub(cpu_before) as f64 / 100.0;
        // What is left of the start settles before idling is measured.
        std::thread::sleep(Duration::from_secs(3));
        let (idle_before, seconds) = (cpu(), 10);
        std::thread::sleep(Duration::from_secs(seconds));
        let idle = cpu().saturating_sub(idle_before) as f64 / seconds as f64;
        let weight = weight().saturating_sub(empty) as f64 / pods as f64;
        println!(
            "{name}: {pods} pods at once: all run after {burst:.2} s, CPU {used:.2} s; {weight:.0} KiB a pod (daemons' growth included); idle {idle:.1} % of a core"
        );
        let start = Instant::now();
        for name in &names {
            fs::remove_file(self.manifest(name))?;
        }
        self.wait_until_gone()?;
        println!("{name}: {pods} pods removed: {:.2} s", start.elapsed().as_secs_f64());
        Ok(Figures { name, process, burst, cpu: used, weight, idle })
    }

    /// One pod: appears, runs, and goes again.
    fn once(&self, name: &str) -> Result<Duration> {
        let start = Instant::now();
        self.appear(name)?;
        self.wait_for_signs(&[name.to_owned()])?;
        let took = start.elapsed();
        fs::remove_file(self.manifest(name))?;
        self.wait_until_gone()?;
        Ok(took)
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.manifests.join(format!("{name}.yaml"))
    }

    /// A manifest appears, by rename as an atomic writer does it.
    fn appear(&self, name: &str) -> Result<()> {
        let text = format!(
            "apiVersion: v1
kind: Pod
metadata: {{ name: {name} }}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: docker.io/library/busybox:1.35
      command: [sh, -c, '> /signs/{name}; exec {WORKLOAD}']
      volumeMounts: [{{ name: signs, mountPath: /signs }}]
  volumes:
    - {{ name: signs, hostPath: {{ path: {} }} }}
",
            self.signs.display()
        );
        let hidden = self.manifests.join(format!(".{name}"));
        fs::write(&hidden, text)?;
        fs::rename(&hidden, self.manifest(name))?;
        Ok(())
    }

    fn wait_for_signs(&self, names: &[String]) -> Result<()> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(&self.signs, AddWatchFlags::IN_CREATE)?;
        // Looked at after every event, so that what came before the watch counts too.
        while !names.iter().all(|name| self.signs.join(name).exists()) {
            inotify.read_events()?;
        }
        Ok(())
    }

    fn in_pods(&self) -> BTreeSet<i32> {
        let folders =
            leftovers::cgroups(&self.cgroup).into_iter().flat_map(|folder| leftovers::below(&folder));
        folders.flat_map(|folder| leftovers::pids(&folder)).collect()
    }

    /// Without the workload.
    fn ours(&self) -> Vec<i32> {
        let mark = self.folder.display().to_string();
        let pods = self.in_pods();
        let counts = |pid: &i32| {
            let line = memory::command_line(*pid);
            !line.contains(WORKLOAD) && (pods.contains(pid) || line.contains(&mark))
        };
        memory::processes().into_iter().filter(counts).collect()
    }

    fn wait_until_gone(&self) -> Result<()> {
        self.wait_until(|| Ok(self.in_pods().is_empty()))
    }

    fn wait_until(&self, holds: impl Fn() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(120);
        while !holds()? {
            if Instant::now() > end {
                return Err(format!("{}: waited for too long\n{}", self.name, self.daemon.log()).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
