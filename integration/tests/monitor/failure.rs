//! What happens when something dies, hangs or talks nonsense.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use api_monitor::{
    ContainerState, ErrorCode, Event, Exit, MAX_MESSAGE, NamespaceSource, Reply, Request, exit_record,
};
use integration::monitor::Client;
use integration::runner::{TestResult, check, fail};
use sys::pidfd::PidFd;

use crate::fixture::{Pod, eventually, exited, lives, start};

fn kill(pid: i32, signal: i32) -> io::Result<()> {
    PidFd::open(pid).map_err(io::Error::other)?.signal(signal).map_err(io::Error::from)
}

fn child_named(parent: u32, name: &str) -> Option<i32> {
    let listed =
        Command::new("ps").args(["-o", "pid=,comm=", "--ppid", &parent.to_string()]).output().ok()?;
    let text = String::from_utf8(listed.stdout).ok()?;
    let line = text.lines().find(|line| line.contains(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// An executable shell script.
fn script(pod: &Pod, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = pod.folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

pub(crate) fn a_client_that_dies() -> TestResult {
    let pod = Pod::new("client")?;
    let mut client = pod.client()?;
    let running = pod.run(&mut client, "running", "sleep 1000")?;
    let ending = pod.run(&mut client, "ending", "trap 'exit 3' TERM; sleep 1000 & wait")?;
    eventually("the shell waits", || {
        child_named(u32::try_from(ending).unwrap_or_default(), "sleep").is_some()
    })?;
    drop(client);
    kill(ending, 15)?;
    let record = exit_record(&pod.config.state_dir, "ending");
    eventually("the exit is recorded", || record.exists())?;
    let (mut client, hello) = Client::hello(&pod.config.socket)?;
    if !matches!(hello.containers["ending"].state, ContainerState::Exited(_)) {
        exited(&mut client, "ending")?;
    }
    let (mut client, hello) = Client::hello(&pod.config.socket)?;
    let ContainerState::Exited(exit) = hello.containers["ending"].state else {
        return fail(format!("{hello:?}"));
    };
    check((exit.code, exit.signal) == (3, None), || format!("{exit:?}"))?;
    let status = &hello.containers["running"];
    check(status.state == ContainerState::Running && status.pid == running, || format!("{status:?}"))?;
    let (reply, fds) = client.ask(Request::Pidfd { container: "running".into() }, &[])?;
    check(reply == Reply::Created { pid: running } && fds.len() == 1, || format!("{reply:?}"))?;
    for fd in fds {
        PidFd::from(fd).signal(9).map_err(io::Error::from)?;
    }
    let exit = exited(&mut client, "running")?;
    check((exit.code, exit.signal) == (137, Some(9)), || format!("{exit:?}"))
}

pub(crate) fn a_monitor_that_dies() -> TestResult {
    let mut pod = Pod::with("dies", |config| config.namespaces.pid = NamespaceSource::New { pin: None })?;
    let other = Pod::new("other")?;
    let (mut client, mut others) = (pod.client()?, other.client()?);
    let Some(pause) = pod.status.pause_pid else { return fail("no pause process") };
    let bystander = other.run(&mut others, "bystander", "read x; echo never")?;
    pod.run(&mut client, "c", "exit 6")?;
    let exit = exited(&mut client, "c")?;
    let leftover = pod.run(&mut client, "leftover", "while true; do echo x; sleep 1; done")?;
    pod.monitor.kill()?;
    pod.monitor.wait()?;
    let recorded: Exit = serde_json::from_slice(&fs::read(exit_record(&pod.config.state_dir, "c"))?)?;
    check(recorded == exit && exit.code == 6, || format!("{recorded:?}"))?;
    eventually("the pause process ends with its monitor", || !lives(pause))?;
    // The rest of the pod is the daemon's to kill, by cgroup.
    kill(leftover, 9)?;
    let _ = bystander;
    check(others.call(Request::Pidfd { container: "bystander".into() }, &[]).is_ok(), || {
        "the other pod noticed".into()
    })
}

pub(crate) fn garbage_at_the_socket() -> TestResult {
    let pod = Pod::new("garbage")?;
    let client = pod.client()?;
    let null = fs::File::open("/dev/null")?;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..300 {
        let noisy = Client::connect(&pod.config.socket)?;
        for _ in 0..4 {
            let bytes: Vec<u8> = (0..(round * 37) % 5000)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed.to_le_bytes()[3]
                })
                .collect();
            let fds = vec![null.as_fd(); round % 8];
            // The monitor may have closed on us; that is its right.
            let _ = noisy.send_raw(&bytes, &fds);
        }
    }
    let _ = client.send_raw(&vec![b'['; MAX_MESSAGE], &[]);
    let _ = client.send_raw(&vec![b' '; MAX_MESSAGE + 1], &[]);
    let mut client = pod.client()?;
    for (request, id, code) in [
        (r#"{"id":70,"request":{"freeze":{"container":"c"}}}"#, 70, ErrorCode::Unsupported),
        (r#"{"id":71,"request":{"start":{}}}"#, 71, ErrorCode::Invalid),
        (
            r#"{"id":72,"request":{"create":{"container":"../x","bundle":"/","terminal":false,"stdin":false}}}"#,
            72,
            ErrorCode::Invalid,
        ),
    ] {
        client.send_raw(request.as_bytes(), &[])?;
        let answer = client.answer(id)?.0;
        check(answer.as_ref().is_err_and(|error| error.code == code), || format!("{request}: {answer:?}"))?;
    }
    let open = fs::read_dir(format!("/proc/{}/fd", pod.monitor.id()))?.count();
    check(open < 64, || format!("{open} descriptors are open"))?;
    pod.run(&mut client, "c", "exit 0")?;
    check(exited(&mut client, "c")?.code == 0, || "it does not work any more".into())
}

pub(crate) fn a_runtime_that_hangs() -> TestResult {
    let pod = Pod::new("hung")?;
    let mut client = pod.client()?;
    pod.run(&mut client, "good", "trap 'exit 3' TERM; sleep 1000 & wait")?;
    let pid_file = pod.folder.join("hung.pid");
    let hung = script(
        &pod,
        "hung",
        &format!("case \"$*\" in *delete*) exit 0;; esac\necho $$ > {}; exec sleep 1000", pid_file.display()),
    )?;
    let mut create = pod.create("bad", pod.folder.clone());
    create.runtime = Some(vec![hung.display().to_string()]);
    let waiting = client.send(Request::Create(create), &[])?;
    eventually("the runtime hangs", || fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n')))?;
    let (_, fds) = client.ask(Request::Pidfd { container: "good".into() }, &[])?;
    for fd in fds {
        PidFd::from(fd).signal(9).map_err(io::Error::from)?;
    }
    check(exited(&mut client, "good")?.signal == Some(9), || "the other's end".into())?;
    pod.run(&mut client, "next", "exit 1")?;
    check(exited(&mut client, "next")?.code == 1, || "another's life".into())?;
    kill(fs::read_to_string(&pid_file)?.trim().parse()?, 9)?;
    let Err(error) = client.answer(waiting)?.0 else { return fail("it was created") };
    check(error.code == ErrorCode::Runtime && error.message.contains("signal 9"), || format!("{error:?}"))
}

pub(crate) fn an_exit_before_the_pid_file_is_read() -> TestResult {
    let pod = Pod::new("race")?;
    let mut client = pod.client()?;
    let runtime = pod.config.runtime.display();
    let racing = script(
        &pod,
        "racing",
        &format!(
            "{runtime} \"$@\" || exit\nfile=; for arg; do test \"$last\" = --pid-file && file=$arg; last=$arg; done\n\
         test -z \"$file\" || {{ kill -9 $(cat $file); sleep 0.2; }}"
        ),
    )?;
    let mut create = pod.create("c", pod.bundle("c", "exit 0")?);
    create.runtime = Some(vec![racing.display().to_string()]);
    let (reply, fds) = client.ask(Request::Create(create), &[])?;
    check(matches!(reply, Reply::Created { pid } if pid > 0) && fds.len() == 1, || format!("{reply:?}"))?;
    let exit = exited(&mut client, "c")?;
    check(exit.signal == Some(9), || format!("{exit:?}"))?;
    client.ask(Request::Delete { container: "c".into() }, &[])?;
    Ok(())
}

pub(crate) fn a_logger_that_dies() -> TestResult {
    let pod = Pod::new("logger")?;
    let mut client = pod.client()?;
    let mut create = pod.create("c", pod.bundle("c", "echo one; read x; echo two; read x; echo three")?);
    create.stdin = true;
    start(&mut client, create)?;
    eventually("the first line", || pod.output("c", "stdout").is_ok_and(|text| text == "one\n"))?;
    let Some(logger) = child_named(pod.monitor.id(), "orlop-logger") else { return fail("no logger") };
    kill(logger, 9)?;
    eventually("another logger", || {
        child_named(pod.monitor.id(), "orlop-logger").is_some_and(|pid| pid != logger)
    })?;
    let (_, fds) = client.ask(Request::Attach { container: "c".into(), stdin: true }, &[])?;
    for fd in fds {
        io::Write::write_all(&mut fs::File::from(fd), b"\n\n")?;
    }
    check(exited(&mut client, "c")?.code == 0, || "the container was hurt".into())?;
    check(pod.output("c", "stdout")? == "one\ntwo\nthree\n", || "a line is lost".into())
}

pub(crate) fn a_runtime_that_refuses() -> TestResult {
    let pod = Pod::new("refuses")?;
    let mut client = pod.client()?;
    let bundle =
        pod.bundle_with("c", "", |config| config["process"]["args"] = serde_json::json!(["/bin/absent"]))?;
    let Err(error) = client.call(Request::Create(pod.create("c", bundle)), &[])?.0 else {
        return fail("created");
    };
    check(error.code == ErrorCode::Runtime && error.message.contains("/bin/absent"), || {
        format!("{error:?}")
    })?;
    let (mut client, hello) = Client::hello(&pod.config.socket)?;
    check(hello.containers.is_empty(), || format!("{hello:?}"))?;
    // The name is free again.
    pod.run(&mut client, "c", "exit 2")?;
    check(exited(&mut client, "c")?.code == 2, || "second try".into())?;
    client.ask(Request::Delete { container: "c".into() }, &[])?;
    let left =
        fs::read_dir(&pod.config.state_dir)?.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>();
    check(left.len() == 1, || format!("{left:?}"))
}

pub(crate) fn pause_ends() -> TestResult {
    let pod = Pod::with("pause-ends", |config| config.namespaces.pid = NamespaceSource::New { pin: None })?;
    let mut client = pod.client()?;
    let Some(pause) = pod.status.pause_pid else { return fail("no pause process") };
    kill(pause, 15)?;
    let exit = client.event(|event| match event {
        Event::PauseExited { exit } => Some(*exit),
        _ => None,
    })?;
    check(exit.code == 0, || format!("{exit:?}"))
}

/// The ends of its pipes stay with the monitor, and must not keep the logger awake.
pub(crate) fn an_ended_container_costs_nothing() -> TestResult {
    let pod = Pod::new("idle")?;
    let mut client = pod.client()?;
    pod.run(&mut client, "ended", "echo over")?;
    exited(&mut client, "ended")?;
    pod.run(&mut client, "lives", "exec sleep 1000")?;
    let Some(logger) = child_named(pod.monitor.id(), "orlop-logger") else { return fail("no logger") };
    // The first number is the time on a CPU, in nanoseconds.
    let spent = || -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{logger}/schedstat"))?;
        let first = text.split(' ').next().unwrap_or_default();
        first.parse().map_err(io::Error::other)
    };
    let before = spent()?;
    std::thread::sleep(Duration::from_millis(500));
    let spent = spent()? - before;
    check(spent < 50_000_000, || format!("the logger was busy for {spent} ns in half a second"))
}
