//! The same tests under Debian's own kernel: cgroup v2 with every controller, which the machine of a test run may lack.
//!
//! Software emulation is 10 to 20 times slower than the machine, so this is on request: `ORLOP_VM=1 hack/test vm`, after
//! `hack/setup --vm`. What was seen stands in `integration/ledger/vm.md`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use integration::process::wait_for;
use integration::runner::{self, Test, TestError, TestResult, check, fail, skip};
use integration::world::repository;

static TESTS: &[Test] = &[
    Test { name: "the_runtimes_tests_pass_on_cgroup_v2", run: the_runtimes_tests_pass_on_cgroup_v2 },
    Test { name: "the_kubelets_tests_pass_on_cgroup_v2", run: the_kubelets_tests_pass_on_cgroup_v2 },
];

/// An hour: the whole of one test file, emulated.
const PATIENCE: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    runner::main_within(TESTS, PATIENCE)
}

fn the_runtimes_tests_pass_on_cgroup_v2() -> TestResult {
    passes_in_the_vm("runtime", "life_cycle", &[])
}

fn the_kubelets_tests_pass_on_cgroup_v2() -> TestResult {
    // Debian's containerd takes longer there than its callers wait; the pods are the same.
    passes_in_the_vm("kubelet", "nginx_answers", &["--skip", "on_containerd"])
}

/// Runs a test file of this crate, known by one of its tests, in the VM with these arguments; no test may fail, and
/// some must run.
fn passes_in_the_vm(name: &str, test: &str, arguments: &[&str]) -> TestResult {
    if std::env::var_os("ORLOP_VM").is_none() {
        return skip("emulated, and so on request: ORLOP_VM=1, after hack/setup --vm");
    }
    // The VM has an environment of its own.
    let images = std::env::var("ORLOP_TEST_IMAGES").map(|folder| format!("ORLOP_TEST_IMAGES={folder}"));
    let folder = tempfile::tempdir_in(repository().join("target").canonicalize()?)?;
    let log = folder.path().join("log");
    let output = std::fs::File::create(&log)?;
    let mut vm = Command::new(repository().join("hack/vm"))
        .args(images)
        .arg("ORLOP_PATIENCE=5")
        .arg(newest(name, test)?)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    wait_for(PATIENCE, "the VM to end", || Ok(vm.try_wait()?))?;
    let said = std::fs::read_to_string(&log)?;
    let results: Vec<&str> = said.lines().filter(|line| line.starts_with("test result:")).collect();
    let failed: Vec<&str> = said.lines().filter(|line| line.contains("... FAILED")).collect();
    check(!results.is_empty(), || format!("no result:\n{said}"))?;
    let good = results.iter().all(|line| line.contains("test result: ok") && !line.contains(" 0 passed"));
    check(good && failed.is_empty(), || format!("{results:?} {failed:?}\n{said}"))
}

/// The test file's program, which cargo puts beside this one, as it does a crate's own tests of the same name.
fn newest(name: &str, test: &str) -> Result<PathBuf, TestError> {
    let me = std::env::current_exe()?;
    let mut found: Option<(SystemTime, PathBuf)> = None;
    for entry in std::fs::read_dir(me.parent().unwrap_or(&me))? {
        let path = entry?.path();
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let ours = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        let ours = ours.is_some_and(|hash| hash.len() == 16 && !hash.contains('.'));
        if ours && lists(&path, test)? {
            let made = path.metadata()?.modified()?;
            if found.as_ref().is_none_or(|(newest, _)| made > *newest) {
                found = Some((made, path));
            }
        }
    }
    match found {
        Some((_, path)) => Ok(path),
        None => fail(format!("the test file {name} is not built: run hack/test {name} vm")),
    }
}

fn lists(program: &Path, test: &str) -> Result<bool, TestError> {
    let output = Command::new(program).arg("--list").output()?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(listed.lines().any(|line| line.split(':').next() == Some(test)))
}
