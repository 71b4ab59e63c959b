//! The person's command line: what it prints, how it fails, and what it shows of real pods.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use integration::process::{Daemon, wait_for};
use integration::runner::{self, Test, TestError, TestResult, check, fail, skip};
use integration::world::bin;
use serde_json::Value;
use tempfile::TempDir;

static TESTS: &[Test] = &[
    Test { name: "doctor_finds_this_machine_able", run: doctor_finds_this_machine_able },
    Test { name: "wrong_flags_exit_with_64", run: wrong_flags_exit_with_64 },
    Test { name: "nothing_asked_shows_what_there_is", run: nothing_asked_shows_what_there_is },
    Test {
        name: "a_missing_daemon_is_named_with_its_socket",
        run: a_missing_daemon_is_named_with_its_socket,
    },
    Test { name: "install_writes_its_unit_and_no_other", run: install_writes_its_unit_and_no_other },
    Test { name: "completion_exists_for_three_shells", run: completion_exists_for_three_shells },
    Test { name: "images_are_imported_and_listed", run: images_are_imported_and_listed },
    Test { name: "an_image_is_pulled_from_a_registry", run: an_image_is_pulled_from_a_registry },
    Test { name: "pods_are_listed_read_and_entered", run: pods_are_listed_read_and_entered },
];

fn main() -> ExitCode {
    runner::main(TESTS)
}

const IMAGE: &str = "docker.io/library/busybox:1.35";

