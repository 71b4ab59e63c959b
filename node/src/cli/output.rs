//! Printing results to standard output.

use std::io::{self, Write as _};

use serde::Serialize;

use super::{Format, Plain, PlainOutput};
use crate::Error;

/// Prints text. A reader that left early, such as `head`, is no failure.
pub(super) fn print(text: &str) -> Result<(), Error> {
    write(text.as_bytes()).map_err(|error| Error::Failed(format!("writing the output: {error}")))
}

/// Writes and flushes bytes; a closed pipe counts as written.
pub(super) fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints a value as JSON or YAML, or else the text that `text` makes of it.
pub(super) fn plain<T: Serialize>(
    format: PlainOutput,
    value: &T,
    text: impl FnOnce() -> String,
) -> Result<(), Error> {
    let format = match format.output {
        Plain::Text => Format::Table,
        Plain::Json => Format::Json,
        Plain::Yaml => Format::Yaml,
    };
    show(format, value, |_| text())
}

/// Prints a value as JSON or YAML, or else the table that `table` makes of it.
pub(super) fn show<T: Serialize>(
    format: Format,
    value: &T,
    table: impl FnOnce(bool) -> String,
) -> Result<(), Error> {
    match format {
        Format::Table => print(&table(false)),
        Format::Wide => print(&table(true)),
        Format::Json => {
            let text = serde_json::to_string_pretty(value).map_err(|error| Error::failed(&error))?;
            print(&(text + "\n"))
        }
        Format::Yaml => {
            let text = serde_saphyr::to_string(value).map_err(|error| Error::failed(&error))?;
            print(&text)
        }
    }
}
