//! A request: the environment and the configuration, checked.

use std::path::PathBuf;

use api_cni::{
    Args, Code, Error, NetResult, PluginConf, Version, check_container_id, check_ifname, check_network_name,
    go_json,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sys::netns::NetNs;

/// What a plugin is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Del,
    Check,
    Status,
    Gc,
}

impl Verb {
    fn parse(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "ADD" => Self::Add,
            "DEL" => Self::Del,
            "CHECK" => Self::Check,
            "STATUS" => Self::Status,
            "GC" => Self::Gc,
            _ => {
                return Err(Error::new(
                    Code::INVALID_ENVIRONMENT,
                    format!("CNI_COMMAND {text:?} is not known"),
                ));
            }
        })
    }

    fn concerns_an_attachment(self) -> bool {
        matches!(self, Self::Add | Self::Del | Self::Check)
    }
}

/// A request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    pub(crate) version: Version,
    pub(crate) container_id: String,
    /// Empty when the runtime knows none, which only DEL allows.
    pub(crate) netns: String,
    pub(crate) ifname: String,
    /// As it is written: only those plugins decode it that want something of it.
    args: String,
    pub(crate) path: Vec<PathBuf>,
    pub(crate) conf: PluginConf,
    /// The whole configuration, for a plugin's own keys.
    config: Value,
    /// The request's bytes, which an exec'd IPAM plugin is given.
    pub(crate) stdin: Vec<u8>,
    may_be_own_netns: bool,
}

impl Call {
    /// Checks everything that is the same for all plugins. An error carries the request's version once that is known.
    pub(crate) fn parse(environment: &dyn Fn(&str) -> String, stdin: Vec<u8>) -> Result<Self, Error> {
        let verb = Verb::parse(&environment("CNI_COMMAND"))?;
        let (container_id, netns, ifname) =
            (environment("CNI_CONTAINERID"), environment("CNI_NETNS"), environment("CNI_IFNAME"));
        let invalid = |error: api_cni::NameError| Error::new(Code::INVALID_ENVIRONMENT, error.to_string());
        if verb.concerns_an_attachment() {
            let missing: Vec<_> = [
                ("CNI_CONTAINERID", container_id.is_empty()),
                ("CNI_NETNS", netns.is_empty() && verb != Verb::Del),
                ("CNI_IFNAME", ifname.is_empty()),
            ]
            .into_iter()
            .filter_map(|(name, missing)| missing.then_some(name))
            .collect();
            if !missing.is_empty() {
                return Err(Error::new(Code::INVALID_ENVIRONMENT, "required variables are missing")
                    .with_details(missing.join(", ")));
            }
            check_container_id(&container_id).map_err(invalid)?;
            check_ifname(&ifname).map_err(invalid)?;
        }
        if stdin.len() > api_cni::MAX_BYTES {
            return Err(Error::new(Code::DECODE, "the configuration is too long"));
        }
        let undecodable = |error| Error::new(Code::DECODE, format!("decoding the configuration: {error}"));
        let config: Value = serde_json::from_slice(&stdin).map_err(undecodable)?;
        let conf: PluginConf = go_json::from_value(config.clone()).map_err(undecodable)?;
        let version = Version::parse(&conf.cni_version).ok_or_else(|| {
            let known: Vec<_> = Version::ALL.iter().map(|version| version.as_str()).collect();
            Error::new(
                Code::INCOMPATIBLE_VERSION,
                format!("the configuration's cniVersion {:?} is not known", conf.cni_version),
            )
            .with_details(format!("known are {}", known.join(", ")))
        })?;
        let too_old = match verb {
            Verb::Check => !version.has_check(),
            Verb::Gc | Verb::Status => !version.has_gc(),
            _ => false,
        };
        if too_old {
            return Err(Error::new(
                Code::INCOMPATIBLE_VERSION,
                format!("CNI {version} does not have this verb"),
            ));
        }
        check_network_name(&conf.name)
            .map_err(|error| Error::new(Code::INVALID_CONFIG, error.to_string()))?;
        if verb == Verb::Check && conf.prev_result.is_none() {
            return Err(Error::new(Code::INVALID_CONFIG, "CHECK needs prevResult"));
        }
        Ok(Self {
            verb,
            version,
            container_id,
            netns,
            ifname,
            args: environment("CNI_ARGS"),
            path: std::env::split_paths(&environment("CNI_PATH")).collect(),
            conf,
            config,
            stdin,
            may_be_own_netns: matches!(
                environment("CNI_NETNS_OVERRIDE").to_lowercase().as_str(),
                "1" | "true"
            ),
        })
    }

    /// The result of the plugins before, or on DEL and CHECK of the whole ADD.
    pub(crate) fn prev_result(&self) -> Result<Option<NetResult>, Error> {
        self.conf
            .prev_result
            .clone()
            .map(NetResult::from_value)
            .transpose()
            .map_err(|error| Error::new(Code::DECODE, format!("decoding prevResult: {error}")))
    }

    /// The container's network namespace, which must not be this process's own.
    pub(crate) fn open_netns(&self) -> Result<NetNs, Error> {
        let fail = |error| {
            Error::new(Code::INVALID_NETNS, format!("opening the network namespace {}: {error}", self.netns))
        };
        let netns = NetNs::open(self.netns.as_ref()).map_err(fail)?;
        if !self.may_be_own_netns && netns.is_same(&NetNs::current().map_err(fail)?).map_err(fail)? {
            return Err(Error::new(
                Code::INVALID_NETNS,
                format!("{} is the plugin's own network namespace", self.netns),
            ));
        }
        Ok(netns)
    }

