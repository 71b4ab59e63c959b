//! Gets pods' packets forwarded on a host where another program forbids it.
//!
//! Docker, for one, sets the policy of iptables' chain FORWARD to DROP. No other table can overrule a drop, so the bridge is
//! allowed in that very chain, by the two rules that iptables itself would write. They stay as long as the bridge, and are
//! put back by the next ADD when someone flushed the chain. See `docs/adr/cni-nftables.md`.

use api_cni::{Code, Error};
use sys::nft::expr::{Expr, Meta, Reg, Verdict};
use sys::nft::{Batch, Family, Hook, Nft};
use sys::sysctl;

const TABLE: &str = "filter";
const CHAIN: &str = "FORWARD";

/// Switches on forwarding, for IPv6 only when the network has it.
pub(crate) fn enable(v6: bool) -> Result<(), Error> {
    let set = |key: &str| {
        sysctl::set(key, "1").map_err(|error| Error::new(Code::PLUGIN, format!("setting {key}: {error}")))
    };
    set("net/ipv4/ip_forward")?;
    if v6 { set("net/ipv6/conf/all/forwarding") } else { Ok(()) }
}

/// Lets the bridge's packets pass iptables' FORWARD where its policy would drop them.
pub(crate) fn allow(nft: &mut Nft, bridge: &str, v6: bool) -> Result<(), Error> {
    let failed = |error: sys::Error| Error::new(Code::PLUGIN, error.to_string());
    for family in [Family::Ip, Family::Ip6].into_iter().take(if v6 { 2 } else { 1 }) {
        let chain = nft.chain(family, TABLE, CHAIN).map_err(failed)?;
        if !chain.is_some_and(|chain| chain.drops) {
            continue;
        }
        let rules = nft.rules(family, TABLE, CHAIN).map_err(failed)?;
        let mut batch = Batch::new();
        for (meta, way) in [(Meta::OutIfname, "out"), (Meta::InIfname, "in")] {
            let comment = format!("orlop-cni {bridge} {way}");
            if !rules.iter().any(|rule| rule.comment == comment) {
                batch.insert_rule(family, TABLE, CHAIN, &accept(meta, bridge), &comment);
            }
        }
        nft.commit(&batch).map_err(failed)?;
    }
    Ok(())
}

/// What else drops forwarded packets and cannot be allowed from here, in words for a person.
pub(crate) fn obstacles() -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(chains) = Nft::open().map_err(drop).and_then(|mut nft| nft.chains().map_err(drop)) {
        let iptables = |family: u8| family == Family::Ip as u8 || family == Family::Ip6 as u8;
        for chain in chains.iter().filter(|chain| chain.drops && chain.hook == Some(Hook::Forward as u32)) {
            if !(iptables(chain.family) && chain.table == TABLE && chain.name == CHAIN) {
                found.push(format!(
                    "the nftables chain {} {} drops what it does not know",
                    chain.table, chain.name
                ));
            }
        }
    }
    let legacy = std::fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    if legacy.lines().any(|table| table == TABLE) {
        found
            .push("iptables-legacy has a filter table; if its FORWARD drops, accept the bridge there".into());
    }
    found
}

/// The rule that `iptables -i BRIDGE -j ACCEPT` writes: it compares the name with its closing NUL, and counts.
fn accept(meta: Meta, bridge: &str) -> [Expr; 4] {
    let mut name = bridge.as_bytes().to_vec();
    name.push(0);
    [Expr::meta(meta, Reg(0)), Expr::equal(Reg(0), &name), Expr::counter(), Expr::verdict(Verdict::Accept)]
}
