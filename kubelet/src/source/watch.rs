//! Tells of the folder's changes as they happen, by inotify.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::SourceEvent;
use super::folder::Folder;

/// Which folder is watched, and for which node.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The folder of manifests. It may appear later.
    pub folder: PathBuf,
    /// The node's name, which ends the pods' names.
    pub node_name: String,
    /// UIDs of the pods that an earlier kubelet had begun: of two files with a pod of one name, theirs is taken.
    pub begun: BTreeSet<String>,
    /// How often the whole folder is looked at although no event came: a safety net for changes that inotify
    /// does not see, such as hard links and network file systems.
    pub rescan: Duration,
}

/// Everything that can mean that a manifest is complete, has changed, or is gone.
fn interesting() -> AddWatchFlags {
    AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR
}

/// Watches until it is told to stop or nobody listens. The first events are those of what is there already, then
/// comes [`SourceEvent::Synced`].
pub async fn watch(
    config: SourceConfig,
    events: mpsc::Sender<SourceEvent>,
    stop: CancellationToken,
) -> io::Result<()> {
    #[expect(deprecated, reason = "its successor is unsafe; `Watch` owns its descriptor as long as it lives")]
    let inotify = AsyncFd::new(Watch(Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?))?;
    let mut folder = Folder::new(config.folder, config.node_name, config.begun);
    let mut rescan = tokio::time::interval(config.rescan);
    rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut synced = false;
    loop {
        let seen = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            // The first tick comes at once and reads what is there.
            _ = rescan.tick() => Seen::Anything,
            seen = next(&inotify) => seen?,
        };
        if matches!(seen, Seen::Anything) {
            // Watching the same folder again changes nothing; one that was replaced is watched anew. It comes
            // before the scan, so that no change falls between.
            watch_folder(&inotify.get_ref().0, &folder)?;
        }
        // Reading files may block.
        let (back, found) = tokio::task::spawn_blocking(move || {
            let found = match seen {
                Seen::Anything => folder.scan(Timestamp::now()),
                Seen::Files { mut complete, created } => {
                    // A new file is complete when it is closed; what is none is complete from the start.
                    let file = |name: &PathBuf| {
                        folder.path().join(name).symlink_metadata().is_ok_and(|meta| meta.is_file())
                    };
                    complete.extend(created.into_iter().filter(|name| !file(name)));
                    let files = complete.into_iter().map(|name| folder.path().join(name)).collect();
                    Ok(folder.look_at(files, Timestamp::now()))
                }
            };
            (folder, found)
        })
        .await
        .map_err(io::Error::other)?;
        folder = back;
        // Of a folder that cannot be listed now nothing is concluded.
        let listed = found.inspect_err(|error| {
            tracing::error!(folder = %folder.path().display(), %error, "listing manifests");
        });
        let known = listed.is_ok() && folder.is_known();
        for event in listed.unwrap_or_default() {
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
        if !synced && known {
            synced = true;
            if events.send(SourceEvent::Synced).await.is_err() {
                return Ok(());
            }
        }
    }
}

struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// What changed.
enum Seen {
    /// Files of these names.
    Files {
        /// Written, renamed or removed.
        complete: BTreeSet<PathBuf>,
        /// Made just now.
        created: BTreeSet<PathBuf>,
    },
    /// Events were lost, or the folder itself went.
    Anything,
}

fn watch_folder(inotify: &Inotify, folder: &Folder) -> io::Result<()> {
    match inotify.add_watch(folder.path(), interesting()) {
        // It is looked for again at each rescan.
        Ok(_) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => {
            let text = format!("watching {}: {errno}", folder.path().display());
            Err(io::Error::new(io::Error::from(errno).kind(), text))
        }
    }
}

async fn next(inotify: &AsyncFd<Watch>) -> io::Result<Seen> {
    loop {
        let mut ready = inotify.readable().await?;
        match ready.try_io(|watch| watch.get_ref().0.read_events().map_err(io::Error::from)) {
            Ok(events) => match seen(events?) {
                Seen::Files { complete, created } if complete.is_empty() && created.is_empty() => {}
                seen => return Ok(seen),
            },
            Err(_would_block) => {}
        }
    }
}

fn seen(events: Vec<InotifyEvent>) -> Seen {
    let lost = AddWatchFlags::IN_Q_OVERFLOW
        | AddWatchFlags::IN_IGNORED
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF;
    let (mut complete, mut created) = (BTreeSet::new(), BTreeSet::new());
    for event in events {
        if event.mask.intersects(lost) {
            return Seen::Anything;
        }
        let Some(name) = event.name else { continue };
        let names = if event.mask.contains(AddWatchFlags::IN_CREATE) { &mut created } else { &mut complete };
        names.insert(PathBuf::from(name));
    }
    Seen::Files { complete, created }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n";

    async fn next(events: &mut mpsc::Receiver<SourceEvent>) -> SourceEvent {
        tokio::time::timeout(Duration::from_secs(10), events.recv()).await.expect("an event comes").unwrap()
    }

    #[tokio::test]
    async fn changes_are_told_without_waiting_for_a_rescan() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, mut events) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let config = SourceConfig {
            folder: dir.path().to_owned(),
            node_name: "n".to_owned(),
            begun: BTreeSet::new(),
            rescan: Duration::from_secs(3600),
        };
        let task = tokio::spawn(watch(config, sender, stop.clone()));
        assert!(matches!(next(&mut events).await, SourceEvent::Synced));

        std::fs::write(dir.path().join("a.yaml"), MANIFEST).unwrap();
        assert!(matches!(next(&mut events).await, SourceEvent::Set { .. }));

        std::os::unix::fs::symlink(dir.path().join("a.yaml"), dir.path().join("b.yaml")).unwrap();
        assert!(matches!(next(&mut events).await, SourceEvent::Bad { .. }));

        std::fs::write(dir.path().join(".new"), MANIFEST.replace("image: i", "image: j")).unwrap();
        std::fs::rename(dir.path().join(".new"), dir.path().join("a.yaml")).unwrap();
        assert!(matches!(next(&mut events).await, SourceEvent::Gone { .. }));
        assert!(matches!(next(&mut events).await, SourceEvent::Set { .. }));

        stop.cancel();
        task.await.unwrap().unwrap();
    }
}
