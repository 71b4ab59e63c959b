//! `orlop up` as a person sees it: a manifest appears, how long until the process runs, and what do pods weigh?
//!
//! ```text
//! hack/bench static_pods [ROUNDS [PODS]]      20 rounds, 100 pods by default
//! ```
//!
//! The process says that it runs by making a file on a hostPath volume, which is watched with inotify. The stock
//! kubelet on containerd took 494 ms for the same, and 13.3 s, 11.4 s of CPU, 6.8 MiB a pod and 28 % of a core
//! idle for 100 pods (kubelet 1.36.2, containerd 2.3.4, 2 cores); Debian packages no kubelet to run beside it.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use integration::peers::test_images;
use integration::process::Daemon;
use integration::world::bin;
use integration::{leftovers, memory};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
const WORKLOAD: &str = "sleep 86400";

fn main() -> Result<()> {
    integration::world::enter()?;
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (rounds, pods) = (number(20)?, number(100)?);
    let folder = tempfile::tempdir()?;
    let [data, signs] = ["data", "signs"].map(|name| folder.path().join(name));
    let manifests = data.join("manifests");
    fs::create_dir_all(&manifests)?;
    fs::create_dir_all(&signs)?;

    let cgroup = format!("orlop-bench-{}", std::process::id());
    let mut command = Command::new(bin("orlop"));
    command.args(["up", "--data-dir"]).arg(&data);
    for flag in ["--cgroup-parent", "--cgroup-root"] {
        command.arg(flag).arg(format!("/{cgroup}"));
    }
    let mut daemon = Daemon::spawn(command, &folder.path().join("log"))?;
    let instance = Instance { daemon: daemon.pid(), cgroup };
    let imported = import(&mut daemon, &data, folder.path());
    imported.map_err(|error| format!("{error}\n{}", daemon.log()))?;

    let mut times = Vec::new();
    for round in 0..rounds {
        let name = format!("one-{round}");
        let start = Instant::now();
        appear(&manifests, &signs, &name)?;
        wait_for_signs(&signs, std::slice::from_ref(&name))?;
        times.push(start.elapsed());
        fs::remove_file(manifests.join(format!("{name}.yaml")))?;
        instance.wait_until_gone()?;
    }
    times.sort();
    println!(
        "manifest → process: median {:.1} ms, {:.1} to {:.1} ({rounds} rounds)",
        milliseconds(times[rounds / 2]),
        milliseconds(times[0]),
        milliseconds(times[rounds - 1])
    );

    let weight = || instance.ours().map(memory::pss_kib).sum::<u64>();
    let cpu = || instance.ours().map(memory::cpu_ticks).sum::<u64>();
    let (empty, cpu_before, start) = (weight(), cpu(), Instant::now());
    let names: Vec<String> = (0..pods).map(|number| format!("many-{number}")).collect();
    for name in &names {
        appear(&manifests, &signs, name)?;
    }
    wait_for_signs(&signs, &names)?;
    let took = start.elapsed();
    let cpu_used = cpu().saturating_sub(cpu_before);
    // What is left of the start settles before idling is measured.
    std::thread::sleep(Duration::from_secs(3));
    let (idle_before, seconds) = (cpu(), 10);
    std::thread::sleep(Duration::from_secs(seconds));
    let idle = cpu().saturating_sub(idle_before);
    println!(
        "{pods} pods at once: all run after {:.2} s, CPU {:.2} s; {} KiB a pod (daemon's growth included); idle {:.1} % of a core",
        took.as_secs_f64(),
        cpu_used as f64 / 100.0,
        weight().saturating_sub(empty) / pods as u64,
        idle as f64 / seconds as f64,
    );
    for name in &names {
        fs::remove_file(manifests.join(format!("{name}.yaml")))?;
    }
    let start = Instant::now();
    instance.wait_until_gone()?;
    println!("{pods} pods removed: {:.2} s", start.elapsed().as_secs_f64());
    daemon.terminate(Duration::from_secs(10)).map_err(|error| format!("{error:?}"))?;
    leftovers::end_all(&instance.cgroup);
    Ok(())
}

fn import(daemon: &mut Daemon, data: &Path, folder: &Path) -> Result<()> {
    let images = test_images(folder)?;
    let import = || {
        let mut command = Command::new(bin("orlop"));
        command.arg("--data-dir").arg(data).arg("import").arg(images.join("busybox"));
        command.args(["--name", "docker.io/library/busybox:1.35"]).output()
    };
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let output = import()?;
        if output.status.success() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("{}\n{}", String::from_utf8_lossy(&output.stderr), daemon.log()).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A manifest appears, by rename as an atomic writer does it.
fn appear(manifests: &Path, signs: &Path, name: &str) -> Result<()> {
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
        signs.display()
    );
    let hidden = manifests.join(format!(".{name}"));
    fs::write(&hidden, text)?;
    fs::rename(&hidden, manifests.join(format!("{name}.yaml")))?;
    Ok(())
}

fn wait_for_signs(signs: &Path, names: &[String]) -> Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(signs, AddWatchFlags::IN_CREATE)?;
    // Looked at after every event, so that what came before the watch counts too.
    while !names.iter().all(|name| signs.join(name).exists()) {
        inotify.read_events()?;
    }
    Ok(())
}

/// The daemon and everything below its cgroup.
struct Instance {
    daemon: i32,
    cgroup: String,
}

impl Instance {
    fn processes(&self) -> BTreeSet<i32> {
        let folders =
            leftovers::cgroups(&self.cgroup).into_iter().flat_map(|folder| leftovers::below(&folder));
        folders.flat_map(|folder| leftovers::pids(&folder)).collect()
    }

    /// Without the workload.
    fn ours(&self) -> impl Iterator<Item = i32> {
        let pods = self.processes().into_iter().filter(|pid| !memory::command_line(*pid).contains(WORKLOAD));
        pods.chain([self.daemon])
    }

    fn wait_until_gone(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.processes().is_empty() {
            if Instant::now() > end {
                return Err("pods stay after their manifests went".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
