//! The table of plugins, and the way of a request through one of them.

use api_cni::{Code, Error, NetResult};
use serde_json::Value;

use crate::call::{Call, Verb};
use crate::effect::Effects;
use crate::{bridge, host_local, loopback, portmap};

/// A plugin: one function per verb.
pub(crate) struct Plugin {
    pub(crate) name: &'static str,
    pub(crate) add: for<'a> fn(&'a Call, &mut Effects<'a>) -> Result<NetResult, Error>,
    pub(crate) del: fn(&Call) -> Result<(), Error>,
    pub(crate) check: fn(&Call) -> Result<(), Error>,
    pub(crate) status: fn(&Call) -> Result<(), Error>,
    pub(crate) gc: fn(&Call) -> Result<(), Error>,
}

/// All of them.
pub(crate) const ALL: [Plugin; 4] = [bridge::PLUGIN, host_local::PLUGIN, loopback::PLUGIN, portmap::PLUGIN];

/// The plugin of this name.
pub(crate) fn find(name: &str) -> Option<&'static Plugin> {
    const TABLE: &[Plugin] = &ALL;
    TABLE.iter().find(|plugin| plugin.name == name)
}

/// Answers a request: a result for ADD, nothing for the other verbs, and errors in the request's version.
pub(crate) fn run(
    plugin: &Plugin,
    environment: &dyn Fn(&str) -> String,
    stdin: Vec<u8>,
) -> Result<Option<Value>, Error> {
    let call = Call::parse(environment, stdin)?;
    let outcome = match call.verb {
        Verb::Add => {
            let mut effects = Effects::new();
            let outcome = (plugin.add)(&call, &mut effects).and_then(|result| {
                let expressible = result.check_expressible(call.version);
                expressible.map_err(|error| Error::new(Code::INVALID_CONFIG, error.to_string()))?;
                Ok(result)
            });
            effects.finish(outcome).map(|result| Some(result.to_value(call.version)))
        }
        Verb::Del => (plugin.del)(&call).map(|()| None),
        Verb::Check => (plugin.check)(&call).map(|()| None),
        Verb::Status => (plugin.status)(&call).map(|()| None),
        Verb::Gc => (plugin.gc)(&call).map(|()| None),
    };
    outcome.map_err(|error| Error { cni_version: call.version.to_string(), ..error })
}
