//! Logs, attached readers, input, terminals.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use api_monitor::{ErrorCode, Request};
use integration::runner::{TestResult, check, fail};
use nix::mount::{MsFlags, mount};

use crate::fixture::{Pod, eventually, exited, join_log, lives, read_until, start};

fn attach(container: &str, stdin: bool) -> Request {
    Request::Attach { container: container.into(), stdin }
}

pub(crate) fn input_and_attached_readers() -> TestResult {
    let pod = Pod::new("attach")?;
    let mut client = pod.client()?;
    let mut create = pod.create(
        "c",
        pod.bundle("c", "echo early; while read x; do echo got-$x; echo e-$x >&2; done; echo end")?,
    );
    create.stdin = true;
    start(&mut client, create)?;
    eventually("the first line", || pod.output("c", "stdout").is_ok_and(|text| text == "early\n"))?;
    let (mut out, stdout) = std::io::pipe()?;
    let (mut err, stderr) = std::io::pipe()?;
    let (_, mut fds) = client.ask(attach("c", true), &[stdout.as_fd(), stderr.as_fd()])?;
    drop((stdout, stderr));
    let Some(stdin) = fds.pop() else { return fail("no input was handed out") };
    let mut stdin = File::from(stdin);
    stdin.write_all(b"one\n")?;
    let seen = read_until(&mut out, "got-one\n")?;
    check(seen == "got-one\n", || format!("a copy begins at the attach: {seen:?}"))?;
    read_until(&mut err, "e-one\n")?;
    // The client's end alone does not close the input: the monitor has one, for the next who attaches.
    drop(stdin);
    let (_, mut fds) = client.ask(attach("c", true), &[])?;
    let Some(stdin) = fds.pop() else { return fail("no input was handed out again") };
    File::from(stdin).write_all(b"two\n")?;
    read_until(&mut out, "got-two\n")?;
    client.ask(Request::CloseStdin { container: "c".into() }, &[])?;
    let exit = exited(&mut client, "c")?;
    check(exit.code == 0, || format!("{exit:?}"))?;
    let mut rest = String::new();
    out.read_to_string(&mut rest)?;
    check(rest == "end\n", || format!("{rest:?}"))?;
    check(pod.output("c", "stdout")? == "early\ngot-one\ngot-two\nend\n", || "the log has it all".into())?;
    let late = client.call(attach("c", false), &[])?.0;
    check(late.is_err_and(|error| error.code == ErrorCode::WrongState), || "attached to the dead".into())
}

pub(crate) fn a_slow_reader_stalls_nobody() -> TestResult {
    let pod = Pod::new("slow")?;
    let mut client = pod.client()?;
    let mut create = pod.create("c", pod.bundle("c", "read x; seq 1 100000")?);
    create.stdin = true;
    start(&mut client, create)?;
    let (out, stdout) = std::io::pipe()?;
    let (_, fds) = client.ask(attach("c", true), &[stdout.as_fd()])?;
    drop(stdout);
    for fd in fds {
        File::from(fd).write_all(b"\n")?;
    }
    exited(&mut client, "c")?;
    check(pod.output("c", "stdout")?.lines().count() == 100_000, || "the log is incomplete".into())?;
    drop(out);
    Ok(())
}

pub(crate) fn reopening_under_a_flood() -> TestResult {
    let pod = Pod::new("flood")?;
    let mut client = pod.client()?;
    const LINES: usize = 300_000;
    pod.run(&mut client, "c", &format!("seq 1 {LINES}"))?;
    let mut rotations = 0;
    let mut text = String::new();
    while rotations < 50 {
        let old = pod.folder.join(format!("c.log.{rotations}"));
        fs::rename(pod.log("c"), &old)?;
        client.ask(Request::ReopenLog { container: "c".into() }, &[])?;
        // Nothing is written to it after the answer.
        text += &fs::read_to_string(old)?;
        rotations += 1;
    }
    exited(&mut client, "c")?;
    text += &fs::read_to_string(pod.log("c"))?;
    let lines = join_log(&text, "stdout")?;
    let expected: String = (1..=LINES).map(|number| format!("{number}\n")).collect();
    check(lines == expected, || format!("{} of {} bytes", lines.len(), expected.len()))
}

pub(crate) fn long_lines_and_a_full_disk() -> TestResult {
    let pod = Pod::new("full")?;
    let mut client = pod.client()?;
    pod.run(&mut client, "long", "head -c 40000 /dev/zero; echo; echo next")?;
    exited(&mut client, "long")?;
    let text = pod.output("long", "stdout")?;
    check(text == format!("{}\nnext\n", "\0".repeat(40_000)), || format!("{} bytes", text.len()))?;
    let partial = fs::read_to_string(pod.log("long"))?.lines().filter(|line| line.contains(" P ")).count();
    check(partial == 2, || format!("{partial} partial entries"))?;

    let disk = pod.folder.join("disk");
    fs::create_dir(&disk)?;
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=64k"))?;
    let filler = fs::write(disk.join("filler"), vec![0; 65_537]);
    check(filler.is_err(), || "the disk is not full".into())?;
    let mut create = pod.create(
        "full",
        pod.bundle("full", "seq 1 20000; echo > /tmp/written; read x; echo after; sleep 1000")?,
    );
    create.stdin = true;
    create.log_path = Some(disk.join("0.log"));
    let (pid, _) = start(&mut client, create)?;
    // All that the container writes is read, though the disk takes nothing.
    let written = pod.folder.join("b-full/rootfs/tmp/written");
    eventually("the container has written", || written.exists())?;
    fs::remove_file(disk.join("filler"))?;
    let (_, fds) = client.ask(attach("full", true), &[])?;
    for fd in fds {
        File::from(fd).write_all(b"\n")?;
    }
    let log = || fs::read_to_string(disk.join("0.log")).unwrap_or_default();
    eventually("the line after", || log().ends_with(" after\n"))?;
    check(lives(pid), || "the container ended".into())?;
    check(log().contains(" entries were lost: No space left"), log)
}

pub(crate) fn a_terminal() -> TestResult {
    let pod = Pod::new("tty")?;
    let mut client = pod.client()?;
    let bundle = pod.bundle_with("c", "tty; read x; stty size; echo bye-$x; exit 4", |config| {
        config["process"]["terminal"] = true.into();
    })?;
    let mut create = pod.create("c", bundle);
    create.terminal = true;
    create.stdin = true;
    start(&mut client, create)?;
    let (mut out, stdout) = std::io::pipe()?;
    let (_, mut fds) = client.ask(attach("c", true), &[stdout.as_fd()])?;
    drop(stdout);
    let Some(master) = fds.pop() else { return fail("no terminal was handed out") };
    let mut master = File::from(master);
    let resized = Command::new("stty")
        .args(["rows", "33", "cols", "77"])
        .stdin(Stdio::from(master.try_clone()?))
        .status()?;
    check(resized.success(), || format!("{resized}"))?;
    master.write_all(b"you\n")?;
    let seen = read_until(&mut out, "bye-you\r\n")?;
    check(seen.contains("33 77"), || seen)?;
    let exit = exited(&mut client, "c")?;
    check(exit.code == 4, || format!("{exit:?}"))?;
    let text = pod.output("c", "stdout")?;
    check(text.contains("/dev/pts/") && text.contains("bye-you\r\n"), || text)
}
