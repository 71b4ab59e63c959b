//! Messages that are nearly right: valid ones cut, doubled, bent and out of order, with descriptors that nobody asked
//! for. Beside [`garbage_at_the_socket`](crate::failure::garbage_at_the_socket), which rarely gets past the decoder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use api_monitor::{ClientMessage, ContainerState, CreateRequest, ExecRequest, MAX_MESSAGE, Request, VERSION};
use integration::monitor::Client;
use integration::runner::{TestResult, check};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::fixture::{Pod, eventually, exited, lives};

const ROUNDS: usize = 400;

/// xorshift: the same messages in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % bound.max(1)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// One request of every kind on one container.
fn requests(container: &str, bundle: PathBuf, process: PathBuf) -> Vec<Request> {
    let id = || container.to_owned();
    let exec = |streams, terminal| {
        Request::Exec(ExecRequest {
            container: id(),
            exec: format!("{container}-{streams:?}"),
            process: process.clone(),
            terminal,
            streams,
        })
    };
    vec![
        Request::Hello { version: VERSION },
        Request::Create(CreateRequest {
            container: id(),
            bundle,
            runtime: None,
            terminal: false,
            stdin: true,
            log_path: Some("/dev/null".into()),
            memory_cgroup: Some("/nonexistent".into()),
        }),
        Request::Start { container: id() },
        Request::Pidfd { container: id() },
        exec([false, true, true], false),
        exec([false; 3], true),
        Request::Attach { container: id(), stdin: true },
        Request::CloseStdin { container: id() },
        Request::ReopenLog { container: id() },
        Request::Delete { container: id() },
        Request::Shutdown,
    ]
}

/// What stands where something else should.
fn wrong(random: &mut Random) -> Value {
    let values = [
        Value::Null,
        true.into(),
        (-1).into(),
        u64::MAX.into(),
        1e300.into(),
        "".into(),
        "../../x".into(),
        "/proc/self/mem".into(),
        "x".repeat(5000).into(),
        "\u{0}".into(),
        Value::Array(vec![Value::Null; 9]),
        serde_json::json!({ "container": "running" }),
    ];
    random.pick(&values).clone()
}

/// Puts something wrong, or nothing, in one place of a document.
fn bend(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(object) if !object.is_empty() && random.below(4) > 0 => {
            let keys: Vec<String> = object.keys().cloned().collect();
            let key = random.pick(&keys).clone();
            if random.below(5) == 0 {
                object.remove(&key);
            } else if let Some(value) = object.get_mut(&key) {
                bend(value, random);
            }
        }
        Value::Array(list) if !list.is_empty() && random.below(2) > 0 => {
            let at = random.below(list.len());
            bend(&mut list[at], random);
        }
        value => *value = wrong(random),
    }
}

/// The bytes of one message, most of them not as they should be.
fn mutate(message: &ClientMessage, random: &mut Random) -> io::Result<Vec<u8>> {
    let mut bytes = message.encode().map_err(io::Error::other)?;
    match random.below(6) {
        0 => {}
        1 => bytes.truncate(random.below(bytes.len())),
        2 => bytes.extend_from_within(..),
        3 => {
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        _ => {
            let mut value: Value = serde_json::from_slice(&bytes)?;
            bend(&mut value, random);
            bytes = serde_json::to_vec(&value)?;
            bytes.truncate(MAX_MESSAGE);
        }
    }
    Ok(bytes)
}

/// What each of the monitor's descriptors leads to.
fn open_descriptors(pod: &Pod) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", pod.monitor.id())) else { return Vec::new() };
    let links = entries.flatten().filter_map(|entry| {
        Some(format!("{:?} {}", entry.file_name(), fs::read_link(entry.path()).ok()?.display()))
    });
    links.collect()
}