    /// Who owns what this request makes: the network, the container and the interface. None of them has spaces.
    pub(crate) fn owner(&self) -> String {
        owner(&self.conf.name, &self.container_id, &self.ifname)
    }

    /// The owners that a GC spares. A GC without the list of them is refused: it would take everything away.
    pub(crate) fn valid_owners(&self) -> Result<Vec<String>, Error> {
        let valid = self
            .conf
            .valid_attachments
            .as_ref()
            .ok_or_else(|| Error::new(Code::INVALID_CONFIG, "GC needs cni.dev/valid-attachments"))?;
        Ok(valid.iter().map(|one| owner(&self.conf.name, &one.container_id, &one.ifname)).collect())
    }

    /// A plugin's own keys of the configuration.
    pub(crate) fn keys<T: DeserializeOwned>(&self) -> Result<T, Error> {
        go_json::from_value(self.config.clone())
            .map_err(|error| Error::new(Code::INVALID_CONFIG, format!("decoding the configuration: {error}")))
    }

    /// CNI_ARGS, for ADD. A key that none of our plugins knows is refused, unless it is told to be ignored or may be meant
    /// for a foreign IPAM plugin. What DEL and CHECK are about was decided by the ADD.
    pub(crate) fn args(&self) -> Result<Args, Error> {
        if self.verb != Verb::Add {
            return Ok(Args::default());
        }
        let args = Args::parse(&self.args)?;
        if matches!(self.conf.ipam.kind.as_str(), "" | crate::host_local::NAME) {
            args.check_known(&["IP", "MAC"])?;
        }
        Ok(args)
    }

    /// A string argument: by `runtimeConfig`, by `args.cni`, or by CNI_ARGS, in this order.
    pub(crate) fn argument(&self, key: &str, cni_args_key: &str) -> Result<Option<String>, Error> {
        let args = self.args()?;
        let by_args = || self.conf.args.as_ref()?.get("cni")?.get(key)?.as_str();
        let by_runtime = self.conf.runtime_config.get(key).and_then(Value::as_str);
        Ok(by_runtime.or_else(by_args).or_else(|| args.get(cni_args_key)).map(str::to_owned))
    }
}

/// The text that marks what belongs to an attachment.
///
/// The kernel keeps 127 bytes of it. A longer one ends in a hash, so that two long ids stay apart.
pub(crate) fn owner(network: &str, container_id: &str, ifname: &str) -> String {
    let text = format!("{network} {container_id} {ifname}");
    if text.len() <= 120 { text } else { format!("{:.100}#{:016x}", text, hash(&text)) }
}

/// FNV-1a: the same on every machine and in every version, which the names that it makes must be.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)], stdin: &str) -> Result<Call, Error> {
        let get =
            |key: &str| pairs.iter().find(|(k, _)| *k == key).map_or(String::new(), |(_, v)| (*v).to_owned());
        Call::parse(&get, stdin.as_bytes().to_vec())
    }

    const ADD: [(&str, &str); 4] =
        [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c"), ("CNI_NETNS", "/x"), ("CNI_IFNAME", "eth0")];

    #[test]
    fn what_is_missing_is_named_and_the_netns_may_miss_on_del_only() {
        let error = parse(&[("CNI_COMMAND", "ADD")], "{}").unwrap_err();
        assert_eq!((error.code, error.details.as_str()), (4, "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"));
        let del = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0")];
        assert!(parse(&del, r#"{"name":"n"}"#).is_ok());
        assert_eq!(parse(&[("CNI_COMMAND", "FLY")], "{}").unwrap_err().code, 4);
    }

    #[test]
    fn versions_and_names_are_checked() {
        assert_eq!(parse(&ADD, r#"{"name":"n","cniVersion":"1.2.0"}"#).unwrap_err().code, 1);
        assert_eq!(parse(&ADD, r#"{"cniVersion":"1.1.0"}"#).unwrap_err().code, 7);
        assert_eq!(parse(&ADD, "[").unwrap_err().code, 6);
        assert_eq!(parse(&ADD, r#"{"name":"n"}"#).unwrap().version, Version::V0_1_0);
        assert_eq!(
            parse(&[("CNI_COMMAND", "GC")], r#"{"name":"n","cniVersion":"1.0.0"}"#).unwrap_err().code,
            1
        );
        let mut check = ADD;
        check[0].1 = "CHECK";
        assert_eq!(parse(&check, r#"{"name":"n","cniVersion":"0.3.1"}"#).unwrap_err().code, 1);
        assert_eq!(parse(&check, r#"{"name":"n","cniVersion":"1.0.0"}"#).unwrap_err().code, 7);
    }

    #[test]
    fn an_owner_fits_into_a_comment_and_long_ones_stay_apart() {
        assert_eq!(owner("net", "abc", "eth0"), "net abc eth0");
        let long = |tail: &str| owner("net", &format!("{}{tail}", "a".repeat(200)), "eth0");
        assert!(long("x").len() <= 120 && long("x").starts_with("net a"));
        assert_ne!(long("x"), long("y"));
    }
}
