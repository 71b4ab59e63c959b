//! The verbs over a whole list of plugins, by libcni's rules.

use std::collections::BTreeSet;
use std::path::Path;

use api_cni::{CacheEntry, NetResult, NetworkList, check_container_id};
use serde_json::{Map, Value, json};

use super::exec::{self, Request};
use super::{Attachment, Config, Error, IFNAME, PodIps, Step, cache, config};

/// Runs the plugins in order, each with the result of the one before, and keeps the last result for DEL.
pub(super) async fn add(config: &Config, attachment: &Attachment, step: Step<'_>) -> Result<PodIps, Error> {
    check_container_id(&attachment.sandbox_id)?;
    let dir = config.conf_dir.clone();
    let loaded = tokio::task::spawn_blocking(move || config::load(&dir)).await??;
    loopback_up(&attachment.netns).await?;
    step("lo");
    let outcome = add_list(config, attachment, &loaded, step).await;
    if outcome.is_err() {
        // A plugin before the failed one has made something; its own error is what the caller wants to see.
        if let Err(error) = del_list(config, attachment, &loaded.list, None, step).await {
            tracing::warn!(sandbox = attachment.sandbox_id, %error, "undoing a failed attachment");
        }
    }
    outcome
}

async fn add_list(
    config: &Config,
    attachment: &Attachment,
    loaded: &config::Loaded,
    step: Step<'_>,
) -> Result<PodIps, Error> {
    let list = &loaded.list;
    let runtime_args = attachment.runtime_args();
    let mut prev: Option<Value> = None;
    for plugin in &list.plugins {
        let stdin = list.request(plugin, prev.take(), &runtime_args, Map::new());
        let output = exec::run(config, &plugin.kind, &request("ADD", attachment, stdin)).await?;
        step(&plugin.kind);
        let value: Value =
            serde_json::from_slice(&output).map_err(|error| exec::broken(&plugin.kind, "ADD", error))?;
        prev = Some(value);
    }
    let value = prev.unwrap_or_default();
    let last = list.plugins.last().map_or("", |plugin| &plugin.kind);
    let result = NetResult::from_value(value.clone()).map_err(|error| exec::broken(last, "ADD", error))?;
    let (mut ips, v6): (Vec<_>, Vec<_>) =
        result.container_addresses().map(|cidr| cidr.addr).partition(|addr| addr.is_ipv4());
    ips.extend(v6);
    if ips.is_empty() {
        return Err(Error::NoAddress(list.name.clone()));
    }
    let mut entry = CacheEntry::new(&list.name, &attachment.sandbox_id, IFNAME, &loaded.bytes);
    entry.netns = attachment.netns.display().to_string();
    entry.cni_args = attachment.cni_args();
    entry.capability_args = runtime_args;
    entry.result = Some(value);
    entry.owner.clone_from(&config.owner);
    let dir = config.cache_dir.clone();
    tokio::task::spawn_blocking(move || cache::write(&dir, &entry)).await??;
    Ok(PodIps { ips, result })
}

/// By the configuration that the pod was attached with; without a cached one, by the present configuration.
pub(super) async fn del(config: &Config, attachment: &Attachment, step: Step<'_>) -> Result<(), Error> {
    check_container_id(&attachment.sandbox_id)?;
    let entries = entries_of(config, attachment).await?;
    if entries.is_empty() {
        let dir = config.conf_dir.clone();
        return match tokio::task::spawn_blocking(move || config::load(&dir)).await? {
            Ok(loaded) => del_list(config, attachment, &loaded.list, None, step).await,
            // Never attached, and nothing to ask: that is detached.
            Err(_) => Ok(()),
        };
    }
    let mut first = Ok(());
    for entry in entries {
        first = first.and(del_entry(config, attachment, entry, step).await);
    }
    first
}

async fn del_entry(
    config: &Config,
    attachment: &Attachment,
    entry: CacheEntry,
    step: Step<'_>,
) -> Result<(), Error> {
    let list = match cached_list(&entry) {
        Some(list) => list,
        None => config::load(&config.conf_dir)?.list,
    };
    let prev = prev_result(&list, entry.result.clone());
    del_list(config, attachment, &list, prev, step).await?;
    let dir = config.cache_dir.clone();
    tokio::task::spawn_blocking(move || cache::remove(&dir, &entry)).await?
}

/// All plugins in reverse. libcni stops at the first error; going on leaves less behind, and the next DEL repeats it.
async fn del_list(
    config: &Config,
    attachment: &Attachment,
    list: &NetworkList,
    prev: Option<Value>,
    step: Step<'_>,
) -> Result<(), Error> {
    let runtime_args = attachment.runtime_args();
    let mut first = Ok(());
    for plugin in list.plugins.iter().rev() {
        let stdin = list.request(plugin, prev.clone(), &runtime_args, Map::new());
        let outcome = exec::run(config, &plugin.kind, &request("DEL", attachment, stdin)).await;
        step(&plugin.kind);
        first = first.and(outcome.map(drop));
    }
    first
}

