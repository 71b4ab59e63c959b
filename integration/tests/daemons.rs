//! The daemons from outside: what they refuse before they touch anything, how they end, and that two never share state.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use integration::process::{Daemon, wait_for};
use integration::runner::{self, Test, TestError, TestResult, check};
use integration::world::bin;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

static TESTS: &[Test] = &[
    Test {
        name: "a_wrong_value_is_refused_by_flag_and_value",
        run: a_wrong_value_is_refused_by_flag_and_value,
    },
    Test { name: "a_flag_without_an_effect_is_refused", run: a_flag_without_an_effect_is_refused },
    Test {
        name: "a_second_daemon_on_the_same_folder_is_refused",
        run: a_second_daemon_on_the_same_folder_is_refused,
    },
    Test { name: "two_instances_stand_side_by_side", run: two_instances_stand_side_by_side },
    Test { name: "relative_paths_mean_the_callers_folder", run: relative_paths_mean_the_callers_folder },
    Test { name: "the_machines_file_is_not_for_instances", run: the_machines_file_is_not_for_instances },
    Test { name: "a_kubelet_says_what_it_waits_for", run: a_kubelet_says_what_it_waits_for },
    Test { name: "the_files_admin_socket_holds_under_up", run: the_files_admin_socket_holds_under_up },
    Test { name: "the_name_kubelet_is_the_kubelet", run: the_name_kubelet_is_the_kubelet },
    Test { name: "a_second_signal_ends_at_once", run: a_second_signal_ends_at_once },
];

fn main() -> ExitCode {
    runner::main(TESTS)
}

