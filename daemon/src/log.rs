//! One subscriber per process, whose level can be changed while it runs.

use std::str::FromStr;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// How lines look on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("unknown log format {other:?} (known: text, json)")),
        }
    }
}

/// Changes the level of a running process.
#[derive(Clone)]
pub struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    /// Sets the filter: a level, or directives such as `info,cri_shim=debug`.
    pub fn set(&self, directives: &str) -> Result<(), String> {
        let filter = filter(directives)?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// A word alone would be the name of a part, whose every line is wanted; who writes one means a level.
fn filter(directives: &str) -> Result<EnvFilter, String> {
    let wrong = |reason: String| format!("log level {directives:?}: {reason}");
    for directive in directives.split(',').map(str::trim) {
        // An empty word would parse as a level too.
        let level = !directive.is_empty() && directive.parse::<LevelFilter>().is_ok();
        if !level && !directive.contains(['=', '[']) {
            return Err(wrong(format!("{directive:?} is none of off, error, warn, info, debug, trace")));
        }
    }
    EnvFilter::try_new(directives).map_err(|error| wrong(error.to_string()))
}

/// Installs the process's subscriber; called once, by `main`.
pub fn init_logs(directives: &str, format: LogFormat) -> Result<LogHandle, String> {
    let filter = filter(directives)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(true);
    let registry = tracing_subscriber::registry().with(filter);
    let installed = match format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    installed.map_err(|error| error.to_string())?;
    Ok(LogHandle(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_level_and_not_the_name_of_a_part() {
        for right in ["info", "WARN", "info,cri_shim=debug", "off"] {
            assert!(filter(right).is_ok(), "{right}");
        }
        for wrong in ["nonsense", "", "info,loud", "x=loud"] {
            assert!(filter(wrong).unwrap_err().contains(&format!("{wrong:?}")), "{wrong}");
        }
    }
}
