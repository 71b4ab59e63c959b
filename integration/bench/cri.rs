//! `orlop cri` beside Debian's containerd and runc: the same client, image, network configuration and run.
//!
//! Rounds alternate between the two, so that a noisy machine is noisy for both; medians and their ratio are
//! printed. Then pods are run side by side and what they cost is read from /proc.
//!
//! ```text
//! hack/bench cri [ROUNDS [PODS [NAME]]]      30 rounds, 100 pods by default; NAME measures one of them alone
//! ```
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::time::{Duration, Instant};

use api_cri::v1 as cri;
use integration::memory;
use integration::peers::{Peer, containerd, orlop};

type Error = Box<dyn std::error::Error + Send + Sync>;
const CALLS: [&str; 6] = [
    "RunPodSandbox",
    "CreateContainer",
    "StartContainer",
    "StopContainer",
    "StopPodSandbox",
    "RemovePodSandbox",
];
const IMAGE: &str = "docker.io/library/busybox:1.35";
const WORKLOAD: &str = "sleep 86400";

fn main() -> Result<(), Error> {
    integration::world::enter()?;
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (rounds, pods) = (number(30)?, number(100)?);
    let alone = arguments.next();
    let wanted = |name: &str| alone.as_ref().is_none_or(|alone| alone == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let measured = runtime.block_on(async {
        let (mut results, mut peers) = (Vec::new(), Vec::new());
        if wanted("orlop") {
            peers.push(orlop(&folder.path().join("orlop")).await?);
        }
        if wanted("containerd") {
            peers.push(containerd(&folder.path().join("containerd")).await?);
        }
        for round in 0..rounds {
            for peer in &peers {
                let times = life(peer, &format!("round-{round}")).await?;
                results.push((peer.name, times));
            }
        }
        print_calls(&results);
        for peer in peers.iter().filter(|_| pods > 0) {
            density(peer, pods).await?;
        }
        Ok(())
    });
    for name in ["orlop", "containerd"] {
        integration::leftovers::end_all(&format!("orlop-bench-{name}"));
    }
    measured
}

/// One pod's life, timed call by call.
async fn life(peer: &Peer, name: &str) -> Result<[Duration; 6], Error> {
    let mut client = peer.cri.clone();
    let mut times = [Duration::ZERO; 6];
    let mut clock = Instant::now();
    let mut lap = |index: usize| {
        times[index] = clock.elapsed();
        clock = Instant::now();
    };
    let config = peer.sandbox(name);
    let request = cri::RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
    let pod_sandbox_id = client.runtime.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id;
    lap(0);
    let container_id = create(peer, &pod_sandbox_id, &config).await?;
    lap(1);
    client.runtime.start_container(cri::StartContainerRequest { container_id: container_id.clone() }).await?;
    lap(2);
    client.runtime.stop_container(cri::StopContainerRequest { container_id, timeout: 0 }).await?;
    lap(3);
    client
        .runtime
        .stop_pod_sandbox(cri::StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() })
        .await?;
    lap(4);
    client.runtime.remove_pod_sandbox(cri::RemovePodSandboxRequest { pod_sandbox_id }).await?;
    lap(5);
    Ok(times)
}

async fn create(peer: &Peer, sandbox: &str, config: &cri::PodSandboxConfig) -> Result<String, Error> {
    let container = cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: "main".into(), attempt: 0 }),
        image: Some(cri::ImageSpec { image: IMAGE.into(), ..Default::default() }),
        command: WORKLOAD.split(' ').map(Into::into).collect(),
        log_path: "main/0.log".into(),
        linux: Some(cri::LinuxContainerConfig {
            security_context: Some(cri::LinuxContainerSecurityContext {
                namespace_options: Some(peer.namespaces()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = cri::CreateContainerRequest {
        pod_sandbox_id: sandbox.into(),
        config: Some(container),
        sandbox_config: Some(config.clone()),
    };
    Ok(peer.cri.clone().runtime.create_container(request).await?.into_inner().container_id)
}

fn print_calls(results: &[(&str, [Duration; 6])]) {
    println!("{:<18} {:>12} {:>12} {:>7}", "median, ms", "orlop", "containerd", "ratio");
    for (index, call) in CALLS.iter().enumerate() {
        let median = |name: &str| {
            let mut times: Vec<_> = results.iter().filter(|r| r.0 == name).map(|r| r.1[index]).collect();
            times.sort();
            times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        let (ours, theirs) = (median("orlop"), median("containerd"));
        println!("{call:<18} {ours:>12.2} {theirs:>12.2} {:>6.1}×", theirs / ours);
    }
}

/// Runs many pods at once: how long until all run, what CPU it took, what they weigh, what idling costs.
async fn density(peer: &Peer, pods: usize) -> Result<(), Error> {
    let weight = |workload: bool| -> u64 {
        let new = memory::processes().into_iter().filter(|pid| peer.owns(*pid));
        new.filter(|pid| memory::command_line(*pid).contains(WORKLOAD) == workload).map(memory::pss_kib).sum()
    };
    let cpu =
        || -> u64 { memory::processes().into_iter().filter(|p| peer.owns(*p)).map(memory::cpu_ticks).sum() };
    let (empty, cpu_before, start) = (weight(false), cpu(), Instant::now());
    let mut running = tokio::task::JoinSet::new();
    for number in 0..pods {
        let one = peer.clone();
        running.spawn(async move {
            let config = one.sandbox(&format!("many-{number}"));
            let mut client = one.cri.clone();
            let request = cri::RunPodSandboxRequest { config: Some(config.clone()), ..Default::default() };
            let sandbox = client.runtime.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id;
            let container_id = create(&one, &sandbox, &config).await?;
            client.runtime.start_container(cri::StartContainerRequest { container_id }).await?;
            Ok::<String, Error>(sandbox)
        });
        if number == 0 {
            // The first alone, for the weight of a single pod.
            let first = running.join_next().await.ok_or("no task")???;
            println!("{:<12} one pod: {} KiB", peer.name, weight(false).saturating_sub(empty));
            running.spawn(async move { Ok(first) });
        }
    }
    let mut sandboxes = Vec::new();
    while let Some(sandbox) = running.join_next().await {
        sandboxes.push(sandbox??);
    }
    let took = start.elapsed();
    let cpu_used = cpu().saturating_sub(cpu_before);
    let per_pod = weight(false).saturating_sub(empty) / pods as u64;
    let idle_before = cpu();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = cpu().saturating_sub(idle_before);
    println!(
        "{:<12} {pods} pods at once: {:.2} s, CPU {:.2} s, {per_pod} KiB a pod, idle {:.1} % of a core",
        peer.name,
        took.as_secs_f64(),
        cpu_used as f64 / 100.0,
        idle as f64 / 10.0,
    );
    for pod_sandbox_id in sandboxes {
        let mut client = peer.cri.clone();
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: pod_sandbox_id.clone() };
        client.runtime.stop_pod_sandbox(request).await?;
        client.runtime.remove_pod_sandbox(cri::RemovePodSandboxRequest { pod_sandbox_id }).await?;
    }
    Ok(())
}