/// `orlop` with these arguments, run to its end in a folder.
fn orlop(folder: &Path, arguments: &[&str]) -> Result<Output, TestError> {
    let mut command = Command::new(bin("orlop"));
    command.current_dir(folder).args(arguments).env_remove("ORLOP_DATA_DIR").stdin(Stdio::null());
    Ok(command.output()?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must refuse to start, with this exit code, and say all of `words`.
fn refuses(folder: &Path, arguments: &[&str], code: i32, words: &[&str]) -> TestResult {
    let output = orlop(folder, arguments)?;
    let said = said(&output);
    check(output.status.code() == Some(code) && words.iter().all(|word| said.contains(word)), || {
        format!("{arguments:?}: {}: {said:?} says not all of {words:?}", output.status)
    })
}

/// `orlop up` on a data folder, running.
fn up(folder: &Path, data: &str, more: &[&str]) -> Result<Daemon, TestError> {
    let mut command = Command::new(bin("orlop"));
    command.current_dir(folder).args(["up", "--data-dir", data]).args(more).env_remove("ORLOP_DATA_DIR");
    let daemon = Daemon::spawn(command, &folder.join(format!("{data}.log")))?;
    wait_for(Duration::from_secs(20), "orlop ps to answer", || {
        let answers = orlop(folder, &["--data-dir", data, "ps"])?.status.success();
        check(answers || daemon_lives(&daemon), || format!("it ended:\n{}", daemon.log()))?;
        Ok(answers.then_some(()))
    })?;
    Ok(daemon)
}

fn daemon_lives(daemon: &Daemon) -> bool {
    // A child that ended and was not waited for is a zombie; its state says so.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn a_wrong_value_is_refused_by_flag_and_value() -> TestResult {
    let folder = TempDir::new()?;
    let data = ["--data-dir", "data"];
    for (flag, value, words) in [
        ("--pod-cidr", "garbage", &["--pod-cidr", "garbage"][..]),
        ("--pod-cidr", "10.0.0.1/24", &["--pod-cidr", "10.0.0.0/24"]),
        ("--bridge", "a-name-of-more-than-15-bytes", &["--bridge", "a-name-of-more-than-15-bytes"]),
        ("--nft-table", "x y", &["--nft-table", "x y"]),
        ("--cgroup-parent", "rel/../x", &["cgroup-parent", "rel/../x"]),
        ("--cgroup-root", "rel", &["cgroup root", "rel"]),
        ("--runtime", "/nonexistent", &["runtime", "/nonexistent", "No such file"]),
        ("--node-name", "BAD NAME", &["BAD NAME", "RFC 1123"]),
        ("--log-level", "nonsense", &["log level", "nonsense"]),
        ("--listen", "tcp://127.0.0.1:1", &["listen", "tcp://127.0.0.1:1"]),
        ("--listen", "relative.sock", &["listen", "relative.sock"]),
        ("--kubelet-socket", "relative.sock", &["kubelet-socket", "relative.sock"]),
        ("--admin-socket", "relative.sock", &["admin-socket", "relative.sock"]),
        ("--stream-address", "nowhere", &["--stream-address", "nowhere"]),
    ] {
        refuses(folder.path(), &[&["up"], &data[..], &[flag, value]].concat(), 64, words)?;
    }
    let left: Vec<_> = std::fs::read_dir(folder.path())?.filter_map(|e| Some(e.ok()?.path())).collect();
    // The log level is read last, when the folders are there.
    check(left.iter().all(|path| path.ends_with("data")), || format!("it left {left:?}"))
}

fn a_flag_without_an_effect_is_refused() -> TestResult {
    let folder = TempDir::new()?;
    refuses(folder.path(), &["up", "--cri-endpoint", "unix:///x"], 64, &["--cri-endpoint", "no effect"])?;
    refuses(
        folder.path(),
        &["doctor", "--kubelet-endpoint", "/x"],
        64,
        &["--kubelet-endpoint", "no effect"],
    )?;
    refuses(
        folder.path(),
        &["up", "--container-runtime-endpoint", "unix:///x"],
        64,
        &["unexpected argument"],
    )?;
    let conf = folder.path().join("net.d");
    std::fs::create_dir(&conf)?;
    std::fs::write(conf.join("05-other.conflist"), "{}")?;
    let arguments = ["up", "--data-dir", "data", "--cni-conf-dir", "net.d", "--bridge", "br7"];
    refuses(folder.path(), &arguments, 64, &["05-other.conflist", "no effect"])
}

fn a_second_daemon_on_the_same_folder_is_refused() -> TestResult {
    let folder = TempDir::new()?;
    let first = up(folder.path(), "data", &[])?;
    let holder = format!("in use by process {}", first.pid());
    let network = folder.path().join("data/cni/net.d/10-orlop.conflist");
    let before = std::fs::read(&network)?;
    for second in [
        &["up", "--data-dir", "data"][..],
        &["up", "--data-dir", "data", "--bridge", "br8"],
        &["kubelet", "--data-dir", "data", "--admin-socket", "/run/second.sock"],
        &["cri", "--data-dir", "data", "--admin-socket", "/run/second.sock"],
        // The same folder under another run folder.
        &["kubelet", "--data-dir", "data", "--run-dir", "/run/elsewhere"],
    ] {
        let output = orlop(folder.path(), second)?;
        let said = said(&output);
        let named = said.contains(&holder) || said.contains("another process serves this socket");
        check(output.status.code() == Some(1) && named, || format!("{second:?}: {}: {said}", output.status))?;
    }
    check(std::fs::read(&network)? == before, || "a refused daemon changed the first one's network".into())?;
    let ps = orlop(folder.path(), &["ps", "--data-dir", "data"])?;
    check(ps.status.success(), || format!("the first one no longer answers: {}", said(&ps)))
}

fn two_instances_stand_side_by_side() -> TestResult {
    let folder = TempDir::new()?;
    let (_one, _other) = (up(folder.path(), "one", &[])?, up(folder.path(), "other", &[])?);
    let config =
        |data: &str| std::fs::read_to_string(folder.path().join(data).join("cni/net.d/10-orlop.conflist"));
    let value = |text: &str, key: &str| text.lines().find(|line| line.contains(key)).map(str::to_owned);
    let (one, other) = (config("one")?, config("other")?);
    for key in ["\"bridge\":", "\"subnet\":", "\"nftTable\":", "\"dataDir\":"] {
        let (one, other) = (value(&one, key), value(&other, key));
        check(one.is_some() && one != other, || format!("{key}: {one:?} and {other:?}"))?;
    }
    let runs = std::fs::read_dir("/run/orlop")?.count();
    check(runs == 2, || format!("{runs} folders below /run/orlop"))
}

fn relative_paths_mean_the_callers_folder() -> TestResult {
    let folder = TempDir::new()?;
    let mut daemon =
        up(folder.path(), "data", &["--root", "root", "--state", "state", "--manifests", "./pods"])?;
    for made in ["root", "state", "pods"] {
        check(folder.path().join(made).is_dir(), || format!("{made} is not in the caller's folder"))?;
    }
    daemon.terminate(Duration::from_secs(10))?;
    Ok(())
}

fn the_machines_file_is_not_for_instances() -> TestResult {
    let folder = TempDir::new()?;
    // /etc is the machine's: a file system of this test's own takes its place.
    let etc = Path::new("/etc/orlop");
    std::fs::create_dir_all(etc)?;
    nix::mount::mount(Some("tmpfs"), etc, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>)?;
    std::fs::write(etc.join("orlop.toml"), "no-such-key = 1\n")?;
    refuses(folder.path(), &["cri"], 64, &["/etc/orlop/orlop.toml", "no-such-key"])?;
    up(folder.path(), "data", &[]).map(drop)
}

fn a_kubelet_says_what_it_waits_for() -> TestResult {
    let folder = TempDir::new()?;
    let mut command = Command::new(bin("orlop"));
    command.current_dir(folder.path()).env_remove("ORLOP_DATA_DIR").args(["kubelet", "--data-dir", "data"]);
    command.args([
        "--container-runtime-endpoint",
        "unix:///run/nobody.sock",
        "--admin-socket",
        "/run/k.sock",
    ]);
    let daemon = Daemon::spawn(command, &folder.path().join("log"))?;
    wait_for(Duration::from_secs(20), "what it waits for", || {
        check(daemon_lives(&daemon), || format!("it ended:\n{}", daemon.log()))?;
        let output = Command::new("curl")
            .args(["-sS", "--unix-socket", "/run/k.sock", "http://orlop/readyz"])
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.contains("runtime: does not answer yet").then_some(()))
    })
}

fn the_files_admin_socket_holds_under_up() -> TestResult {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join("cri.toml"), "admin = \"/run/of-the-file.sock\"\n")?;
    let _daemon = up(folder.path(), "data", &["--cri-config", "cri.toml"])?;
    check(Path::new("/run/of-the-file.sock").exists(), || "there is no socket".into())
}

