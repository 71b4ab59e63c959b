//! What procfs says of a process.

use std::path::PathBuf;

use crate::{Result, fs};

/// The part of `/proc/PID/stat` that tells a process from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `Z`, … as in proc(5).
    pub state: char,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

impl Stat {
    /// Whether the process has ended, though it may not have been waited for.
    pub fn is_dead(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Reads `/proc/PID/stat`.
pub fn stat(pid: i32) -> Result<Option<Stat>> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    match fs::read(&path) {
        Ok(text) => Ok(parse_stat(&text)),
        Err(error) if error.errno == rustix::io::Errno::NOENT || error.errno == rustix::io::Errno::SRCH => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The name of a program may hold spaces and parentheses; what follows the last `)` is well-formed.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 22 of proc(5); the state was field 3.
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let stat = stat(pid).unwrap().unwrap();
        assert!(!stat.is_dead());
        assert!(stat.start_time > 0);
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let text = "7 (a) R 1) Z 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 0 0 18446744073709551615";
        assert_eq!(parse_stat(text), Some(Stat { state: 'Z', start_time: 4711 }));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = parse_stat(&text);
        }
    }
}