pub(super) async fn check(config: &Config, attachment: &Attachment) -> Result<(), Error> {
    check_container_id(&attachment.sandbox_id)?;
    let Some(entry) = entries_of(config, attachment).await?.pop() else {
        return Err(exec::broken("cache", "CHECK", "the pod is not attached"));
    };
    let list =
        cached_list(&entry).ok_or_else(|| exec::broken("cache", "CHECK", "the cached file is broken"))?;
    if !list.version.has_check() || list.disable_check {
        return Ok(());
    }
    let prev = prev_result(&list, entry.result);
    for plugin in &list.plugins {
        let stdin = list.request(plugin, prev.clone(), &attachment.runtime_args(), Map::new());
        exec::run(config, &plugin.kind, &request("CHECK", attachment, stdin)).await?;
    }
    Ok(())
}

pub(super) async fn status(config: &Config) -> Result<(), Error> {
    let list = config::load(&config.conf_dir)?.list;
    if !list.version.has_gc() {
        return Ok(());
    }
    for plugin in &list.plugins {
        let stdin = list.request(plugin, None, &Map::new(), Map::new());
        exec::run(config, &plugin.kind, &Request { verb: "STATUS", stdin, ..Request::default() }).await?;
    }
    Ok(())
}

/// DEL for each of our cached attachments that is not valid, then the plugins' GC. Errors are collected, the first returned.
pub(super) async fn gc(config: &Config, valid: &BTreeSet<String>) -> Result<(), Error> {
    let dir = config.cache_dir.clone();
    let entries = tokio::task::spawn_blocking(move || cache::read_all(&dir)).await??;
    let (keep, stale): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|entry| entry.owner != config.owner || valid.contains(&entry.container_id));
    let mut first = Ok(());
    for entry in stale {
        let attachment = attachment_of(&entry);
        first = first.and(del_entry(config, &attachment, entry, &|_| {}).await);
    }
    let list = match config::load(&config.conf_dir) {
        Ok(loaded) => loaded.list,
        Err(_) => return first,
    };
    if !list.version.has_gc() || list.disable_gc {
        return first;
    }
    let others = keep.iter().filter(|entry| entry.network_name == list.name);
    let live: BTreeSet<(&str, &str)> = others
        .map(|entry| (entry.container_id.as_str(), entry.if_name.as_str()))
        .chain(valid.iter().map(|id| (id.as_str(), IFNAME)))
        .collect();
    let live: Value =
        live.into_iter().map(|(id, ifname)| json!({"containerID": id, "ifname": ifname})).collect();
    for plugin in &list.plugins {
        let mut extra = Map::new();
        extra.insert("cni.dev/valid-attachments".into(), live.clone());
        extra.insert("cni.dev/attachments".into(), live.clone());
        let stdin = list.request(plugin, None, &Map::new(), extra);
        let outcome =
            exec::run(config, &plugin.kind, &Request { verb: "GC", stdin, ..Request::default() }).await;
        first = first.and(outcome.map(drop));
    }
    first
}

async fn entries_of(config: &Config, attachment: &Attachment) -> Result<Vec<CacheEntry>, Error> {
    let (dir, id) = (config.cache_dir.clone(), attachment.sandbox_id.clone());
    tokio::task::spawn_blocking(move || cache::read_of(&dir, &id, IFNAME)).await?
}

fn cached_list(entry: &CacheEntry) -> Option<NetworkList> {
    let list = NetworkList::parse_list(&entry.config()?).ok()?;
    (!list.plugins.is_empty()).then_some(list)
}

/// Since 0.4.0, in the network's version. A cached result that cannot be read is none: DEL must work without it.
fn prev_result(list: &NetworkList, result: Option<Value>) -> Option<Value> {
    if !list.version.has_check() {
        return None;
    }
    NetResult::from_value(result?).ok().map(|result| result.to_value(list.version))
}

/// An attachment of ours that nobody remembers but the cache.
fn attachment_of(entry: &CacheEntry) -> Attachment {
    let arg = |key: &str| {
        entry.cni_args.iter().find(|[k, _]| k == key).map(|[_, value]| value.clone()).unwrap_or_default()
    };
    let ports = entry.capability_args.get("portMappings").cloned().unwrap_or_default();
    Attachment {
        sandbox_id: entry.container_id.clone(),
        netns: entry.netns.clone().into(),
        pod_name: arg("K8S_POD_NAME"),
        pod_namespace: arg("K8S_POD_NAMESPACE"),
        pod_uid: arg("K8S_POD_UID"),
        port_mappings: serde_json::from_value(ports).unwrap_or_default(),
        ..Attachment::default()
    }
}

fn request(verb: &'static str, attachment: &Attachment, stdin: Vec<u8>) -> Request {
    // A namespace that is gone is said by an empty path; plugins that insist on opening it would fail the DEL.
    let netns = if verb == "DEL" && !attachment.netns.exists() {
        String::new()
    } else {
        attachment.netns.display().to_string()
    };
    let args: Vec<_> =
        attachment.cni_args().into_iter().map(|[key, value]| format!("{key}={value}")).collect();
    Request {
        verb,
        container_id: attachment.sandbox_id.clone(),
        netns,
        ifname: IFNAME,
        args: args.join(";"),
        stdin,
    }
}

/// Brings up `lo` in the pod without a plugin: one netlink message on a thread that ends.
async fn loopback_up(netns: &Path) -> Result<(), Error> {
    let path = netns.to_owned();
    tokio::task::spawn_blocking(move || sys::netlink::loopback_up(&path))
        .await?
        .map_err(|source| Error::Loopback { netns: netns.to_owned(), source })
}