fn the_name_kubelet_is_the_kubelet() -> TestResult {
    let folder = TempDir::new()?;
    let kubelet = folder.path().join("kubelet");
    symlink(bin("orlop").canonicalize()?, &kubelet)?;
    let help = Command::new(&kubelet).arg("--help").output()?;
    let text = String::from_utf8_lossy(&help.stdout);
    check(help.status.success() && text.contains("--container-runtime-endpoint"), || {
        text.clone().into_owned()
    })?;
    // kubeadm and others ask for it.
    let version = Command::new(&kubelet).arg("--version").output()?;
    let text = String::from_utf8_lossy(&version.stdout);
    check(version.status.success() && text.trim_end().ends_with(env!("CARGO_PKG_VERSION")), || {
        text.clone().into_owned()
    })
}

fn a_second_signal_ends_at_once() -> TestResult {
    let folder = TempDir::new()?;
    let mut daemon = up(folder.path(), "data", &[])?;
    let pid = Pid::from_raw(daemon.pid());
    // A log that is followed keeps a connection open, so that draining takes its time.
    let _held = std::os::unix::net::UnixStream::connect(socket_of(folder.path())?)?;
    kill(pid, Signal::SIGTERM)?;
    wait_for(Duration::from_secs(5), "the daemon to drain", || {
        Ok(daemon.log().contains("SIGTERM: draining").then_some(()))
    })?;
    daemon.terminate(Duration::from_secs(5)).map(drop)
}

fn socket_of(folder: &Path) -> Result<std::path::PathBuf, TestError> {
    let run = std::fs::read_dir("/run/orlop")?.next().transpose()?;
    let run =
        run.ok_or_else(|| TestError::Failed(format!("{} has no folder below /run", folder.display())))?;
    Ok(run.path().join("kubelet.sock"))
}
