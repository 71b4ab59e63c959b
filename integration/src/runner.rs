//! Runs each test in a process of its own.
//!
//! A namespace belongs to a thread and a test harness has several, so the runner starts its own executable again
//! for every test. The child enters its private mount and network namespaces while it has one thread, and ends
//! with 0 for passed, [`SKIPPED`] with the reason on its last line, or anything else for failed.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::leftovers;

/// What a test returns.
pub type TestResult = Result<(), TestError>;

/// Why a test did not pass.
#[derive(Debug)]
pub enum TestError {
    /// It could not be tried here; counted and named in the summary.
    Skipped(String),
    /// It was tried and is wrong.
    Failed(String),
}

impl<E: std::error::Error> From<E> for TestError {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self::Failed(text)
    }
}

/// Ends the test as failed.
pub fn fail<T>(text: impl Into<String>) -> Result<T, TestError> {
    Err(TestError::Failed(text.into()))
}

/// Ends the test as skipped, with the reason.
pub fn skip<T>(reason: impl Into<String>) -> Result<T, TestError> {
    Err(TestError::Skipped(reason.into()))
}

/// Fails the test unless the condition holds.
pub fn check(condition: bool, text: impl FnOnce() -> String) -> TestResult {
    if condition { Ok(()) } else { Err(TestError::Failed(text())) }
}

/// A named test.
pub struct Test {
    /// Shown in the report, and the filter of the command line.
    pub name: &'static str,
    /// Runs in a process of its own, as root, with private mount and network namespaces.
    pub run: fn() -> TestResult,
}

/// The exit code of a skipped test.
pub const SKIPPED: u8 = 77;
/// A test that takes longer hangs; it is ended with all that it started and did not detach.
const DEADLINE: Duration = Duration::from_secs(300);
const ONE: &str = "ORLOP_TEST_ONE";

/// The `main` of a test file. Tests run one after the other unless `--test-threads` says otherwise.
pub fn main(tests: &'static [Test]) -> ExitCode {
    main_within(tests, DEADLINE * crate::process::patience())
}

/// The same with another deadline for each test.
pub fn main_within(tests: &'static [Test], deadline: Duration) -> ExitCode {
    if let Ok(name) = std::env::var(ONE) {
        return one(tests, &name);
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let trials = tests
        .iter()
        .map(|test| Trial::ignorable_test(test.name, move || spawn(test.name, deadline)).with_kind(""))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn one(tests: &[Test], name: &str) -> ExitCode {
    let Some(test) = tests.iter().find(|test| test.name == name) else {
        eprintln!("no test is called {name}");
        return ExitCode::FAILURE;
    };
    if let Err(error) = crate::world::enter() {
        eprintln!("entering a private world: {error}");
        return ExitCode::FAILURE;
    }
    let outcome = (test.run)();
    if let Some(world) = leftovers::mount_namespace(std::process::id()) {
        leftovers::end_world(&world);
    }
    // The cgroups of instances with a data folder of their own carry the name of their run folder.
    for instance in std::fs::read_dir("/run/orlop").into_iter().flatten().flatten() {
        leftovers::end_all(&format!("orlop-{}", instance.file_name().display()));
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(TestError::Skipped(reason)) => {
            eprintln!("{reason}");
            ExitCode::from(SKIPPED)
        }
        Err(TestError::Failed(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn spawn(name: &str, deadline: Duration) -> Result<Completion, Failed> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let child = Command::new(exe)
        .env(ONE, name)
        // What it names lies below /run, which is empty in a test's world.
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| error.to_string())?;
    let group = Pid::from_raw(child.id().cast_signed());
    let (ended, watched) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = watched.recv_timeout(deadline).is_err_and(|error| error == RecvTimeoutError::Timeout);
        if late {
            let world = leftovers::mount_namespace(group.as_raw().cast_unsigned());
            let _ = killpg(group, Signal::SIGKILL);
            // One that has not entered its own yet is in ours, which is everybody's.
            let ours = leftovers::mount_namespace(std::process::id());
            if let Some(world) = world.filter(|world| ours.as_ref().is_some_and(|ours| ours != world)) {
                leftovers::end_world(&world);
            }
        }
        late
    });
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    drop(ended);
    let late = watch.join().unwrap_or_default();
    // What it detached is in a cgroup of its own name, and what engines make below that is not theirs to remove.
    leftovers::end_all(&format!("orlop-test-{group}"));
    if late {
        return Err(format!("did not end within {} s", deadline.as_secs()).into());
    }
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    match output.status.code() {
        Some(0) => Ok(Completion::Completed),
        Some(code) if code == i32::from(SKIPPED) => {
            Ok(Completion::ignored_with(text.lines().last().unwrap_or_default()))
        }
        _ => Err(format!("{}\n{text}", output.status).into()),
    }
}
