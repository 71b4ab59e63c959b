//! Changes to the ruleset, collected for one commit.

use super::attributes::Attributes;
use super::expr::{Expr, Part, join, layout};
use super::{NLM_F_ACK, NLM_F_REQUEST, push_message};

pub(super) const SUBSYSTEM: u8 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEWTABLE: u8 = 0;
const DELTABLE: u8 = 2;
const NEWCHAIN: u8 = 3;
const NEWRULE: u8 = 6;
const DELRULE: u8 = 8;
const NEWSET: u8 = 9;
const NEWSETELEM: u8 = 12;
const DELSETELEM: u8 = 14;
const CREATE: u16 = 0x400;
const EXCL: u16 = 0x200;
const APPEND: u16 = 0x800;

/// The address family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// Both IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ip = 2,
    /// IPv6.
    Ip6 = 10,
}

/// Where a base chain is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// Packets that arrived.
    Prerouting = 0,
    /// Packets for this host.
    Input = 1,
    /// Packets that pass through.
    Forward = 2,
    /// Packets of this host.
    Output = 3,
    /// Packets that leave.
    Postrouting = 4,
}

/// A chain to add.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// Its name.
    pub name: &'a str,
    /// `filter` or `nat`, the hook and the priority of a base chain; none for a chain that is jumped to.
    pub base: Option<(&'a str, Hook, i32)>,
}

/// A set or map to add.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// Which parts a key has.
    pub key: &'a [Part],
    /// Which parts a value has; empty for a set.
    pub value: &'a [Part],
    /// Whether each part of a key is a range. Such a set must have several parts.
    pub ranges: bool,
}

/// The key of an element: one value, or everything between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub(super) start: Vec<u8>,
    pub(super) end: Option<Vec<u8>>,
}

impl Key {
    /// One value.
    pub fn one(parts: &[&[u8]]) -> Self {
        Self { start: join(parts), end: None }
    }

    /// For each part everything from `start` to `end`, both included.
    pub fn range(start: &[&[u8]], end: &[&[u8]]) -> Self {
        Self { start: join(start), end: Some(join(end)) }
    }

    pub(super) fn encode(&self) -> Attributes {
        let value = |bytes: &[u8]| Attributes::default().bytes(1, bytes);
        let element = Attributes::default().nest(1, value(&self.start));
        self.end.iter().fold(element, |element, end| element.nest(10, value(end)))
    }
}

struct Change {
    op: &'static str,
    target: String,
    kind: u8,
    flags: u16,
    family: u8,
    body: Vec<u8>,
}

/// Changes that take effect together.
#[derive(Default)]
pub struct Batch {
    changes: Vec<Change>,
    sets: u32,
    generation: Option<u32>,
}

impl Batch {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// No change, to be committed only while the ruleset is at this generation; otherwise the commit is `ERESTART`.
    pub fn at_generation(generation: u32) -> Self {
        Self { generation: Some(generation), ..Self::default() }
    }

