//! host-local: gives out addresses of configured ranges and keeps the leases in files, which other host-locals read, too.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;

use api_cni::{Cidr, Code, Dns, Error, IpConfig, NetResult, Route, empty_is_none, go_json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::call::Call;
use crate::effect::{Effect, Effects, all};
use crate::plugin::Plugin;

mod range;
mod store;

#[cfg(test)]
mod tests;

use range::{Range, RangeSet};
pub(crate) use store::Lease;
use store::Store;

pub(crate) const NAME: &str = "host-local";
pub(crate) const PLUGIN: Plugin = Plugin { name: NAME, add, del, check, status, gc };

const DATA_DIR: &str = "/var/lib/cni/networks";

/// The keys of `ipam` that are ours.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Keys {
    /// A single range may stand in `ipam` itself.
    subnet: Option<Cidr>,
    #[serde(deserialize_with = "empty_is_none")]
    range_start: Option<IpAddr>,
    #[serde(deserialize_with = "empty_is_none")]
    range_end: Option<IpAddr>,
    #[serde(deserialize_with = "empty_is_none")]
    gateway: Option<IpAddr>,
    ranges: Vec<Vec<range::Keys>>,
    routes: Vec<Route>,
    resolv_conf: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DirKey {
    #[serde(default)]
    data_dir: PathBuf,
}

fn keys_of<T: DeserializeOwned>(call: &Call) -> Result<T, Error> {
    go_json::from_value(call.conf.ipam.object.clone().into())
        .map_err(|error| Error::new(Code::INVALID_CONFIG, format!("decoding ipam: {error}")))
}

/// Where the leases are. Nothing else of the configuration is looked at: a DEL must work with one that an ADD refused.
fn data_dir_of(call: &Call) -> Result<PathBuf, Error> {
    let DirKey { data_dir } = keys_of(call)?;
    Ok(if data_dir.as_os_str().is_empty() { DATA_DIR.into() } else { data_dir })
}

/// The checked configuration.
struct Conf {
    sets: Vec<RangeSet>,
    routes: Vec<Route>,
    data_dir: PathBuf,
    resolv_conf: Option<PathBuf>,
    wanted: Vec<IpAddr>,
}

fn conf_of(call: &Call) -> Result<Conf, Error> {
    let invalid = |text: String| Error::new(Code::INVALID_CONFIG, text);
    let keys: Keys = keys_of(call)?;
    let Keys { range_start, range_end, gateway, .. } = keys;
    let single = keys.subnet.map(|subnet| vec![range::Keys { subnet, range_start, range_end, gateway }]);
    let mut sets: Vec<_> = single.into_iter().chain(keys.ranges).collect();
    if let Some(value) = call.conf.runtime_config.get("ipRanges") {
        let more: Vec<Vec<range::Keys>> = go_json::from_value(value.clone())
            .map_err(|error| invalid(format!("decoding runtimeConfig.ipRanges: {error}")))?;
        // The runtime's ranges come first, as in the reference.
        sets.splice(0..0, more);
    }
    let sets = sets.into_iter().map(RangeSet::new).collect::<Result<Vec<_>, _>>()?;
    range::check_apart(&sets)?;
    range::check_expressible(&sets, call.version)?;
    if sets.is_empty() {
        return Err(invalid("ipam has no range".into()));
    }
    Ok(Conf {
        sets,
        routes: keys.routes,
        data_dir: data_dir_of(call)?,
        resolv_conf: (!keys.resolv_conf.as_os_str().is_empty()).then_some(keys.resolv_conf),
        wanted: wanted(call)?,
    })
}

#[cfg(test)]
pub(crate) fn decode(call: &Call) -> Result<(), Error> {
    conf_of(call).map(drop)
}

/// The addresses that are asked for: by CNI_ARGS, `args.cni.ips` and `runtimeConfig.ips`, with or without a prefix length.
fn wanted(call: &Call) -> Result<Vec<IpAddr>, Error> {
    let list = |name: &str, value: Option<&Value>| -> Result<Option<Vec<String>>, Error> {
        go_json::from_value(value.cloned().unwrap_or_default())
            .map_err(|error| Error::new(Code::INVALID_CONFIG, format!("decoding {name}: {error}")))
    };
    let by_args = call.conf.args.as_ref().and_then(|args| args.get("cni")?.get("ips"));
    let mut texts = list("args.cni.ips", by_args)?.unwrap_or_default();
    texts.extend(list("runtimeConfig.ips", call.conf.runtime_config.get("ips"))?.unwrap_or_default());
    texts.extend(call.args()?.get("IP").into_iter().flat_map(|text| text.split(',')).map(str::to_owned));
    let mut found = Vec::new();
    for text in texts {
        let addr = text.split('/').next().unwrap_or_default().parse().map_err(|_| {
            Error::new(Code::INVALID_CONFIG, format!("the wanted address {text:?} is no address"))
        })?;
        if !found.contains(&addr) {
            found.push(addr);
        }
    }
    Ok(found)
}

fn lease_of(call: &Call) -> Lease {
    Lease { container_id: call.container_id.clone(), ifname: call.ifname.clone() }
}

fn add<'a>(call: &'a Call, effects: &mut Effects<'a>) -> Result<NetResult, Error> {
    let conf = conf_of(call)?;
    let dns = conf.resolv_conf.as_ref().map(|path| read_resolv_conf(path)).transpose()?.unwrap_or_default();
    let lease = lease_of(call);
    let store = Store::open(&conf.data_dir, &call.conf.name)?;
    let held = store.leases()?;
    if let Some((addr, _)) = held.iter().find(|(_, held)| *held == lease) {
        let text = format!("{addr} is already held by {} {}", lease.container_id, lease.ifname);
        return Err(Error::new(Code::IPAM, text));
    }
    let taken: HashSet<IpAddr> = held.into_iter().map(|(addr, _)| addr).collect();
    let mut wanted = conf.wanted;
    let mut chosen = Vec::new();
    for (index, set) in conf.sets.iter().enumerate() {
        let mine = wanted.iter().position(|addr| set.range_of(*addr).is_some());
        let pick = match mine {
            Some(at) => set.pick_wanted(wanted.remove(at), &taken)?,
            None => set.pick(store.last_reserved(index), &taken).ok_or_else(|| exhausted(set))?,
        };
        chosen.push((index, pick));
    }
    if let Some(addr) = wanted.first() {
        return Err(Error::new(
            Code::INVALID_CONFIG,
            format!("the wanted address {addr} is in no range, or one too many"),
        ));
    }
    let (dir, name) = (conf.data_dir.clone(), call.conf.name.clone());
    let undo_lease = lease.clone();
    // The lock is held by `store` until the end of the act; the undo runs later and takes it again.
    effects
        .undoable(
            Effect::Reserve,
            move || {
                chosen
                    .iter()
                    .try_for_each(|(index, (addr, _))| store.reserve(*addr, &lease, *index))
                    .map(|()| chosen)
            },
            move || Store::open(&dir, &name)?.release(&undo_lease),
        )
        .map(|chosen| NetResult {
            ips: chosen.into_iter().map(|(_, (addr, range))| ip_config(addr, range)).collect(),
            routes: conf.routes,
            dns,
            ..NetResult::default()
        })
}

