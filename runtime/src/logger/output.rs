//! One container's output: read from its pipes or its terminal, written to its log, copied to whoever attached.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::file::LogFile;
use super::line::{Splitter, format};

/// How much is read at once, in bytes.
const READ: usize = 16 << 10;
/// How much is collected before it is written, in bytes.
const WRITE: usize = 32 << 10;
/// How much one container may read in a row before the others have their turn, and a draining one at most
/// (a grandchild may write without end), in reads. A pipe holds 4 of them, by default.
const TURN: usize = 4;
const DRAIN: usize = 80;

/// A container's output.
pub(crate) struct Output {
    pub(crate) log: LogFile,
    streams: [Option<Stream>; 2],
}

struct Stream {
    source: Source,
    splitter: Splitter,
    sinks: Vec<File>,
}

/// A pipe's or a terminal's end, watched for as long as it is held.
///
/// The monitor holds it, too, to hand it to the next logger should this one die. Closing ours would thus not end the
/// watch, which belongs to what both refer to, and the hung-up pipe of an ended container would wake us for ever.
struct Source {
    file: File,
    epoll: Rc<Epoll>,
}

impl Source {
    fn new(file: File, epoll: &Rc<Epoll>, token: u64) -> io::Result<Self> {
        epoll.add(&file, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        Ok(Self { file, epoll: Rc::clone(epoll) })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // It was added when this was made, so this cannot fail.
        let _ = self.epoll.delete(&self.file);
    }
}

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Nothing is there for now.
    Dry,
    /// There may be more.
    Wet,
    /// It has ended and was closed.
    Ended,
}

impl Output {
    pub(crate) fn new(log: LogFile) -> Self {
        Self { log, streams: [None, None] }
    }

    /// Adds the source of stdout (0) or stderr (1), and has it watched.
    pub(crate) fn add_source(
        &mut self,
        index: usize,
        source: OwnedFd,
        epoll: &Rc<Epoll>,
        token: u64,
    ) -> io::Result<()> {
        // A read must never wait, whatever epoll said: another container may have something to say.
        rustix::io::ioctl_fionbio(&source, true)?;
        let source = Source::new(source.into(), epoll, token)?;
        self.streams[index] = Some(Stream { source, splitter: Splitter::default(), sinks: Vec::new() });
        Ok(())
    }

    /// Adds somebody who wants a copy. One who does not keep up loses output.
    pub(crate) fn add_sink(&mut self, index: usize, sink: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&sink, true)?;
        // A sink of a stream that has ended is closed here, which tells its reader so.
        if let Some(stream) = &mut self.streams[index] {
            stream.sinks.push(sink.into());
        }
        Ok(())
    }

    /// Whether any stream is open.
    pub(crate) fn is_open(&self) -> bool {
        self.streams.iter().any(Option::is_some)
    }

    /// Reads a stream for one turn.
    pub(crate) fn pump(&mut self, index: usize) -> Flow {
        self.read(index, TURN)
    }

    /// Reads all that is there, and writes a begun line as it is.
    pub(crate) fn drain(&mut self) {
        for index in 0..self.streams.len() {
            self.read(index, DRAIN);
            self.flush(index);
        }
    }

    fn read(&mut self, index: usize, turns: usize) -> Flow {
        let Some(stream) = &mut self.streams[index] else { return Flow::Ended };
        let mut batch = Batch::new(index);
        let mut bytes = [0; READ];
        let mut flow = Flow::Wet;
        for _ in 0..turns {
            match stream.source.file.read(&mut bytes) {
                Ok(0) => flow = Flow::Ended,
                Ok(length) => {
                    stream.copy(&bytes[..length]);
                    stream.splitter.push(&bytes[..length], |tag, text| batch.add(&mut self.log, tag, text));
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => flow = Flow::Dry,
                // EIO is how a terminal's master says that nobody holds the other side.
                Err(_) => flow = Flow::Ended,
            }
            break;
        }
        batch.write(&mut self.log);
        if flow == Flow::Ended {
            self.flush(index);
            self.streams[index] = None;
        }
        flow
    }

    fn flush(&mut self, index: usize) {
        if let Some(stream) = &mut self.streams[index] {
            let mut batch = Batch::new(index);
            stream.splitter.flush(|tag, text| batch.add(&mut self.log, tag, text));
            batch.write(&mut self.log);
        }
    }
}

impl Stream {
    fn copy(&mut self, bytes: &[u8]) {
        self.sinks.retain_mut(|sink| match sink.write(bytes) {
            Ok(_) => true,
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        });
    }
}

/// Entries on their way to the file; those read together have one time.
struct Batch {
    time: String,
    stream: &'static str,
    entries: Vec<u8>,
    count: u64,
}

impl Batch {
    fn new(index: usize) -> Self {
        let stream = if index == 0 { "stdout" } else { "stderr" };
        Self { time: now(), stream, entries: Vec::new(), count: 0 }
    }

    fn add(&mut self, log: &mut LogFile, tag: super::line::Tag, text: &[u8]) {
        format(&mut self.entries, &self.time, self.stream, tag, text);
        self.count += 1;
        if self.entries.len() >= WRITE {
            self.write(log);
        }
    }

    fn write(&mut self, log: &mut LogFile) {
        if self.count > 0 {
            log.append(&self.entries, self.count, &self.time);
            self.entries.clear();
            self.count = 0;
        }
    }
}

fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}
