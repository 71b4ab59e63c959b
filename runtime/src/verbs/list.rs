//! `list`: all containers.

use std::os::unix::fs::MetadataExt;

use super::{Context, Verb};
use crate::cli::{Args, switch, value};
use crate::error::{Error, Result};

pub(super) const VERB: Verb = Verb {
    name: "list",
    usage: "[command options]",
    about: "list containers",
    flags: &[value("format").or("f"), switch("quiet").or("q")],
    stop: false,
    failure: 1,
    prefix: "",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    if context.root_given && !context.store.exists() {
        return Err(Error::said("the folder given with --root does not exist: no such file or directory"));
    }
    let containers = context.store.list()?;
    if args.has("quiet") {
        let ids: String = containers.iter().map(|container| format!("{}\n", container.state.id)).collect();
        crate::print(&ids)?;
        return Ok(0);
    }
    let mut rows = Vec::new();
    for container in &containers {
        let mut row = container.oci_state(container.status()?.name());
        let owner = std::fs::metadata(&container.folder).map(|metadata| metadata.uid()).unwrap_or(0);
        row.owner = if owner == 0 { "root".to_owned() } else { format!("#{owner}") };
        rows.push(row);
    }
    match args.text("format").unwrap_or("table") {
        "json" if rows.is_empty() => crate::print("null")?,
        // In the order of the state's fields, which some callers match as text.
        "json" => crate::print(&serde_json::to_string(&rows).unwrap_or_default())?,
        "table" => {
            let mut text = format!(
                "{:<36} {:<10} {:<10} {:<40} {:<32} {}\n",
                "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"
            );
            for row in rows {
                let row = serde_json::to_value(row).unwrap_or_default();
                let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                let pid = row["pid"].to_string();
                text += &format!(
                    "{:<36} {pid:<10} {:<10} {:<40} {:<32} {}\n",
                    field("id"),
                    field("status"),
                    field("bundle"),
                    field("created"),
                    field("owner")
                );
            }
            crate::print(&text)?;
        }
        other => return Err(Error::Usage(format!("invalid format option {other:?}"))),
    }
    Ok(0)
}
