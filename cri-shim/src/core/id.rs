//! Ids of sandboxes and containers.

/// 64 lower-case hexadecimal digits: cAdvisor and log agents take a cgroup of that name for a container.
pub(crate) fn from_random(bytes: [u8; 32]) -> String {
    hex::encode(bytes)
}

/// Whether a file name is one of ours.
pub(crate) fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
