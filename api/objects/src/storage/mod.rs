//! The rules of the storage group.

pub(crate) mod attachment;
pub(crate) mod class;
pub(crate) mod csi;

#[cfg(test)]
mod tests;
