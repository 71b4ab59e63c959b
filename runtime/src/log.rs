//! The log file of `--log`, whose lines a shim reads.
//!
//! Warnings wait until the verb has succeeded: podman reads the whole file of a failed verb as one JSON object.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// `time="…" level=… msg="…"`
    #[default]
    Text,
    /// One object per line.
    Json,
}

/// Where messages go.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Standard error without it.
    pub(crate) file: Option<PathBuf>,
    /// How lines look.
    pub(crate) format: Format,
    warnings: RefCell<Vec<String>>,
}

impl Log {
    /// A log to a file, or to standard error. The file is there from now on, since callers open it without looking
    /// whether anything was logged.
    pub(crate) fn new(file: Option<PathBuf>, format: Format) -> Self {
        if let Some(path) = &file {
            let _ = OpenOptions::new().append(true).create(true).open(path);
        }
        Self { file, format, warnings: RefCell::default() }
    }

    /// Remembers a warning.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.warnings.borrow_mut().push(text.into());
    }

    /// Writes the warnings of a verb that succeeded.
    pub(crate) fn write_warnings(&self) {
        for warning in self.warnings.borrow_mut().drain(..) {
            self.line("warning", &warning);
        }
    }

    /// Writes the one line of a verb that failed. With a log file it is also said on standard error, since some
    /// callers only read that.
    pub(crate) fn error(&self, text: &str) {
        self.line("error", text);
        if self.file.is_some() {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    fn line(&self, level: &str, text: &str) {
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let line = match self.format {
            Format::Json => serde_json::json!({ "level": level, "msg": text, "time": time }).to_string(),
            Format::Text => format!("time={time:?} level={level} msg={text:?}"),
        };
        let Some(path) = &self.file else {
            let _ = writeln!(std::io::stderr(), "{line}");
            return;
        };
        // A log that cannot be written must not fail the verb.
        if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) {
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }
}
