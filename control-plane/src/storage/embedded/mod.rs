//! The store in one redb file: one writer, readers that never wait for it, watches from memory or from the log.
//!
//! ```text
//!   write ──▶ writer thread ──▶ group ──▶ redb ──sync──▶ tail ──▶ watches
//!   get, list ──▶ a short transaction of redb             ▲
//!   a watch that is behind ──▶ the log in redb ───────────┘ until it has caught up
//! ```

mod file;
mod group;
mod read;
mod tables;
mod tail;
mod watch;
mod writer;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use futures_util::future::BoxFuture;
use redb::StorageBackend;
use tokio::sync::{Semaphore, oneshot};

use self::file::Fault;
use self::file::{File, Opener};
use self::group::Group;
use self::tail::Tail;
use self::writer::{Job, Request};
use super::{At, Change, Entry, Expect, Page, Range, Revision, Stats, Store, StoreError, Watch};

/// So many writes may wait; the others wait for a place, so that a slow disk does not fill the memory.
const WAITING_LIMIT: usize = 1024;

/// How to open the embedded store.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Bytes of the file that redb keeps in memory.
    pub cache: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { cache: 8 << 20 }
    }
}

/// The embedded store.
#[derive(Debug)]
pub struct Embedded {
    file: Arc<File>,
    tail: Arc<Tail>,
    jobs: mpsc::Sender<Job>,
    places: Semaphore,
    writer: JoinHandle<()>,
}

impl Embedded {
    /// Opens the store in a file, which is made when there is none. One process at a time: the file is locked.
    pub fn open(path: &Path, options: &EmbeddedOptions) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let path = path.to_owned();
        let open = move |builder: &redb::Builder| {
            // It holds Secrets.
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            builder.create_file(file)
        };
        Self::start(name, options, Box::new(open))
    }

    /// A store that is gone with the process.
    pub fn in_memory() -> Result<Self, StoreError> {
        let opened = AtomicBool::new(false);
        let open: Opener = Box::new(move |builder| {
            // What was in it would be gone.
            if opened.swap(true, Ordering::Relaxed) {
                let error = std::io::Error::other("a store in memory cannot be opened again");
                return Err(redb::StorageError::Io(error).into());
            }
            builder.create_with_backend(redb::backends::InMemoryBackend::new())
        });
        Self::start("in memory".to_owned(), &EmbeddedOptions::default(), open)
    }

    /// A store on somebody else's idea of a disk, for tests of its failures. `disk` is called again after an error.
    pub fn on_disk<D: StorageBackend>(
        name: &str,
        disk: impl Fn() -> D + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let open: Opener = Box::new(move |builder| builder.create_with_backend(disk()));
        Self::start(name.to_owned(), &EmbeddedOptions::default(), open)
    }

    fn start(name: String, options: &EmbeddedOptions, open: Opener) -> Result<Self, StoreError> {
        let file = Arc::new(File::open(name.clone(), options.cache, open)?);
        let told = file.write("open", |tx| Group::begin(tx)?.end())?;
        let tail = Arc::new(Tail::new(&told));
        let (jobs, received) = mpsc::channel();
        let writer = {
            let (file, tail) = (file.clone(), tail.clone());
            std::thread::Builder::new()
                .name("store".to_owned())
                .spawn(move || writer::run(&file, &received, &tail, told))
                .map_err(|e| StoreError::Unavailable {
                    operation: "open",
                    store: name,
                    reason: e.to_string(),
                })?
        };
        Ok(Self { file, tail, jobs, places: Semaphore::new(WAITING_LIMIT), writer })
    }

    /// Ends the writer after what it was asked for, and gives the file free.
    pub fn close(self) {
        drop(self.jobs);
        if self.writer.join().is_err() {
            tracing::error!("the store's writer had panicked");
        }
    }

    async fn ask(&self, request: Request) -> Result<Revision, StoreError> {
        let gone = || StoreError::Unavailable {
            operation: "write",
            store: "the store's writer".to_owned(),
            reason: "it has ended".to_owned(),
        };
        let _place = self.places.acquire().await.map_err(|_| gone())?;
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { request, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Reads on a thread where waiting for the disk keeps nobody else waiting.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        watch::read_file(self.file.clone(), operation, read).await
    }
}

impl Store for Embedded {
    fn write<'a>(
        &'a self,
        key: &'a str,
        expect: Expect,
        change: Change,
    ) -> BoxFuture<'a, Result<Revision, StoreError>> {
        Box::pin(self.ask(Request::Write { key: key.to_owned(), expect, change }))
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<At<Option<Entry>>, StoreError>> {
        let key = key.to_owned();
        Box::pin(self.read("get", move |tx| read::get(tx, &key)))
    }

    fn list(&self, range: Range) -> BoxFuture<'_, Result<At<Page>, StoreError>> {
        Box::pin(self.read("list", move |tx| read::list(tx, &range)))
    }

    fn watch<'a>(
        &'a self,
        prefix: &'a str,
        after: Revision,
    ) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>> {
        let watch = watch::Follow::new(self.file.clone(), self.tail.clone(), prefix.to_owned(), after);
        Box::pin(async move { Ok(Box::new(watch?) as Box<dyn Watch>) })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.ask(Request::Compact(revision)).await.map(drop) })
    }

    fn stats(&self) -> BoxFuture<'_, Result<Stats, StoreError>> {
        let stats = *self.tail.stats().borrow();
        Box::pin(async move { Ok(stats) })
    }

    fn start_after(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.ask(Request::StartAfter(revision)).await.map(drop) })
    }
}
