//! The pod network that an instance brings when the machine has none.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::Error;
use crate::layout::Layout;

/// The plugins that `orlop-cni` is.
const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];
const FILE: &str = "10-orlop.conflist";

/// What a person may say of the network that `up` brings.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "The network that is brought when the machine has no CNI configuration")]
pub(crate) struct Flags {
    /// The pods' addresses
    #[arg(long, value_name = "CIDR", value_parser = subnet)]
    pod_cidr: Option<String>,
    /// The pods' bridge
    #[arg(long, value_name = "NAME", value_parser = interface)]
    bridge: Option<String>,
    /// The nft table of masquerading and host ports
    #[arg(long, value_name = "NAME", value_parser = table)]
    nft_table: Option<String>,
    /// The CNI network's name
    #[arg(long, value_name = "NAME", value_parser = network)]
    network_name: Option<String>,
    /// host-local's leases
    #[arg(long, value_name = "DIR")]
    cni_lease_dir: Option<PathBuf>,
}

impl Flags {
    /// Puts the flags into the layout. Says whether there was one.
    pub(crate) fn apply(&self, layout: &mut Layout) -> Result<bool, Error> {
        let leases = self.cni_lease_dir.as_ref().map(std::path::absolute).transpose();
        let leases = leases.map_err(|error| Error::Usage(format!("--cni-lease-dir: {error}")))?;
        let explicit = *self != Self::default();
        for (name, flag) in [
            (&mut layout.pod_cidr, &self.pod_cidr),
            (&mut layout.bridge, &self.bridge),
            (&mut layout.nft_table, &self.nft_table),
            (&mut layout.network, &self.network_name),
        ] {
            if let Some(given) = flag {
                name.clone_from(given);
            }
        }
        if let Some(leases) = leases {
            layout.cni_leases = leases;
        }
        Ok(explicit)
    }
}

/// An IPv4 subnet with room for a gateway and a pod, spelled with its first address.
fn subnet(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no IPv4 subnet such as 10.192.0.0/16");
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
    let bits: u32 = bits.parse().ok().filter(|bits| (8..=30).contains(bits)).ok_or_else(wrong)?;
    let first = Ipv4Addr::from(u32::from(address) & (u32::MAX << (32 - bits)));
    if first == address { Ok(text.to_owned()) } else { Err(format!("{text:?} begins at {first}/{bits}")) }
}

/// What the kernel takes as a link's name (dev_valid_name).
fn interface(text: &str) -> Result<String, String> {
    let fits = (1..16).contains(&text.len()) && !matches!(text, "." | "..");
    if fits && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        Ok(text.to_owned())
    } else {
        Err("a link's name has 1 to 15 bytes without spaces, / and :".to_owned())
    }
}

/// What nft(8) takes as an identifier without quotes, so that a person can name the table.
fn table(text: &str) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if first && rest && text.len() < 128 {
        Ok(text.to_owned())
    } else {
        Err("a table's name begins with a letter or _, and goes on with letters, digits, _, - and ."
            .to_owned())
    }
}

/// The CNI specification's form of a network's name.
fn network(text: &str) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if first && rest {
        Ok(text.to_owned())
    } else {
        Err("a network's name begins with a letter or digit, and goes on with these, _, - and .".to_owned())
    }
}

/// A bridge with masquerading, addresses from the instance's subnet, and host ports.
fn conflist(layout: &Layout) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": layout.network,
        "plugins": [
            {
                "type": "bridge",
                "bridge": layout.bridge,
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "nftTable": layout.nft_table,
                "ipam": {
                    "type": "host-local",
                    "dataDir": layout.cni_leases,
                    "ranges": [[{ "subnet": layout.pod_cidr }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "nftTable": layout.nft_table, "capabilities": { "portMappings": true } },
        ],
    })
}

/// Where CNI's files lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The configuration.
    pub(crate) conf_dir: &'a Path,
    /// The plugins.
    pub(crate) bin_dir: &'a Path,
}

/// Writes the configuration when the folder has none, and links the plugins that the folder lacks to `orlop-cni`.
///
/// What somebody else put there stays as it is. Our own file is written anew when the flags (`explicit`) ask for
/// something else: new pods follow it. Returns the file that was written.
pub(crate) fn provide(
    layout: &Layout,
    place: &Place<'_>,
    orlop_cni: &Path,
    explicit: bool,
) -> Result<Option<PathBuf>, Error> {
    let bringing = |error: io::Error| Error::Failed(format!("bringing a pod network: {error}"));
    link_plugins(place.bin_dir, orlop_cni).map_err(bringing)?;
    std::fs::create_dir_all(place.conf_dir).map_err(bringing)?;
    let path = place.conf_dir.join(FILE);
    let wanted = format!("{:#}\n", conflist(layout));
    match configurations(place.conf_dir).map_err(bringing)?.first() {
        None => {}
        Some(first) if *first == path => {
            let same = std::fs::read_to_string(&path).map_err(bringing)? == wanted;
            if same || !explicit {
                return Ok(None);
            }
        }
        Some(_) if !explicit => return Ok(None),
        Some(first) => {
            let text = format!(
                "the network is {}'s; flags that describe another one have no effect",
                first.display()
            );
            return Err(Error::Usage(text));
        }
    }
    // The CRI daemon looks at complete files only: a hidden name until it is one.
    let unfinished = place.conf_dir.join(format!(".{FILE}"));
    std::fs::write(&unfinished, wanted)
        .and_then(|()| std::fs::rename(&unfinished, &path))
        .map_err(bringing)?;
    Ok(Some(path))
}

