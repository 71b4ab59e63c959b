//! A store as a file: what `snapshot save` writes and `snapshot restore` reads, the same for every backend.
//!
//! Lines of JSON: a head `{"format","version","revision"}`, an entry `{"key","value"}` each with its value in base64,
//! and a foot `{"entries","sha256"}` over the lines before it, so that a torn file is known as such. What ends by
//! itself (Events) is left out.

use std::io::{self, BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::{Change, Expect, Range, Revision, Store, StoreError, VALUE_LIMIT};

const FORMAT: &str = "orlop-store";
const VERSION: u32 = 1;
/// Entries read or written at a time.
const PART: usize = 500;
/// No line is longer: a value in base64, a key, and room for the words around them.
const LINE_LIMIT: u64 = (VALUE_LIMIT as u64).div_ceil(3) * 4 + 8192;

/// Why a dump was not written or not restored.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error("the snapshot cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The file's content.
    #[error("line {line} of the snapshot: {reason}")]
    Content {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Restoring is for empty stores only.
    #[error("the store is not empty: it has {key}; restore into a new one")]
    NotEmpty {
        /// A key that is there.
        key: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Head { format: String, version: u32, revision: Revision },
    Entry { key: String, value: String },
    Foot { entries: u64, sha256: String },
}

/// Writes all that the store holds at one revision. The store goes on working meanwhile. Returns the number of entries.
pub async fn dump(store: &dyn Store, to: &mut (dyn Write + Send)) -> Result<u64, DumpError> {
    let mut hash = Context::new(&SHA256);
    let mut write = |line: &Line, hash: Option<&mut Context>| {
        let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
        text.push(b'\n');
        if let Some(hash) = hash {
            hash.update(&text);
        }
        to.write_all(&text)
    };
    let mut entries = 0;
    let mut range = Range { limit: Some(PART), ..Range::default() };
    loop {
        let page = store.list(range.clone()).await?;
        if range.at.is_none() {
            let head = Line::Head { format: FORMAT.to_owned(), version: VERSION, revision: page.revision };
            write(&head, Some(&mut hash))?;
        }
        range.at = Some(page.revision);
        range.after = page.what.entries.last().map(|e| e.key.clone()).or(range.after);
        for entry in page.what.entries.into_iter().filter(|e| !e.transient) {
            write(&Line::Entry { key: entry.key, value: STANDARD.encode(&entry.value) }, Some(&mut hash))?;
            entries += 1;
        }
        if page.what.remaining == 0 {
            break;
        }
    }
    write(&Line::Foot { entries, sha256: hex(hash) }, None)?;
    to.flush()?;
    Ok(entries)
}

/// Fills an empty store from a dump; the file is checked as a whole before anything is written. Returns the number of
/// entries. The keys get new revisions, above those of the dump where the store can do that.
pub async fn restore(store: &dyn Store, from: &mut (dyn BufRead + Send)) -> Result<u64, DumpError> {
    let (revision, entries) = read(from)?;
    let found = store.list(Range { limit: Some(1), ..Range::default() }).await?;
    if let Some(entry) = found.what.entries.into_iter().next() {
        return Err(DumpError::NotEmpty { key: entry.key });
    }
    store.start_after(revision).await?;
    let count = entries.len() as u64;
    stream::iter(entries)
        .map(|(key, value)| async move {
            let change = Change::Put { value: value.into(), ttl: None };
            store.write(&key, Expect::Absent, change).await.map(drop)
        })
        .buffer_unordered(PART)
        .try_collect::<()>()
        .await?;
    Ok(count)
}

type Entries = Vec<(String, Vec<u8>)>;

/// Reads a dump to its end.
fn read(from: &mut (dyn BufRead + Send)) -> Result<(Revision, Entries), DumpError> {
    let mut hash = Context::new(&SHA256);
    let mut revision = None;
    let mut entries = Entries::new();
    let mut text = Vec::new();
    let mut line = 0;
    loop {
        line += 1;
        let wrong = |reason: String| DumpError::Content { line, reason };
        text.clear();
        io::Read::take(&mut *from, LINE_LIMIT).read_until(b'\n', &mut text)?;
        if text.last() != Some(&b'\n') {
            return Err(wrong("the snapshot ends here, before its last line".to_owned()));
        }
        match serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))? {
            Line::Head { format, version, revision: at } if line == 1 => {
                if (format.as_str(), version) != (FORMAT, VERSION) {
                    return Err(wrong(format!(
                        "the format is {format:?} {version}, not {FORMAT:?} {VERSION}"
                    )));
                }
                revision = Some(at);
            }
            Line::Entry { key, value } if line > 1 => {
                let value = STANDARD.decode(value).map_err(|e| wrong(format!("value of {key}: {e}")))?;
                entries.push((key, value));
            }
            Line::Foot { entries: count, sha256 } => {
                let found = hex(hash);
                if count != entries.len() as u64 || sha256 != found {
                    let read = entries.len();
                    return Err(wrong(format!(
                        "{count} entries and sha256 {sha256} were written, {read} and {found} read"
                    )));
                }
                let revision = revision.ok_or_else(|| wrong("the first line is missing".to_owned()))?;
                return Ok((revision, entries));
            }
            Line::Head { .. } | Line::Entry { .. } => {
                return Err(wrong("this line is not in its place".to_owned()));
            }
        }
        hash.update(&text);
    }
}

fn hex(hash: Context) -> String {
    hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