/// Runs `orlop` with these arguments to its end.
fn orlop<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Output, TestError> {
    let mut command = Command::new(bin("orlop"));
    command.args(arguments).env_remove("ORLOP_DATA_DIR").stdin(Stdio::null());
    Ok(command.output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The standard output of a command that must succeed.
fn succeeds(output: &Output) -> Result<String, TestError> {
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    fail(format!("{}: {}{}", output.status, text(&output.stdout), text(&output.stderr)))
}

fn json(output: &Output) -> Result<Value, TestError> {
    Ok(serde_json::from_str(&succeeds(output)?)?)
}

fn doctor_finds_this_machine_able() -> TestResult {
    let report = json(&orlop(["doctor", "-o", "json"])?)?;
    check(report["able"] == true, || format!("{report:#}"))?;
    let checks = report["checks"].as_array().map_or(0, Vec::len);
    check(checks > 20, || format!("{checks} checks"))?;
    let table = succeeds(&orlop(["doctor"])?)?;
    check(table.contains("Pods can run here."), || table.clone())?;
    let yaml = succeeds(&orlop(["doctor", "-o", "yaml"])?)?;
    check(yaml.lines().any(|line| line == "able: true"), || yaml.clone())
}

fn wrong_flags_exit_with_64() -> TestResult {
    for arguments in [
        &["ps", "--nope"][..],
        &["pull"],
        &["exec", "pod"],
        &["frob"],
        &["ps", "-o", "xml"],
        &["describe", "pod", "-o", "wide"],
        &["pull", "image", "-o", "wide"],
        &["import", "folder", "-o", "wide"],
        &["describe", ""],
        &["logs", "pod", "--since", "soon"],
    ] {
        let output = orlop(arguments)?;
        let said = text(&output.stderr);
        check(output.status.code() == Some(64) && !said.is_empty(), || {
            format!("{arguments:?}: {}: {said}", output.status)
        })?;
    }
    Ok(())
}

fn nothing_asked_shows_what_there_is() -> TestResult {
    for environment in [None, Some("/tmp")] {
        let mut command = Command::new(bin("orlop"));
        command.env_remove("ORLOP_DATA_DIR").stdin(Stdio::null());
        if let Some(folder) = environment {
            command.env("ORLOP_DATA_DIR", folder);
        }
        let output = command.output()?;
        let said = text(&[output.stdout, output.stderr].concat());
        let listed = said.contains("describe") && !said.contains("unpack");
        check(output.status.code() == Some(64) && listed, || format!("{}: {said}", output.status))?;
    }
    let version = succeeds(&orlop(["version"])?)?;
    check(version == format!("orlop {}\n", env!("CARGO_PKG_VERSION")), || version.clone())?;
    let version = json(&orlop(["version", "-o", "json"])?)?;
    check(version["orlop"] == env!("CARGO_PKG_VERSION"), || format!("{version:#}"))
}

fn a_missing_daemon_is_named_with_its_socket() -> TestResult {
    for (arguments, socket) in [
        (&["ps"][..], "/run/orlop/kubelet.sock"),
        (&["images"], "/run/orlop/cri.sock"),
        (&["logs", "pod", "--kubelet-endpoint", "unix:///nowhere/k.sock"], "/nowhere/k.sock"),
    ] {
        let output = orlop(arguments)?;
        let said = text(&output.stderr);
        let one_line = said.lines().count() == 1;
        check(output.status.code() == Some(1) && one_line && said.contains(socket), || {
            format!("{arguments:?}: {}: {said}", output.status)
        })?;
    }
    Ok(())
}

fn install_writes_its_unit_and_no_other() -> TestResult {
    let folder = TempDir::new()?;
    let (data, units) = (folder.path().join("data"), folder.path().join("units"));
    let install = |more: &[&str]| {
        let mut arguments = vec!["install".into(), "--data-dir".into(), data.clone().into_os_string()];
        arguments.extend(["--unit-dir".into(), units.clone().into_os_string()]);
        arguments.extend(more.iter().map(Into::into));
        orlop(arguments)
    };
    let shown = succeeds(&install(&["--dry-run"])?)?;
    check(!units.exists() && !data.exists(), || "--dry-run wrote something".into())?;
    succeeds(&install(&[])?)?;
    let unit = units.join("orlop.service");
    let written = fs::read_to_string(&unit)?;
    check(shown.contains(&written), || format!("shown:\n{shown}\nwritten:\n{written}"))?;
    check(data.join("manifests").is_dir(), || "the manifests' folder is missing".into())?;
    check(written.lines().any(|line| line == "RestartPreventExitStatus=64"), || written.clone())?;
    let done = json(&install(&["-o", "json", "--dry-run", "--log-level", "debug"])?)?;
    let content = done["content"].as_str().unwrap_or_default();
    check(content.contains(" --log-level debug\n") && done["folders"] == Value::Array(Vec::new()), || {
        format!("{done:#}")
    })?;
    succeeds(&install(&[])?)?;
    fs::write(&unit, "mine")?;
    let refused = install(&[])?;
    check(refused.status.code() == Some(1) && fs::read_to_string(&unit)? == "mine", || {
        text(&refused.stderr)
    })?;
    succeeds(&install(&["--force"])?)?;
    check(fs::read_to_string(&unit)? == written, || "--force did not replace the unit".into())
}

fn completion_exists_for_three_shells() -> TestResult {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeeds(&orlop(["completion", shell])?)?;
        check(script.contains("describe"), || format!("{shell} does not complete `describe`"))?;
    }
    let folder = TempDir::new()?;
    let script = folder.path().join("orlop.bash");
    fs::write(&script, succeeds(&orlop(["completion", "bash"])?)?)?;
    let parsed = Command::new("bash").arg("-n").arg(&script).output()?;
    check(parsed.status.success(), || text(&parsed.stderr))
}

/// An instance below a folder that goes away with it.
struct Instance {
    folder: TempDir,
    daemon: Daemon,
}

impl Instance {
    fn start(command: &str) -> Result<Self, TestError> {
        let folder = TempDir::new()?;
        let mut daemon = Command::new(bin("orlop"));
        daemon.arg(command).arg("--data-dir").arg(folder.path().join("data"));
        let daemon = Daemon::spawn(daemon, &folder.path().join("log"))?;
        let instance = Self { folder, daemon };
        let waited = wait_for(Duration::from_secs(30), "the CRI daemon", || {
            Ok(instance.orlop(["images"])?.status.success().then_some(()))
        });
        match waited {
            Ok(()) => Ok(instance),
            Err(error) => fail(format!("{error:?}\n{}", instance.daemon.log())),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn orlop<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Output, TestError> {
        let mut all = vec!["--data-dir".into(), self.data().into_os_string()];
        all.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        orlop(all)
    }

    /// The test images as OCI layouts.
    fn layouts(&self) -> Result<PathBuf, TestError> {
        let made = integration::peers::test_images(self.folder.path());
        made.map_err(|error| TestError::Failed(error.to_string()))
    }

    fn import(&self) -> Result<(), TestError> {
        let busybox = self.layouts()?.join("busybox");
        let output =
            self.orlop([OsStr::new("import"), busybox.as_os_str(), "--name".as_ref(), IMAGE.as_ref()])?;
        let said = succeeds(&output)?;
        check(said.contains(IMAGE), || said.clone())?;
        let progress = text(&output.stderr);
        check(progress.contains("layer sha256:"), || format!("no progress: {progress:?}"))
    }
}

fn images_are_imported_and_listed() -> TestResult {
    let instance = Instance::start("cri")?;
    check(json(&instance.orlop(["images", "-o", "json"])?)? == Value::Array(Vec::new()), || {
        "images at first".into()
    })?;
    instance.import()?;
    let images = json(&instance.orlop(["images", "-o", "json"])?)?;
    check(images[0]["tags"][0] == IMAGE && images[0]["size"].as_u64() > Some(100_000), || {
        format!("{images:#}")
    })?;
    let table = succeeds(&instance.orlop(["images"])?)?;
    check(table.starts_with("IMAGE") && table.contains(IMAGE), || table.clone())?;
    let missing = instance.orlop(["import", "/nonexistent"])?;
    let said = text(&missing.stderr);
    check(missing.status.code() == Some(1) && said.contains("/nonexistent"), || said.clone())
}

fn an_image_is_pulled_from_a_registry() -> TestResult {
    let instance = Instance::start("cri")?;
    let layouts = instance.layouts()?;
    let store = instance.folder.path().join("registry");
    let config = instance.folder.path().join("registry.yml");
    let at = store.display();
    fs::write(
        &config,
        format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {at}\nhttp:\n  addr: 127.0.0.1:5000\n"
        ),
    )?;
    let mut registry = Command::new("docker-registry");
    registry.arg("serve").arg(&config);
    let _registry = match Daemon::spawn(registry, &instance.folder.path().join("registry.log")) {
        Ok(daemon) => daemon,
        Err(error) if error.kind() == ErrorKind::NotFound => return skip("docker-registry is not installed"),
        Err(error) => return Err(error.into()),
    };
    let source = format!("oci:{}", layouts.join("busybox").display());
    let push = ["copy", "--dest-tls-verify=false", &source, "docker://127.0.0.1:5000/demo/busybox:1"];
    wait_for(Duration::from_secs(20), "the registry to take the image", || {
        Ok(Command::new("skopeo").args(push).output()?.status.success().then_some(()))
    })?;
    let hosts = instance.data().join("registries/127.0.0.1:5000");
    fs::create_dir_all(&hosts)?;
    fs::write(
        hosts.join("hosts.toml"),
        "[host.\"http://127.0.0.1:5000\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
    )?;
    let output = instance.orlop(["pull", "127.0.0.1:5000/demo/busybox:1", "-o", "json"])?;
    let pulled = json(&output)?;
    check(pulled["id"].as_str().is_some_and(|id| id.starts_with("sha256:")), || format!("{pulled:#}"))?;
    check(text(&output.stderr).contains("layer sha256:"), || {
        format!("no progress: {}", text(&output.stderr))
    })?;
    let images = json(&instance.orlop(["images", "-o", "json"])?)?;
    check(images[0]["id"] == pulled["id"], || format!("{images:#}"))?;
    let missing = instance.orlop(["pull", "127.0.0.1:5000/demo/absent:1"])?;
    let said = text(&missing.stderr);
    check(missing.status.code() == Some(1) && said.contains("demo/absent"), || said.clone())
}

const MANIFEST: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: look}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: docker.io/library/busybox:1.35
      command: [sh, -c, 'echo first; echo second; exec sleep 1d']
    - name: side
      image: docker.io/library/busybox:1.35
      command: [sleep, 1d]
";

fn pods_are_listed_read_and_entered() -> TestResult {
    let mut instance = Instance::start("up")?;
    instance.import()?;
    let manifests = instance.data().join("manifests");
    fs::create_dir_all(&manifests)?;
    fs::write(manifests.join("look.yaml"), MANIFEST)?;
    let done = look_into(&instance);
    fs::remove_file(manifests.join("look.yaml"))?;
    let gone = wait_for(Duration::from_secs(30), "the pod's end", || {
        Ok((json(&instance.orlop(["ps", "-o", "json"])?)? == Value::Array(Vec::new())).then_some(()))
    });
    let ended = instance.daemon.terminate(Duration::from_secs(20)).map(drop);
    match done.and(gone).and(ended) {
        Err(TestError::Failed(text)) => fail(format!("{text}\n{}", instance.daemon.log())),
        result => result,
    }
}

fn look_into(instance: &Instance) -> TestResult {
    let row = wait_for(Duration::from_secs(30), "a ready pod", || {
        let rows = json(&instance.orlop(["ps", "-o", "json"])?)?;
        Ok((rows[0]["ready"] == true).then(|| rows[0].clone()))
    })?;
    check(row["containers"][0]["state"] == "Running" && row["ip"] != "", || format!("{row:#}"))?;
    let table = succeeds(&instance.orlop(["ps"])?)?;
    check(table.contains("2/2") && table.contains("  side"), || table.clone())?;
    let described = succeeds(&instance.orlop(["describe", "look"])?)?;
    check(described.contains("Conditions:") && described.contains(IMAGE), || described.clone())?;
    let pod = json(&instance.orlop(["describe", "look", "-o", "json"])?)?;
    check(pod["spec"]["containers"][1]["name"] == "side", || format!("{pod:#}"))?;

    let yaml = succeeds(&instance.orlop(["describe", "look", "-o", "yaml"])?)?;
    check(yaml.contains("\nspec:\n") && yaml.contains("name: side"), || yaml.clone())?;
    let yaml = succeeds(&instance.orlop(["ps", "-o", "yaml"])?)?;
    check(yaml.contains("ready: true"), || yaml.clone())?;

    let found = succeeds(&instance.orlop(["describe", "-n", "default", "look"])?)?;
    check(found == described || found.contains("Conditions:"), || found.clone())?;
    let nowhere = instance.orlop(["describe", "-n", "other", "look"])?;
    check(nowhere.status.code() == Some(1), || text(&nowhere.stderr))?;
    let none = json(&instance.orlop(["ps", "-n", "other", "-o", "json"])?)?;
    check(none == Value::Array(Vec::new()), || format!("{none:#}"))?;
    let version = succeeds(&instance.orlop(["version"])?)?;
    check(version.contains("daemon: orlop "), || version.clone())?;

    let logs = succeeds(&instance.orlop(["logs", "look", "-c", "main", "--since", "1h"])?)?;
    check(logs == "first\nsecond\n", || logs.clone())?;
    let logs =
        succeeds(&instance.orlop(["logs", "look", "-c", "main", "--since", "2999-01-01T00:00:00Z"])?)?;
    check(logs.is_empty(), || logs.clone())?;
    let logs = succeeds(&instance.orlop(["logs", "look", "-c", "main"])?)?;
    check(logs == "first\nsecond\n", || logs.clone())?;
    let logs = succeeds(&instance.orlop(["logs", "look", "-c", "main", "--tail", "1", "-t"])?)?;
    check(logs.lines().count() == 1 && logs.ends_with("Z second\n"), || logs.clone())?;

    let output =
        instance.orlop(["exec", "look", "-c", "main", "--", "sh", "-c", "echo out; echo err >&2; exit 3"])?;
    let said = (text(&output.stdout), text(&output.stderr), output.status.code());
    check(said == ("out\n".into(), "err\n".into(), Some(3)), || format!("{said:?}"))?;
    let unknown = instance.orlop(["exec", "nobody", "--", "true"])?;
    let said = text(&unknown.stderr);
    check(unknown.status.code() == Some(1) && said.contains("look"), || said.clone())?;
    let unknown = instance.orlop(["logs", "look", "-c", "nobody"])?;
    let said = text(&unknown.stderr);
    check(unknown.status.code() == Some(1) && said.contains("main, side"), || said.clone())?;
    terminal(&instance.data())
}

/// `exec -it` on a terminal of our own: the program has one too, of the same size, also after a change.
fn terminal(data: &Path) -> TestResult {
    const SCRIPT: &str =
        "tty; stty size; until [ \"$(stty size)\" = '40 100' ]; do sleep 0.05; done; echo resized; exit 7";
    let pty = nix::pty::openpty(None, None)?;
    sys::terminal::set_size(&pty.master, 90, 30)?;
    let end = || -> Result<Stdio, TestError> { Ok(pty.slave.try_clone()?.into()) };
    // setsid makes the terminal the controlling one, so that the kernel tells of its size.
    let mut child = Command::new("setsid")
        .args(["--ctty", "--wait"])
        .arg(bin("orlop"))
        .arg("--data-dir")
        .arg(data)
        .args(["exec", "-it", "look", "-c", "main", "--", "sh", "-c", SCRIPT])
        .stdin(end()?)
        .stdout(end()?)
        .stderr(end()?)
        .spawn()?;
    let nix::pty::OpenptyResult { master, slave } = pty;
    // The last slave's end is then the program's, and the screen ends with it.
    drop(slave);
    let mut screen = Screen { terminal: File::from(master), seen: String::new() };
    let watched = screen.until("30 90").and_then(|()| {
        sys::terminal::set_size(&screen.terminal, 100, 40)?;
        screen.until("resized")
    });
    if watched.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    watched?;
    check(screen.seen.contains("/dev/"), || format!("`tty` printed {:?}", screen.seen))?;
    check(status.code() == Some(7), || format!("{status}"))
}

/// What a program showed on its terminal.
struct Screen {
    terminal: File,
    seen: String,
}

impl Screen {
    /// Reads until the text appears, for at most 20 seconds of silence.
    fn until(&mut self, wanted: &str) -> TestResult {
        let mut buffer = [0; 4096];
        while !self.seen.contains(wanted) {
            let mut polled = [nix::poll::PollFd::new(self.terminal.as_fd(), nix::poll::PollFlags::POLLIN)];
            if nix::poll::poll(&mut polled, 20_000_u16)? == 0 {
                return fail(format!("waited for {wanted:?}, saw {:?}", self.seen));
            }
            match self.terminal.read(&mut buffer) {
                Ok(count) if count > 0 => self.seen.push_str(&text(&buffer[..count])),
                _ => return fail(format!("waited for {wanted:?}, the terminal ended after {:?}", self.seen)),
            }
        }
        Ok(())
    }
}
