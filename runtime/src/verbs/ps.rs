//! `ps`: the processes of a container.

use super::{Context, Verb};
use crate::cli::{Args, value};
use crate::error::{Error, Result};

pub(super) const VERB: Verb = Verb {
    name: "ps",
    usage: "[command options] <container-id> [ps options]",
    about: "display the processes inside a container",
    flags: &[value("format").or("f")],
    stop: true,
    failure: 1,
    prefix: "",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    let Some((id, options)) = args.operands.split_first() else {
        return Err(Error::Usage("\"ps\" requires at least 1 argument".to_owned()));
    };
    let container = context.store.load(id)?;
    let pids = match &container.state.cgroup {
        Some(cgroup) => cgroup.processes()?,
        None => Vec::new(),
    };
    match args.text("format").unwrap_or("table") {
        "json" => crate::print(&serde_json::Value::from(pids).to_string())?,
        "table" => crate::print(&table(&pids, options)?)?,
        other => return Err(Error::Usage(format!("invalid format option {other:?}"))),
    }
    Ok(0)
}

/// The lines of ps(1) that are about these processes.
fn table(pids: &[i32], options: &[String]) -> Result<String> {
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default } else { options };
    let output = std::process::Command::new("ps").args(options).output();
    let output = output.map_err(|error| sys::Error::new("execute", "ps", sys::error::errno_of(&error)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Error::said("couldn't find PID field in ps output"))?;
    let ours = |line: &&str| {
        line.split_whitespace()
            .nth(column)
            .and_then(|pid| pid.parse().ok())
            .is_some_and(|pid| pids.contains(&pid))
    };
    Ok(std::iter::once(header).chain(lines.filter(ours)).map(|line| format!("{line}\n")).collect())
}
