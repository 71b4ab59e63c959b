//! The leases on disk, as the reference plugin keeps them: `DIR/NETWORK/ADDRESS` holds the container's id and the interface,
//! `last_reserved_ip.N` the address that range set N gave out last, and whoever reads or writes holds a flock on `lock`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use api_cni::{Code, Error};

/// The longest lease in bytes: an id has 255 at most, an interface 15.
const MAX_FILE: u64 = 1024;

/// Who holds an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) container_id: String,
    pub(crate) ifname: String,
}

impl Lease {
    fn to_text(&self) -> String {
        format!("{}\r\n{}", self.container_id, self.ifname)
    }

    /// None for a file whose writer died before it wrote: nobody holds that address.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (container_id, ifname) = text.split_once("\r\n").unwrap_or((text, ""));
        (!container_id.is_empty()).then(|| Self { container_id: container_id.into(), ifname: ifname.into() })
    }

    /// Of something that is named as an address and is no lease: it is not given out, and nobody's DEL removes it.
    fn unreadable() -> Self {
        Self { container_id: String::new(), ifname: String::new() }
    }

    pub(super) fn is_unreadable(&self) -> bool {
        self.container_id.is_empty()
    }

    /// A lease without an interface was written by a reference plugin before 0.8, for which the container had only one.
    fn is_held_by(&self, holder: &Self) -> bool {
        self.container_id == holder.container_id && (self.ifname == holder.ifname || self.ifname.is_empty())
    }
}

/// A network's leases, locked until this is dropped.
pub(super) struct Store {
    dir: PathBuf,
    _lock: File,
}

fn failed(op: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let text = format!("{op} {}", path.display());
    move |error| Error::new(Code::IO, format!("{text}: {error}"))
}

impl Store {
    /// Makes the network's folder if need be, and waits for the lock.
    pub(super) fn open(data_dir: &Path, network: &str) -> Result<Self, Error> {
        let dir = data_dir.join(network);
        DirBuilder::new().recursive(true).mode(0o755).create(&dir).map_err(failed("making", &dir))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("opening", &path))?;
        lock.lock().map_err(failed("locking", &path))?;
        Ok(Self { dir, _lock: lock })
    }

    /// The same, without making a folder: none when the network has no leases.
    pub(super) fn open_existing(data_dir: &Path, network: &str) -> Result<Option<Self>, Error> {
        if data_dir.join(network).is_dir() { Self::open(data_dir, network).map(Some) } else { Ok(None) }
    }

    /// All leases.
    pub(super) fn leases(&self) -> Result<Vec<(IpAddr, Lease)>, Error> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed("listing", &self.dir))? {
            let entry = entry.map_err(failed("listing", &self.dir))?;
            let Some(addr) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                found.push((addr, Lease::unreadable()));
                continue;
            }
            let text = match read(&entry.path(), MAX_FILE) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("reading", &entry.path())(error)),
            };
            found.extend(Lease::parse(&text).map(|lease| (addr, lease)));
        }
        Ok(found)
    }

    /// The address that a range set gave out last.
    pub(super) fn last_reserved(&self, set: usize) -> Option<IpAddr> {
        read(&self.last_path(set), MAX_FILE).ok()?.trim().parse().ok()
    }

    fn last_path(&self, set: usize) -> PathBuf {
        self.dir.join(format!("last_reserved_ip.{set}"))
    }

    /// Writes a lease. The caller found the address free under this lock, so a file that is there has no holder.
    pub(super) fn reserve(&self, addr: IpAddr, lease: &Lease, set: usize) -> Result<(), Error> {
        let path = self.dir.join(addr.to_string());
        write(&path, &lease.to_text()).inspect_err(|_| drop(fs::remove_file(&path)))?;
        write(&self.last_path(set), &addr.to_string())
    }

    /// Removes a holder's leases; one that has none is fine.
    pub(super) fn release(&self, holder: &Lease) -> Result<(), Error> {
        for (addr, lease) in self.leases()? {
            if lease.is_held_by(holder) {
                let path = self.dir.join(addr.to_string());
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("removing", &path)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// At most this many bytes of a file. What is no text in it is replaced, so that it is an id that nobody has.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let attempt = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    attempt().map_err(failed("writing", path))
}