    /// Whether there is no change.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The number of changes.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    fn push(
        &mut self,
        op: &'static str,
        target: String,
        kind: u8,
        flags: u16,
        family: Family,
        body: Attributes,
    ) {
        self.changes.push(Change { op, target, kind, flags, family: family as u8, body: body.0 });
    }

    /// Adds a table unless it is there.
    pub fn add_table(&mut self, family: Family, table: &str) {
        let body = Attributes::default().text(1, table).number(2, 0);
        self.push("adding table", table.into(), NEWTABLE, CREATE, family, body);
    }

    /// Deletes a table with all that is in it.
    pub fn delete_table(&mut self, family: Family, table: &str) {
        let body = Attributes::default().text(1, table);
        self.push("deleting table", table.into(), DELTABLE, 0, family, body);
    }

    /// Adds a chain unless it is there. A base chain lets pass what no rule decides.
    pub fn add_chain(&mut self, family: Family, table: &str, chain: Chain<'_>) {
        let mut body = Attributes::default().text(1, table).text(3, chain.name);
        if let Some((kind, hook, priority)) = chain.base {
            let place = Attributes::default().number(1, hook as u32).number(2, priority as u32);
            body = body.nest(4, place).text(7, kind).number(5, 1);
        }
        self.push("adding chain", format!("{table} {}", chain.name), NEWCHAIN, CREATE, family, body);
    }

    /// Deletes all rules of a chain.
    pub fn flush_chain(&mut self, family: Family, table: &str, chain: &str) {
        let body = Attributes::default().text(1, table).text(2, chain);
        self.push("flushing chain", format!("{table} {chain}"), DELRULE, 0, family, body);
    }

    /// Appends a rule.
    pub fn append_rule(&mut self, family: Family, table: &str, chain: &str, exprs: &[Expr], comment: &str) {
        self.rule(APPEND, family, table, chain, exprs, comment);
    }

    /// Puts a rule before all others.
    pub fn insert_rule(&mut self, family: Family, table: &str, chain: &str, exprs: &[Expr], comment: &str) {
        self.rule(0, family, table, chain, exprs, comment);
    }

    fn rule(&mut self, place: u16, family: Family, table: &str, chain: &str, exprs: &[Expr], comment: &str) {
        let list = exprs.iter().fold(Attributes::default(), |list, expr| list.nest(1, expr.encode()));
        let mut body = Attributes::default().text(1, table).text(2, chain).nest(4, list);
        if !comment.is_empty() {
            body = body.bytes(7, &comment_data(comment));
        }
        self.push("adding rule", format!("{table} {chain}"), NEWRULE, CREATE | place, family, body);
    }

    /// Deletes a rule by its handle.
    pub fn delete_rule(&mut self, family: Family, table: &str, chain: &str, handle: u64) {
        let body = Attributes::default().text(1, table).text(2, chain).bytes(3, &handle.to_be_bytes());
        self.push("deleting rule", format!("{table} {chain} {handle}"), DELRULE, 0, family, body);
    }

    /// Adds a set or a map unless it is there.
    pub fn add_set(&mut self, family: Family, table: &str, set: Set<'_>) {
        const INTERVAL: u32 = 4;
        const MAP: u32 = 8;
        const CONCATENATION: u32 = 0x80;
        self.sets += 1;
        let (key_type, key_len) = layout(set.key);
        let (value_type, value_len) = layout(set.value);
        let flags = if set.value.is_empty() { 0 } else { MAP }
            | if set.ranges { INTERVAL | CONCATENATION } else { 0 };
        let mut body = Attributes::default()
            .text(1, table)
            .text(2, set.name)
            .number(3, flags)
            .number(4, key_type)
            .number(5, key_len)
            .number(10, self.sets);
        if !set.value.is_empty() {
            body = body.number(6, value_type).number(7, value_len);
        }
        if set.ranges {
            let fields = set.key.iter().fold(Attributes::default(), |fields, part| {
                fields.nest(1, Attributes::default().number(1, layout(&[*part]).1))
            });
            body = body.nest(9, Attributes::default().nest(2, fields));
        }
        self.push("adding set", format!("{table} {}", set.name), NEWSET, CREATE, family, body);
    }

    /// Adds an element; one with this key is `EEXIST`. `value` is empty for a set. The comment says whose it is.
    pub fn add_element(
        &mut self,
        family: Family,
        table: &str,
        set: &str,
        key: &Key,
        value: &[u8],
        comment: &str,
    ) {
        let mut element = key.encode();
        if !value.is_empty() {
            element = element.nest(2, Attributes::default().bytes(1, value));
        }
        element = element.bytes(6, &comment_data(comment));
        let body = element_list(table, set, element);
        self.push("adding element", format!("{table} {set}"), NEWSETELEM, CREATE | EXCL, family, body);
    }

    /// Deletes an element; one that is gone is `ENOENT`.
    pub fn delete_element(&mut self, family: Family, table: &str, set: &str, key: &Key) {
        let body = element_list(table, set, key.encode());
        self.push("deleting element", format!("{table} {set}"), DELSETELEM, 0, family, body);
    }

    pub(super) fn change(&self, index: usize) -> (&'static str, &str) {
        self.changes.get(index).map_or(("committing", ""), |change| (change.op, change.target.as_str()))
    }

    pub(super) fn describe(&self) -> String {
        format!("{} nftables changes", self.changes.len())
    }

    pub(super) fn encode(&self, first: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let resource = u16::from(SUBSYSTEM);
        let begin = self.generation.map_or(Attributes::default(), |at| Attributes::default().number(1, at));
        push_message(&mut bytes, BATCH_BEGIN, NLM_F_REQUEST, first, 0, resource, &begin.0);
        for (index, change) in self.changes.iter().enumerate() {
            let ack = if index + 1 == self.changes.len() { NLM_F_ACK } else { 0 };
            let kind = u16::from(SUBSYSTEM) << 8 | u16::from(change.kind);
            let sequence = first + 1 + index as u32;
            push_message(
                &mut bytes,
                kind,
                NLM_F_REQUEST | ack | change.flags,
                sequence,
                change.family,
                0,
                &change.body,
            );
        }
        let end = first + 1 + self.changes.len() as u32;
        push_message(&mut bytes, BATCH_END, NLM_F_REQUEST, end, 0, resource, &[]);
        bytes
    }
}

pub(super) fn element_list(table: &str, set: &str, element: Attributes) -> Attributes {
    Attributes::default().text(1, table).text(2, set).nest(3, Attributes::default().nest(1, element))
}

/// The user data in which `nft` keeps a comment: type 0, length, text with its NUL.
fn comment_data(comment: &str) -> Vec<u8> {
    let text = &comment.as_bytes()[..comment.len().min(MAX_COMMENT)];
    let mut data = vec![0, (text.len() + 1) as u8];
    data.extend(text);
    data.push(0);
    data
}

/// The longest comment that is kept, in bytes; `nft` allows 128 with the NUL.
pub(super) const MAX_COMMENT: usize = 127;
