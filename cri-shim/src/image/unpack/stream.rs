//! The archive's bytes: decompressed, counted and hashed on the way.

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::super::digest::Hasher;

/// A frame that needs a larger window is refused: 128 MiB, as the zstd tool does without `--long`.
const LARGEST_WINDOW_LOG: u32 = 27;
const BUFFER: usize = 128 << 10;

/// gzip, zstd or plain, told by the first bytes and not by a media type, which is often wrong.
pub(super) fn decompress<'a>(archive: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut archive = BufReader::with_capacity(BUFFER, archive);
    let start = archive.fill_buf()?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(MultiGzDecoder::new(archive)));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(archive)?;
        decoder.window_log_max(LARGEST_WINDOW_LOG)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(archive))
}

/// Refuses to read more than a limit, and knows the digest of all that was read.
pub(super) struct Limited<R> {
    inner: R,
    left: u64,
    hasher: Hasher,
}

impl<R: Read> Limited<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit, hasher: Hasher::new() }
    }

    /// Reads what is left and gives the digest of everything.
    pub(super) fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other("the archive is larger than a layer may be"))?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
