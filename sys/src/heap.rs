//! The C library's heap (malloc(3)): how much memory it keeps that nobody uses.
//!
//! Left alone, glibc makes up to eight arenas for each processor, keeps what was freed in all of them, and after the
//! first large block that is freed puts large ones among the small ones. A daemon that was busy for a second would
//! be several times as large as what it holds, for ever.
#![allow(unsafe_code)]

/// So many arenas: enough that two busy threads do not wait for each other.
const ARENAS: i32 = 2;
/// Blocks of at least so many bytes are mapped by themselves, and so unmapped when they are freed.
const MAPPED_FROM: i32 = 128 << 10;

/// Bounds what the heap keeps. To be called before there is a second thread.
pub fn bound() {
    for (parameter, value) in [(libc::M_ARENA_MAX, ARENAS), (libc::M_MMAP_THRESHOLD, MAPPED_FROM)] {
        // SAFETY: mallopt takes no pointers; a parameter that it does not know is not set.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives the pages in which nothing is used any more back to the kernel. Takes a millisecond or so, in which other
/// threads wait when they allocate.
pub fn give_back() {
    // SAFETY: malloc_trim takes no pointers, and touches free memory only.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use super::{bound, give_back};

    /// Bytes of this process in memory.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    #[test]
    fn what_is_freed_between_used_blocks_is_given_back() {
        bound();
        let mut blocks: Vec<Box<[u8; 1024]>> = (0..65_536).map(|_| Box::new([1; 1024])).collect();
        let full = resident();
        // The last one stays, so that the heap cannot just end earlier.
        blocks.drain(..65_535);
        give_back();
        let left = resident();
        assert!(left + (48 << 20) < full, "{full} bytes became {left}");
    }
}
