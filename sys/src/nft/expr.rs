//! Expressions, of which rules are made, and the parts of keys.
//!
//! A rule loads parts of a packet into registers, compares or looks them up there, and acts. Registers here are the 16
//! of 4 bytes; a concatenation lies in consecutive ones, each part padded to 4 bytes.

use super::attributes::Attributes;
use super::batch::Family;

/// A part of a key or of a value of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// An IPv4 address.
    Ip4,
    /// An IPv6 address.
    Ip6,
    /// The number of a transport protocol.
    Protocol,
    /// A port.
    Port,
    /// An interface's name.
    Ifname,
}

impl Part {
    /// The number by which `nft` knows the type, to print it, and its length.
    fn describe(self) -> (u32, u32) {
        match self {
            Self::Ip4 => (7, 4),
            Self::Ip6 => (8, 16),
            Self::Protocol => (12, 1),
            Self::Port => (13, 2),
            Self::Ifname => (41, 16),
        }
    }

    /// How many registers it takes.
    fn registers(self) -> u32 {
        self.describe().1.div_ceil(4)
    }
}

/// The type and length of a concatenation. `nft` gives each type 6 bits.
pub(super) fn layout(parts: &[Part]) -> (u32, u32) {
    match parts {
        [part] => part.describe(),
        _ => parts.iter().fold((0, 0), |(kind, length), part| {
            (kind << 6 | part.describe().0, length + part.registers() * 4)
        }),
    }
}

/// The bytes of a key or value: each part padded to 4 bytes, unless there is only one.
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    match parts {
        [part] => part.to_vec(),
        _ => parts.iter().fold(Vec::new(), |mut bytes, part| {
            bytes.extend(*part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        }),
    }
}

/// The bytes of an interface's name as a part of a key.
pub fn ifname(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

/// A register of 4 bytes, 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reg(pub u32);

impl Reg {
    fn number(self) -> u32 {
        8 + self.0
    }
}

/// What is loaded from the packet's surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Meta {
    /// The name of the interface that it came in by; 16 bytes.
    InIfname = 6,
    /// The name of the interface that it leaves by; 16 bytes.
    OutIfname = 7,
    /// Its network protocol: 2 for IPv4, 10 for IPv6; 1 byte.
    Family = 15,
    /// Its transport protocol; 1 byte.
    Protocol = 16,
}

/// An action that ends a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Let the packet pass this chain.
    Accept,
    /// Throw the packet away.
    Drop,
    /// Go on in another chain and come back.
    Jump(&'a str),
    /// Go on after the rule that jumped here; in a base chain, let pass.
    Return,
}

/// One expression of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    name: &'static str,
    data: Attributes,
}

fn data(value: &[u8]) -> Attributes {
    Attributes::default().bytes(1, value)
}

impl Expr {
    fn new(name: &'static str, data: Attributes) -> Self {
        Self { name, data }
    }

    pub(super) fn encode(&self) -> Attributes {
        Attributes::default().text(1, self.name).nest(2, self.data.clone())
    }

    /// Loads from the packet's surroundings.
    pub fn meta(what: Meta, to: Reg) -> Self {
        Self::new("meta", Attributes::default().number(2, what as u32).number(1, to.number()))
    }

    fn payload(base: u32, offset: u32, length: u32, to: Reg) -> Self {
        let data =
            Attributes::default().number(1, to.number()).number(2, base).number(3, offset).number(4, length);
        Self::new("payload", data)
    }

    /// Loads the source address.
    pub fn source(part: Part, to: Reg) -> Self {
        if part == Part::Ip6 { Self::payload(1, 8, 16, to) } else { Self::payload(1, 12, 4, to) }
    }

    /// Loads the destination address.
    pub fn destination(part: Part, to: Reg) -> Self {
        if part == Part::Ip6 { Self::payload(1, 24, 16, to) } else { Self::payload(1, 16, 4, to) }
    }

    /// Loads the destination port.
    pub fn destination_port(to: Reg) -> Self {
        Self::payload(2, 2, 2, to)
    }

    /// Goes on if the register has this value.
    pub fn equal(reg: Reg, value: &[u8]) -> Self {
        Self::compare(reg, 0, value)
    }

    /// Goes on if the register has another value.
    pub fn unequal(reg: Reg, value: &[u8]) -> Self {
        Self::compare(reg, 1, value)
    }

    fn compare(reg: Reg, op: u32, value: &[u8]) -> Self {
        Self::new("cmp", Attributes::default().number(1, reg.number()).number(2, op).nest(3, data(value)))
    }

    /// Keeps the bits of the mask.
    pub fn mask(reg: Reg, mask: &[u8]) -> Self {
        let zero = vec![0; mask.len()];
        let data = Attributes::default()
            .number(1, reg.number())
            .number(2, reg.number())
            .number(3, mask.len() as u32)
            .nest(4, data(mask))
            .nest(5, self::data(&zero));
        Self::new("bitwise", data)
    }

    /// Goes on if the connection's destination was translated.
    pub fn translated() -> [Self; 3] {
        const STATUS: u32 = 2;
        const DST_NAT: u32 = 1 << 5;
        let reg = Reg(0);
        [
            Self::new("ct", Attributes::default().number(2, STATUS).number(1, reg.number())),
            Self::mask(reg, &DST_NAT.to_ne_bytes()),
            Self::unequal(reg, &[0; 4]),
        ]
    }

    /// Goes on if the destination is an address of this host.
    pub fn to_this_host() -> [Self; 2] {
        const ADDRESS_TYPE: u32 = 3;
        const DESTINATION: u32 = 2;
        const LOCAL: u32 = 2;
        let fib =
            Attributes::default().number(3, DESTINATION).number(2, ADDRESS_TYPE).number(1, Reg(0).number());
        [Self::new("fib", fib), Self::equal(Reg(0), &LOCAL.to_ne_bytes())]
    }

    /// Goes on if the key that begins in the register is in the set.
    pub fn lookup(set: &str, key: Reg) -> Self {
        Self::new("lookup", Attributes::default().text(1, set).number(2, key.number()))
    }

    /// The same in a map, whose value then begins in the other register.
    pub fn lookup_value(map: &str, key: Reg, value: Reg) -> Self {
        Self::new(
            "lookup",
            Attributes::default().text(1, map).number(2, key.number()).number(3, value.number()),
        )
    }

    /// Translates the destination to the address and the port in the registers.
    pub fn dnat(family: Family, address: Reg, port: Reg) -> Self {
        const DNAT: u32 = 1;
        let data = Attributes::default()
            .number(1, DNAT)
            .number(2, family as u32)
            .number(3, address.number())
            .number(5, port.number());
        Self::new("nat", data)
    }

    /// Translates the source to the address of the interface that the packet leaves by.
    pub fn masquerade() -> Self {
        Self::new("masq", Attributes::default())
    }

    /// Counts packets and bytes.
    pub fn counter() -> Self {
        Self::new("counter", Attributes::default())
    }

    /// Decides.
    pub fn verdict(verdict: Verdict<'_>) -> Self {
        let code: i32 = match verdict {
            Verdict::Drop => 0,
            Verdict::Accept => 1,
            Verdict::Jump(_) => -3,
            Verdict::Return => -5,
        };
        let mut inner = Attributes::default().number(1, code as u32);
        if let Verdict::Jump(chain) = verdict {
            inner = inner.text(2, chain);
        }
        let data = Attributes::default().number(1, 0).nest(2, Attributes::default().nest(2, inner));
        Self::new("immediate", data)
    }
}
