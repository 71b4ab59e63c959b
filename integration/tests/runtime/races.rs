//! Attackers that move while the runtime works, and documents that are larger than anybody expects.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use integration::runner::{TestResult, check};
use integration::world;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;

use crate::bundle::{Bundle, Outcome, has, same};

/// Exchanges two names for as long as it lives.
struct Swapper {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Swapper {
    fn of(one: &Path, other: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (one, other, stopped) = (one.to_path_buf(), other.to_path_buf(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut swaps = 0;
            while !stopped.load(Ordering::Relaxed) {
                let swapped = renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE);
                swaps += u64::from(swapped.is_ok());
            }
            swaps
        });
        Self { stop, thread: Some(thread) }
    }

    /// How often it did.
    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

/// CVE-2021-30465, CVE-2024-45310: a volume's folder becomes a symlink to the host between the runtime's look and its
/// mount, or between two folders that it makes.
pub(crate) fn swapped_mount_points() -> TestResult {
    const RUNS: usize = 60;
    let host = tempfile::tempdir()?;
    let source = tempfile::tempdir()?;
    std::fs::write(source.path().join("mine"), "mine\n")?;
    // What is mounted is seen where it was asked for, or the container does not start.
    let mut bundle = Bundle::new("cat /vol/dir/deep/er/mine; cat /vol/dir/mine; ls /proc/1/root/..; exit 0")?;
    std::fs::create_dir_all(bundle.rootfs("vol/dir"))?;
    std::os::unix::fs::symlink(host.path(), bundle.rootfs("vol/link"))?;
    if let Some(list) = bundle.spec["mounts"].as_array_mut() {
        for to in ["/vol/dir", "/vol/dir/deep/er"] {
            list.push(json!({"destination": to, "type": "bind", "source": source.path(), "options": ["rbind", "rw"]}));
        }
    }
    std::fs::create_dir_all(source.path().join("deep/er"))?;
    let swapper = Swapper::of(&bundle.rootfs("vol/dir"), &bundle.rootfs("vol/link"));
    let mut started = 0;
    for _ in 0..RUNS {
        let said = bundle.run()?;
        if said.code == 0 {
            started += 1;
        } else {
            check(!said.err.is_empty(), || format!("ended with {} and not a word", said.code))?;
        }
        same(std::fs::read_dir(host.path())?.count(), 0)?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        check(!mounts.contains(&host.path().display().to_string()), || {
            format!("mounted on the host:\n{mounts}")
        })?;
    }
    let swaps = swapper.end();
    check(swaps > RUNS as u64 && started > 0, || format!("{swaps} swaps, {started} of {RUNS} runs started"))
}

/// CVE-2025-24965: a file's mount point that is a symlink to a file of the host which is not there.
pub(crate) fn dangling_file_targets() -> TestResult {
    let host = tempfile::tempdir()?;
    let absent = host.path().join("absent");
    let mut bundle = Bundle::new("cat /etc-link")?;
    std::os::unix::fs::symlink(&absent, bundle.rootfs("etc-link"))?;
    let source = bundle.folder.path().join("file");
    std::fs::write(&source, "mine\n")?;
    if let Some(list) = bundle.spec["mounts"].as_array_mut() {
        list.push(json!({"destination": "/etc-link", "type": "bind", "source": source, "options": ["bind"]}));
    }
    let said = bundle.run()?;
    check(said.code != 0 || said.out == "mine\n", || format!("{}{}", said.out, said.err))?;
    check(!absent.exists() && std::fs::read_dir(host.path())?.count() == 0, || "made on the host".to_owned())
}

/// CVE-2025-52881: mounts over the files that the runtime itself writes to.
pub(crate) fn covered_proc_files() -> TestResult {
    for covered in ["/proc/self", "/proc/self/attr", "/proc/sys/net", "/proc/1", "/proc/thread-self/attr"] {
        let mut bundle = Bundle::new("true")?;
        bundle.spec["process"]["oomScoreAdj"] = json!(500);
        if let Some(list) = bundle.spec["mounts"].as_array_mut() {
            list.push(json!({"destination": covered, "type": "tmpfs", "source": "tmpfs"}));
        }
        let said = bundle.run()?;
        check(said.code == 1 && said.err.contains("/proc"), || {
            format!("{covered}: {} {}", said.code, said.err)
        })?;
    }
    Ok(())
}

/// CVE-2024-21626, the other door: the program itself is a descriptor of the runtime.
pub(crate) fn programs_by_descriptor() -> TestResult {
    let mut bundle = Bundle::new("true")?;
    for fd in 3..40 {
        let program = format!("/proc/self/fd/{fd}");
        bundle.spec["process"]["args"] = json!([program, "--version"]);
        let said = bundle.run()?;
        check(said.code != 0 && !said.out.contains("spec:"), || {
            format!("{program}: {}{}", said.out, said.err)
        })?;
    }
    bundle.spec["process"]["args"] = json!(["sleep", "1000"]);
    bundle.start()?;
    for fd in 3..24 {
        let program = format!("/proc/self/fd/{fd}");
        let said = bundle.call(&["exec", &bundle.id, &program, "--version"])?;
        check(said.code != 0 && !said.out.contains("spec:"), || format!("exec {program}: {}", said.out))?;
    }
    bundle.delete()
}

/// CVE-2016-9962: a process of the container looks at what the runtime has open while it joins.
pub(crate) fn descriptors_of_a_joining_process() -> TestResult {
    let bundle = Bundle::new(
        "while :; do ls -l /proc/[0-9]*/fd /proc/[0-9]*/cwd 2>/dev/null | sed -n 's/.* -> //p' >> /found; done",
    )?;
    bundle.start()?;
    for _ in 0..40 {
        same(bundle.exec(&[], "true")?.code, 0)?;
    }
    bundle.delete()?;
    let found = std::fs::read_to_string(bundle.rootfs("found"))?;
    check(found.lines().count() > 100, || format!("it hardly looked:\n{found}"))?;
    let folder = bundle.folder.path().display().to_string();
    for line in found.lines() {
        // The test itself gave it these two.
        let given = ["out", "err"].iter().any(|file| line == format!("{folder}/{file}"));
        let outside = line.starts_with(&folder) && !given
            || line.starts_with("/sys/fs/cgroup/")
            || line.contains("orlop-runtime");
        check(!outside, || format!("it saw {line}"))?;
    }
    Ok(())
}

/// CVE-2019-5736 once more: the container writes to whatever program it sees running while others join it.
pub(crate) fn host_binary_under_exec() -> TestResult {
    let binary = world::bin("orlop-runtime");
    let before = std::fs::read(&binary)?;
    let mut bundle = Bundle::new(
        "while :; do for exe in /proc/[0-9]*/exe; do { echo overwritten > $exe; } 2>/dev/null; done; done",
    )?;
    let caps = json!(["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"]);
    bundle.spec["process"]["capabilities"] = json!({"bounding": caps, "effective": caps, "permitted": caps});
    bundle.start()?;
    for _ in 0..40 {
        // busybox itself is the container's own to overwrite, so what is run may fail; what joins is the runtime.
        bundle.exec(&[], "true")?;
    }
    bundle.delete()?;
    check(std::fs::read(&binary)? == before, || "the host's binary was changed".to_owned())
}

/// CVE-2021-43784: lengths above 64 KiB on their way from the document to the container.
pub(crate) fn lengths_above_64_kib() -> TestResult {
    let mut bundle = Bundle::new("env | grep -c ^LONG_; echo ${#LONG_7}; echo ${#0} $#")?;
    let value = "v".repeat(90_000);
    let mut env = vec!["PATH=/bin".to_owned()];
    env.extend((0..20).map(|n| format!("LONG_{n}={value}")));
    bundle.spec["process"]["env"] = json!(env);
    bundle.spec["annotations"] = json!({"long": "a".repeat(200_000)});
    if let Some(args) = bundle.spec["process"]["args"].as_array_mut() {
        args.extend(std::iter::repeat_n(json!("argument"), 10_000));
    }
    same(bundle.output()?.as_str(), "20\n90000\n8 9999\n")?;
    // A path that no kernel takes is refused, not cut.
    let mut bundle = Bundle::new("true")?;
    let long = format!("/proc/self/ns/{}", "n".repeat(70_000));
    bundle.spec["linux"]["namespaces"] =
        json!([{"type": "mount"}, {"type": "uts"}, {"type": "network", "path": long}]);
    let said = bundle.run()?;
    same(said.code, 1)?;
    has(&said.err, "open /proc/self/ns/nnnn")
}

/// CVE-2022-29162 and its kin: exec has the document's capabilities, exactly, and none to inherit.
pub(crate) fn capabilities_of_exec() -> TestResult {
    let bundle = Bundle::new("sleep 1000")?;
    bundle.start()?;
    let sets = |text: &str| -> Vec<(String, u64)> {
        let line = |line: &str| {
            let (name, bits) = line.split_once(":\t")?;
            Some((name.to_owned(), u64::from_str_radix(bits, 16).ok()?))
        };
        text.lines().filter(|l| l.starts_with("Cap")).filter_map(line).collect()
    };
    // CAP_CHOWN, KILL, SETUID, SETGID, MKNOD and DAC_OVERRIDE are bits 0, 5, 7, 6, 27 and 1.
    let granted: u64 = [0, 5, 7, 6, 27, 1].into_iter().map(|bit: u64| 1 << bit).sum();
    let seen = |flags: &[&str]| -> Outcome<Vec<(String, u64)>> {
        Ok(sets(&bundle.exec(flags, "grep ^Cap /proc/self/status")?.out))
    };
    let expected = |inherited: u64, granted: u64, ambient: u64| -> Vec<(String, u64)> {
        [
            ("CapInh", inherited),
            ("CapPrm", granted),
            ("CapEff", granted),
            ("CapBnd", granted),
            ("CapAmb", ambient),
        ]
        .map(|(name, bits)| (name.to_owned(), bits))
        .to_vec()
    };
    same(seen(&[])?, expected(0, granted, 0))?;
    // Another user keeps none in effect: only what is inherited would, and nothing is.
    let other = seen(&["--user", "1000:1000"])?;
    for (name, bits) in &other {
        same((name.as_str(), *bits), (name.as_str(), if name == "CapBnd" { granted } else { 0 }))?;
    }
    same(other.len(), 5)?;
    bundle.delete()
}

/// What a container inherits of the runtime's caller.
pub(crate) fn descriptors_of_the_caller() -> TestResult {
    let bundle = Bundle::new("ls /proc/self/fd")?;
    bundle.write()?;
    // As a careless caller would: the shell opens it as 9 and hands it down.
    let script = format!(
        "exec 9</etc/shadow; exec {} --root {} run --bundle {} {}",
        world::bin("orlop-runtime").display(),
        bundle.root().display(),
        bundle.folder.path().display(),
        bundle.id
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output()?;
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    check(output.status.success() && seen.split_whitespace().all(|fd| fd != "9"), || {
        format!("{seen}{}", String::from_utf8_lossy(&output.stderr))
    })
}
