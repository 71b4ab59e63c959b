//! Reading a log for people: from its end, since a time, or as it grows.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::line::Line;

/// What part of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogOptions {
    /// Goes on with what is written later, across rotations, until the container ends.
    pub(crate) follow: bool,
    /// Only so many of the file's last lines.
    pub(crate) tail_lines: Option<u64>,
    /// Only lines written at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// Ends after so many bytes of output.
    pub(crate) limit_bytes: Option<u64>,
    /// Each line begins with when it was written.
    pub(crate) timestamps: bool,
}

/// A CRI runtime splits at 16 KiB; what is far longer is no line of it, and is not gathered in memory.
const LONGEST_LINE: u64 = 256 << 10;
/// The log says nothing when its writer ends, so a follower asks after this many milliseconds of silence.
const ASK_AFTER: u16 = 500;
const BLOCK: u64 = 64 << 10;

/// Passes the wanted part of a log to `sink`, piece by piece, until its end or until the sink breaks.
///
/// `alive` says whether more may be written. Blocks while following: call it on a thread that may.
pub(crate) fn read(
    path: &Path,
    options: &LogOptions,
    alive: &dyn Fn() -> bool,
    sink: &mut dyn FnMut(Vec<u8>) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut file = File::open(path)?;
    if let Some(lines) = options.tail_lines {
        let start = start_of_last(&mut file, lines)?;
        file.seek(SeekFrom::Start(start))?;
    }
    let mut output = Output { options, left: options.limit_bytes, sink };
    let watch = if options.follow { Some(watch(path)?) } else { None };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        // Asked before reading to the end: what is written before the container ends is then seen.
        let more = watch.is_some() && alive();
        if drain(&mut reader, &mut line, &mut output)?.is_break() {
            return Ok(());
        }
        let Some(watch) = watch.as_ref() else { return Ok(()) };
        if let Some(next) = rotated(path, reader.get_ref())? {
            // The writer may have filled the old file between our read and its rename.
            if drain(&mut reader, &mut line, &mut output)?.is_break() {
                return Ok(());
            }
            line.clear();
            reader = BufReader::new(next);
            continue;
        }
        if !more {
            return Ok(());
        }
        wait(watch)?;
    }
}

struct Output<'a> {
    options: &'a LogOptions,
    left: Option<u64>,
    sink: &'a mut dyn FnMut(Vec<u8>) -> ControlFlow<()>,
}

