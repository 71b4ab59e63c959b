//! The rules of the kinds that take part in admission. Expressions are looked at for being there; nothing compiles them.

mod matching;
pub(crate) mod policy;
pub(crate) mod webhook;

#[cfg(test)]
mod tests;