/// Ends and deletes every container but the one that runs throughout; whether none was left.
fn clear(pod: &Pod) -> io::Result<bool> {
    let (mut client, hello) = Client::hello(&pod.config.socket)?;
    let others: Vec<_> = hello.containers.iter().filter(|(id, _)| *id != "running").collect();
    for (id, status) in &others {
        if status.state == ContainerState::Running {
            // One that is refused its deletion because it still ends is met again.
            let _ = kill(Pid::from_raw(status.pid), Signal::SIGKILL);
        }
        client.call(Request::Delete { container: id.to_string() }, &[])?.0.ok();
    }
    Ok(others.is_empty())
}

pub(crate) fn nearly_valid_messages() -> TestResult {
    let mut pod = Pod::new("fuzz")?;
    let mut client = pod.client()?;
    // It keeps the monitor from being asked to end in earnest.
    let running = pod.run(&mut client, "running", "while read line; do :; done; sleep 100000")?;
    let bundle = pod.bundle("fuzzed", "sleep 100000")?;
    let process = pod.folder.join("process.json");
    let content = serde_json::json!({
        "user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", "exit 0"], "env": ["PATH=/bin"], "cwd": "/",
    });
    fs::write(&process, serde_json::to_vec(&content)?)?;
    // A bent path must not make a file on the machine; `/run` is the test's own.
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    let root: PathBuf = "/".into();
    mount(None::<&str>, &root, None::<&str>, flags, None::<&str>)?;
    drop(client);
    let baseline = open_descriptors(&pod);

    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let null = File::open("/dev/null")?;
    let (reader, writer) = std::io::pipe()?;
    let mut sent: BTreeMap<&str, usize> = BTreeMap::new();
    let mut answered = 0;
    for round in 0..ROUNDS {
        let mut noisy = Client::connect(&pod.config.socket)?;
        let names = ["running", "fuzzed", "unknown"];
        let all = requests(random.pick::<&str>(&names), bundle.clone(), process.clone());
        for _ in 0..4 {
            let at = random.below(all.len());
            let message = ClientMessage { id: u64::MAX, request: all[at].clone() };
            let bytes = mutate(&message, &mut random)?;
            let fds: Vec<BorrowedFd<'_>> = (0..random.below(6))
                .map(|_| *random.pick(&[null.as_fd(), reader.as_fd(), writer.as_fd()]))
                .collect();
            let twice = random.below(8) == 0;
            for _ in 0..=usize::from(twice) {
                // The monitor may have closed on us; that is its right.
                let _ = noisy.send_raw(&bytes, &fds);
            }
            *sent.entry(Request::NAMES[at.saturating_sub(usize::from(at > 4))]).or_default() += 1;
        }
        // One in four hangs up at once; the others wait until all of it was taken, or they are hung up on.
        if round % 4 > 0 {
            answered += usize::from(noisy.call(Request::Hello { version: VERSION }, &[]).is_ok());
        }
    }
    check(answered > ROUNDS / 2, || format!("{answered} of {ROUNDS} connections lasted"))?;
    check(Request::NAMES.iter().all(|name| sent.contains_key(name)), || format!("sent were {sent:?}"))?;

    check(pod.monitor.try_wait()?.is_none() && lives(running), || {
        "the monitor or its container ended".into()
    })?;
    // What was made in passing goes as it would for a daemon. A container whose creation still runs is in no answer
    // to Hello, so it is asked for until nothing is left of any.
    let settled = || clear(&pod).unwrap_or(false) && open_descriptors(&pod).len() <= baseline.len();
    eventually("what was made can be deleted, and no descriptor is left open", settled).map_err(|error| {
        io::Error::other(format!("{error}: {:#?}, at first {baseline:#?}", open_descriptors(&pod)))
    })?;
    // Everything still works, on a connection of its own and on the one from before.
    let mut client = pod.client()?;
    mount(None::<&str>, &root, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, None::<&str>)?;
    pod.run(&mut client, "after", "echo served; exit 4")?;
    check(exited(&mut client, "after")?.code == 4, || "a container's end".into())?;
    check(pod.output("after", "stdout")? == "served\n", || "a container's output".into())
}
