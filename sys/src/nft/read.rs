//! What the kernel has: elements, chains and rules.

use rustix::io::Errno;

use super::attributes::{Attributes, find, find_number, find_text, walk};
use super::batch::{Family, Key, SUBSYSTEM, element_list};
use super::{Answer, Nft};
use crate::error::Error;

const GETCHAIN: u8 = 4;
const GETRULE: u8 = 7;
const GETSETELEM: u8 = 13;
const GETGEN: u8 = 16;

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its key.
    pub key: Key,
    /// Its value; empty in a set.
    pub value: Vec<u8>,
    /// Its comment, which says whose it is.
    pub comment: String,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainInfo {
    /// The number of its table's family.
    pub family: u8,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The number of its hook, for a base chain.
    pub hook: Option<u32>,
    /// Whether it drops what no rule decides.
    pub drops: bool,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// What deletes it.
    pub handle: u64,
    /// Its comment; empty when it has none.
    pub comment: String,
}

impl Nft {
    /// The number of the present ruleset: every commit of anybody makes another one.
    pub fn generation(&mut self) -> Result<u32, Error> {
        let fail = |errno| Error::new("reading", "the generation of nftables", errno);
        let answers = self.query(SUBSYSTEM, GETGEN, 0, &[], false).map_err(fail)?;
        answers.iter().find_map(|answer| find_number(&answer.body, 1)).ok_or_else(|| fail(Errno::BADMSG))
    }

    /// The element with this key; in a set of ranges, the one that the key's start lies in.
    pub fn element(
        &mut self,
        family: Family,
        table: &str,
        set: &str,
        key: &Key,
    ) -> Result<Option<Element>, Error> {
        let body = element_list(table, set, key.encode()).0;
        match self.query(SUBSYSTEM, GETSETELEM, family as u8, &body, false) {
            Ok(answers) => Ok(answers.iter().flat_map(elements).next()),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::new("reading an element of", format_args!("{table} {set}"), errno)),
        }
    }

    /// All elements; none when there is no such table or set.
    pub fn elements(&mut self, family: Family, table: &str, set: &str) -> Result<Vec<Element>, Error> {
        let body = Attributes::default().text(1, table).text(2, set).0;
        match self.query(SUBSYSTEM, GETSETELEM, family as u8, &body, true) {
            Ok(answers) => Ok(answers.iter().flat_map(elements).collect()),
            Err(Errno::NOENT) => Ok(Vec::new()),
            Err(errno) => Err(Error::new("listing elements of", format_args!("{table} {set}"), errno)),
        }
    }

    /// A chain.
    pub fn chain(&mut self, family: Family, table: &str, chain: &str) -> Result<Option<ChainInfo>, Error> {
        let body = Attributes::default().text(1, table).text(3, chain).0;
        match self.query(SUBSYSTEM, GETCHAIN, family as u8, &body, false) {
            Ok(answers) => Ok(answers.iter().find_map(chain_info)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::new("reading chain", format_args!("{table} {chain}"), errno)),
        }
    }

    /// The chains of all tables and families.
    pub fn chains(&mut self) -> Result<Vec<ChainInfo>, Error> {
        let answers = self
            .query(SUBSYSTEM, GETCHAIN, 0, &[], true)
            .map_err(|errno| Error::new("listing chains", "", errno))?;
        Ok(answers.iter().filter_map(chain_info).collect())
    }

    /// The rules of a chain in their order; none when there is no such chain.
    pub fn rules(&mut self, family: Family, table: &str, chain: &str) -> Result<Vec<RuleInfo>, Error> {
        let body = Attributes::default().text(1, table).text(2, chain).0;
        match self.query(SUBSYSTEM, GETRULE, family as u8, &body, true) {
            Ok(answers) => Ok(answers.iter().filter_map(rule_info).collect()),
            Err(Errno::NOENT) => Ok(Vec::new()),
            Err(errno) => Err(Error::new("listing rules of", format_args!("{table} {chain}"), errno)),
        }
    }
}

pub(super) fn elements(answer: &Answer) -> Vec<Element> {
    let value = |element: &[u8], kind| find(find(element, kind)?, 1).map(<[u8]>::to_vec);
    walk(find(&answer.body, 3).unwrap_or_default())
        .filter_map(|(_, element)| {
            Some(Element {
                key: Key { start: value(element, 1)?, end: value(element, 10) },
                value: value(element, 2).unwrap_or_default(),
                comment: find(element, 6).map(comment).unwrap_or_default(),
            })
        })
        .collect()
}

pub(super) fn chain_info(answer: &Answer) -> Option<ChainInfo> {
    let body = &answer.body;
    Some(ChainInfo {
        family: answer.family,
        table: find_text(body, 1)?,
        name: find_text(body, 3)?,
        hook: find(body, 4).and_then(|place| find_number(place, 1)),
        drops: find_number(body, 5) == Some(0),
    })
}

pub(super) fn rule_info(answer: &Answer) -> Option<RuleInfo> {
    let handle = u64::from_be_bytes(find(&answer.body, 3)?.try_into().ok()?);
    Some(RuleInfo { handle, comment: find(&answer.body, 7).map(comment).unwrap_or_default() })
}

/// The text of type 0 among user data, which is a list of type, length, value.
pub(super) fn comment(mut data: &[u8]) -> String {
    while let [kind, length, rest @ ..] = data {
        let Some(value) = rest.get(..usize::from(*length)) else { break };
        if *kind == 0 {
            let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
            return String::from_utf8_lossy(&value[..end]).into_owned();
        }
        data = &rest[usize::from(*length)..];
    }
    String::new()
}