fn link_plugins(folder: &Path, orlop_cni: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for plugin in PLUGINS {
        let link = folder.join(plugin);
        // A link whose target has gone (another build's folder) is replaced; anything that works is not ours to touch.
        if link.exists() {
            continue;
        }
        match std::fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => symlink(orlop_cni, &link)?,
        }
    }
    Ok(())
}

/// The files that libcni would read, in its order: the first one is the network.
fn configurations(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let known = path
            .extension()
            .is_some_and(|ending| ending == "conflist" || ending == "conf" || ending == "json");
        if known && !hidden {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folders {
        _root: tempfile::TempDir,
        conf: PathBuf,
        bin: PathBuf,
    }

    fn folders() -> Folders {
        let root = tempfile::tempdir().unwrap();
        let [conf, bin] = ["net.d", "bin"].map(|name| root.path().join(name));
        Folders { _root: root, conf, bin }
    }

    fn provide_in(folders: &Folders) -> Option<PathBuf> {
        provide_with(folders, &Flags::default()).unwrap()
    }

    fn provide_with(folders: &Folders, flags: &Flags) -> Result<Option<PathBuf>, Error> {
        let mut layout = Layout::new(Some(Path::new("/srv/orlop")));
        let explicit = flags.apply(&mut layout).unwrap();
        let place = Place { conf_dir: &folders.conf, bin_dir: &folders.bin };
        provide(&layout, &place, Path::new("/proc/self/exe"), explicit)
    }

    #[test]
    fn an_empty_machine_gets_a_network_of_the_instances_own() {
        let folders = folders();
        let written = provide_in(&folders).unwrap();
        let value: Value = serde_json::from_slice(&std::fs::read(written).unwrap()).unwrap();
        let layout = Layout::new(Some(Path::new("/srv/orlop")));
        assert_eq!(value["plugins"][0]["bridge"], layout.bridge);
        assert_eq!(value["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], layout.pod_cidr);
        assert!(folders.bin.join("portmap").exists());
    }

    #[test]
    fn a_configuration_that_is_there_stays() {
        let folders = folders();
        std::fs::create_dir_all(&folders.conf).unwrap();
        std::fs::write(folders.conf.join("05-calico.conflist"), "{}").unwrap();
        assert_eq!(provide_in(&folders), None);
        assert_eq!(std::fs::read_dir(&folders.conf).unwrap().count(), 1);
    }

    #[test]
    fn plugins_of_others_stay_and_dangling_links_are_mended() {
        let folders = folders();
        std::fs::create_dir_all(&folders.bin).unwrap();
        std::fs::write(folders.bin.join("bridge"), "theirs").unwrap();
        symlink("/nonexistent/orlop-cni", folders.bin.join("portmap")).unwrap();
        provide_in(&folders);
        assert_eq!(std::fs::read(folders.bin.join("bridge")).unwrap(), b"theirs");
        assert_eq!(std::fs::read_link(folders.bin.join("portmap")).unwrap(), Path::new("/proc/self/exe"));
    }

    #[test]
    fn flags_change_our_own_network_and_are_refused_beside_another() {
        let folders = folders();
        provide_in(&folders);
        let flags = Flags { bridge: Some("other0".into()), ..Flags::default() };
        let written = provide_with(&folders, &flags).unwrap().unwrap();
        assert!(std::fs::read_to_string(written).unwrap().contains("\"other0\""));
        assert_eq!(provide_with(&folders, &flags).unwrap(), None, "nothing was to change");
        assert_eq!(provide_in(&folders), None, "without flags it stays as it was made");

        std::fs::write(folders.conf.join("05-calico.conflist"), "{}").unwrap();
        let refused = provide_with(&folders, &flags).unwrap_err();
        assert!(matches!(&refused, Error::Usage(text) if text.contains("05-calico.conflist")), "{refused}");
    }

    #[test]
    fn names_and_subnets_are_checked_before_they_are_written_down() {
        assert_eq!(subnet("10.192.0.0/16").unwrap(), "10.192.0.0/16");
        for wrong in ["garbage", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/31", "10.0.0.1/24", "fd00::/64"] {
            assert!(subnet(wrong).is_err(), "{wrong}");
        }
        assert!(subnet("10.0.0.1/24").unwrap_err().contains("begins at 10.0.0.0/24"));
        for (check, right, wrong) in [
            (interface as fn(&str) -> _, "br-pods", ["", "a b", "a/b", "sixteen-bytes-xx"]),
            (table, "orlop-cni", ["", "x y", "1x", "a\"b"]),
            (network, "pods.1", ["", "-x", "a/b", "a b"]),
        ] {
            assert!(check(right).is_ok());
            wrong.iter().for_each(|wrong| assert!(check(wrong).is_err(), "{wrong}"));
        }
    }
}