impl Output<'_> {
    fn line(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let Some(line) = Line::parse(bytes) else { return ControlFlow::Continue(()) };
        if self.options.since.is_some_and(|since| line.time().is_some_and(|time| time < since)) {
            return ControlFlow::Continue(());
        }
        let mut text = line.render(self.options.timestamps);
        if let Some(left) = &mut self.left {
            text.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= text.len() as u64;
        }
        if !text.is_empty() {
            (self.sink)(text)?;
        }
        if self.left == Some(0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Passes on all complete lines; `line` keeps the beginning of one that is still being written.
fn drain(
    reader: &mut BufReader<File>,
    line: &mut Vec<u8>,
    output: &mut Output<'_>,
) -> io::Result<ControlFlow<()>> {
    loop {
        let room = LONGEST_LINE.saturating_sub(line.len() as u64).max(1);
        if reader.by_ref().take(room).read_until(b'\n', line)? == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        if line.ends_with(b"\n") || line.len() as u64 >= LONGEST_LINE {
            let flow = output.line(line);
            line.clear();
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }
}

/// Where the last `lines` lines begin.
fn start_of_last(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    // The newline that ends the file ends its last line and begins none.
    let mut wanted = lines + 1;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.take(end - start).read_to_end(&mut block)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            wanted -= 1;
            if wanted == 0 {
                return Ok(start + index as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

/// The file that has taken the path's place, if one has.
fn rotated(path: &Path, current: &File) -> io::Result<Option<File>> {
    let next = match File::open(path) {
        Ok(next) => next,
        // Between the rename and the runtime's reopening, and after the pod is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let [old, new] = [current.metadata()?, next.metadata()?];
    Ok(((old.dev(), old.ino()) != (new.dev(), new.ino())).then_some(next))
}

/// Watches the folder: the file's writes and what takes its name are both told there.
fn watch(path: &Path) -> io::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let folder = path.parent().unwrap_or(path);
    let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    inotify.add_watch(folder, flags)?;
    Ok(inotify)
}

fn wait(watch: &Inotify) -> io::Result<()> {
    let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(ASK_AFTER)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    match watch.read_events() {
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn entry(second: u32, text: &str) -> String {
        format!("2026-01-02T03:04:{second:02}Z stdout F {text}\n")
    }

    fn shown(log: &str, options: LogOptions) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        std::fs::write(&path, log).unwrap();
        let mut text = Vec::new();
        let mut sink = |piece: Vec<u8>| {
            text.extend(piece);
            ControlFlow::Continue(())
        };
        read(&path, &options, &|| false, &mut sink).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn three() -> String {
        entry(1, "one") + &entry(2, "two") + &entry(3, "three")
    }

    #[test]
    fn all_of_it_without_options() {
        assert_eq!(shown(&three(), LogOptions::default()), "one\ntwo\nthree\n");
    }

    #[test]
    fn the_last_lines_only() {
        for (lines, expected) in [(0, ""), (1, "three\n"), (2, "two\nthree\n"), (9, "one\ntwo\nthree\n")] {
            let options = LogOptions { tail_lines: Some(lines), ..LogOptions::default() };
            assert_eq!(shown(&three(), options), expected, "{lines}");
        }
    }

    #[test]
    fn the_last_lines_of_a_file_of_many_blocks() {
        let log: String = (0..20_000).map(|number| entry(1, &format!("line {number}"))).collect();
        let options = LogOptions { tail_lines: Some(5_000), ..LogOptions::default() };
        let text = shown(&log, options);
        assert_eq!((text.lines().count(), text.lines().next()), (5_000, Some("line 15000")));
    }

    #[test]
    fn since_a_time() {
        let options =
            LogOptions { since: Some("2026-01-02T03:04:02Z".parse().unwrap()), ..LogOptions::default() };
        assert_eq!(shown(&three(), options), "two\nthree\n");
    }

    #[test]
    fn no_more_bytes_than_wanted() {
        let options = LogOptions { limit_bytes: Some(6), ..LogOptions::default() };
        assert_eq!(shown(&three(), options), "one\ntw");
    }

    #[test]
    fn following_misses_nothing_over_a_rotation_and_ends_with_the_container() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        std::fs::write(&path, entry(1, "one")).unwrap();
        let alive = AtomicBool::new(true);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            let options = LogOptions { follow: true, ..LogOptions::default() };
            let (followed, is_alive) = (&path, &alive);
            scope.spawn(move || {
                let mut sink = |piece: Vec<u8>| {
                    sender.send(String::from_utf8(piece).unwrap()).unwrap();
                    ControlFlow::Continue(())
                };
                read(followed, &options, &|| is_alive.load(Ordering::SeqCst), &mut sink).unwrap();
            });
            assert_eq!(receiver.recv().unwrap(), "one\n");
            let mut old = File::options().append(true).open(&path).unwrap();
            std::fs::rename(&path, folder.path().join("0.log.1")).unwrap();
            old.write_all(entry(2, "two").as_bytes()).unwrap();
            std::fs::write(&path, entry(3, "three")).unwrap();
            assert_eq!(receiver.recv().unwrap(), "two\n");
            assert_eq!(receiver.recv().unwrap(), "three\n");
            alive.store(false, Ordering::SeqCst);
            assert!(receiver.recv().is_err(), "the reader ends");
        });
    }
}
