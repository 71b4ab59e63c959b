//! A disk that can lose what was not synced, and that can be full.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a read sees.
    now: Vec<u8>,
    /// What survives a crash for certain.
    synced: Vec<u8>,
    /// Since the last sync, in order.
    unsynced: Vec<Effect>,
    /// Writes and syncs so far.
    effects: usize,
    /// After so many effects the power is gone.
    crash_at: Option<usize>,
    /// The disk cannot grow beyond this.
    capacity: Option<u64>,
    /// So many syncs from now one says that it failed, though it did not.
    lying_sync: Option<usize>,
}

#[derive(Debug, Clone)]
enum Effect {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Effect {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let begin = *offset as usize;
                if to.len() < begin + data.len() {
                    to.resize(begin + data.len(), 0);
                }
                to[begin..begin + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => to.resize(*length as usize, 0),
        }
    }
}

impl Disk {
    pub(crate) fn effects(&self) -> usize {
        self.0.lock().unwrap().effects
    }

    pub(crate) fn crash_at(&self, effects: usize) {
        self.0.lock().unwrap().crash_at = Some(effects);
    }

    pub(crate) fn limit(&self, bytes: Option<u64>) {
        self.0.lock().unwrap().capacity = bytes;
    }

    pub(crate) fn lie_at_sync(&self, number: Option<usize>) {
        self.0.lock().unwrap().lying_sync = number;
    }

    pub(crate) fn used(&self) -> u64 {
        self.0.lock().unwrap().now.len() as u64
    }

    pub(crate) fn spoil(&self) {
        self.0.lock().unwrap().now[64..4096].fill(0xa5);
    }

    /// The disk as it is found after the crash: of what was not synced, those effects are there that `kept` says.
    pub(crate) fn after_crash(&self, mut kept: impl FnMut() -> bool) -> Self {
        let state = self.0.lock().unwrap();
        let mut found = state.synced.clone();
        for effect in state.unsynced.iter().filter(|_| kept()) {
            effect.apply(&mut found);
        }
        Self(Arc::new(Mutex::new(State { now: found.clone(), synced: found, ..State::default() })))
    }

    fn effect(&self, effect: Option<Effect>) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.crash_at.is_some_and(|at| state.effects >= at) {
            return Err(io::Error::other("the power is gone"));
        }
        let end = match &effect {
            Some(Effect::Write(offset, data)) => offset + data.len() as u64,
            Some(Effect::Length(length)) => *length,
            None => 0,
        };
        if state.capacity.is_some_and(|capacity| end > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.effects += 1;
        match effect {
            Some(effect) => {
                effect.apply(&mut state.now);
                state.unsynced.push(effect);
            }
            None => {
                state.synced = state.now.clone();
                state.unsynced.clear();
                match state.lying_sync.take() {
                    Some(0) => return Err(io::Error::other("the sync failed, it says")),
                    later => state.lying_sync = later.map(|number| number - 1),
                }
            }
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.used())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.0.lock().unwrap();
        let begin = offset as usize;
        let found = state.now.get(begin..begin + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.effect(Some(Effect::Length(length)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.effect(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.effect(Some(Effect::Write(offset, data.to_vec())))
    }
}