fn ip_config(addr: IpAddr, range: Range) -> IpConfig {
    let address = Cidr { addr, prefix: range.subnet.prefix };
    IpConfig { interface: None, address, gateway: range.gateway }
}

fn exhausted(set: &RangeSet) -> Error {
    Error::new(Code::IPAM, format!("no address is free in {set}"))
}

fn del(call: &Call) -> Result<(), Error> {
    let Some(store) = Store::open_existing(&data_dir_of(call)?, &call.conf.name)? else { return Ok(()) };
    Effects::new().perform(Effect::Release, || store.release(&lease_of(call)))
}

fn check(call: &Call) -> Result<(), Error> {
    let conf = conf_of(call)?;
    let lease = lease_of(call);
    let held = match Store::open_existing(&conf.data_dir, &call.conf.name)? {
        Some(store) => store.leases()?,
        None => Vec::new(),
    };
    let nothing = |what: &str| {
        Err(Error::new(Code::CHECK, format!("{} {} holds no {what}", lease.container_id, lease.ifname)))
    };
    if !held.iter().any(|(_, held)| *held == lease) {
        return nothing("address");
    }
    // Addresses of other ranges are another plugin's.
    let result = call.prev_result()?.unwrap_or_default();
    let ours = result.ips.iter().map(|ip| ip.address.addr);
    let mut ours = ours.filter(|addr| conf.sets.iter().any(|set| set.range_of(*addr).is_some()));
    match ours.find(|addr| !held.contains(&(*addr, lease.clone()))) {
        Some(addr) => nothing(&format!("lease of {addr}")),
        None => Ok(()),
    }
}

fn status(call: &Call) -> Result<(), Error> {
    let conf = conf_of(call)?;
    let Some(store) = Store::open_existing(&conf.data_dir, &call.conf.name)? else { return Ok(()) };
    let taken: HashSet<IpAddr> = store.leases()?.into_iter().map(|(addr, _)| addr).collect();
    match conf.sets.iter().find(|set| set.pick(None, &taken).is_none()) {
        Some(set) => Err(Error { code: Code::NOT_AVAILABLE, ..exhausted(set) }),
        None => Ok(()),
    }
}

fn gc(call: &Call) -> Result<(), Error> {
    let stale = stale_leases(call)?;
    let Some(store) = Store::open_existing(&data_dir_of(call)?, &call.conf.name)? else { return Ok(()) };
    Effects::new().perform(Effect::Release, || all(stale.iter().map(|lease| store.release(lease))))
}

/// The leases of a GC's network whose holders are not valid.
pub(crate) fn stale_leases(call: &Call) -> Result<Vec<Lease>, Error> {
    let valid = call.valid_owners()?;
    let Some(store) = Store::open_existing(&data_dir_of(call)?, &call.conf.name)? else {
        return Ok(Vec::new());
    };
    let held = store.leases()?.into_iter().map(|(_, lease)| lease);
    Ok(held
        .filter(|one| !one.is_unreadable())
        .filter(|one| !valid.contains(&crate::call::owner(&call.conf.name, &one.container_id, &one.ifname)))
        .collect())
}

/// Reads a resolver configuration into the result. Lines that mean nothing to CNI are passed over.
fn read_resolv_conf(path: &std::path::Path) -> Result<Dns, Error> {
    let text = store::read(path, api_cni::MAX_BYTES as u64)
        .map_err(|error| Error::new(Code::IO, format!("reading {}: {error}", path.display())))?;
    let mut dns = Dns::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let key = words.next().unwrap_or_default();
        let mut values = words.map(str::to_owned);
        match key {
            "nameserver" => dns.nameservers.extend(values.take(1)),
            "domain" => dns.domain = values.next_back().unwrap_or_default(),
            "search" => dns.search.extend(values),
            "options" => dns.options.extend(values),
            _ => {}
        }
    }
    Ok(dns)
}
