//! `orlop-runtime`: the OCI runtime, and under `monitor` and by the name `pause` the two programs that a pod needs.
//!
//! ```text
//! cli ─▶ verbs ─▶ config ─▶ plan (pure) ─▶ launch ══ clone ══▶ init: namespaces, rootfs, process, execve
//!                                             │   channel          │
//!                                           store               start pipe
//! ```
//! It starts no thread, since it clones itself.

mod channel;
mod cli;
mod config;
mod console;
mod error;
mod exe;
mod fork;
mod hooks;
mod init;
mod launch;
mod log;
mod logger;
mod monitor;
mod pause;
mod plan;
mod relay;
mod seccomp;
mod store;
mod verbs;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cli::{Args, Flag, switch, value};
use error::{Error, Result};
use log::{Format, Log};
use store::Store;
use verbs::{Context, Verb};

/// Flags before the verb. Those of other runtimes that some callers always pass are understood, too.
const GLOBAL: &[Flag] = &[
    value("root"),
    value("log"),
    value("log-format"),
    switch("debug"),
    switch("systemd-cgroup"),
    value("rootless"),
    value("cgroup-manager"),
    value("criu"),
    switch("help").or("h"),
    switch("version").or("v"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    match args.get(1).map(String::as_str) {
        Some("monitor") => {
            // Its pause process runs from the same file, and containers may see it.
            if let Err(error) = exe::protect() {
                let _ = writeln!(std::io::stderr(), "{error}");
                return ExitCode::FAILURE;
            }
            monitor::main(&args[2..])
        }
        // Known by its own name: `orlop-runtime pause` is the verb that freezes a container.
        None if args.first().is_some_and(|name| name == pause::NAME) => pause::main(),
        _ => ExitCode::from(runtime(&args)),
    }
}

/// The runc-style command line.
fn runtime(args: &[String]) -> u8 {
    // Where it is ignored, children vanish before they can be waited for.
    sys::process::reset_signal(libc::SIGCHLD);
    let global = match Args::parse(GLOBAL, args.get(1..).unwrap_or_default(), true) {
        Ok(global) => global,
        Err(error) => {
            let _ = print(&usage());
            return fail(&Log::default(), &error.to_string(), 1);
        }
    };
    if global.has("version") {
        return print_version();
    }
    let Some((name, rest)) = global.operands.split_first() else {
        return finish(print(&usage()));
    };
    if global.has("help") || matches!(name.as_str(), "help" | "h") {
        return finish(print(&usage()));
    }
    let Some(verb) = verbs::ALL.iter().find(|verb| verb.name == name) else {
        let _ = writeln!(std::io::stderr(), "No help topic for '{name}'");
        return 3;
    };
    let log = match log(&global) {
        Ok(log) => log,
        Err(error) => return fail(&Log::default(), &error.to_string(), 1),
    };
    if rest.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--help" || arg == "-help" || arg == "-h")
        && !verb.stop
    {
        return finish(print(&help(verb)));
    }
    match run(verb, &global, rest, log) {
        Ok(code) => code,
        Err((error, log)) => {
            if let Error::Usage(_) = error {
                let _ = print(&help(verb));
            }
            fail(&log, &format!("{}{error}", verb.prefix), verb.failure)
        }
    }
}

fn run(verb: &Verb, global: &Args, rest: &[String], log: Log) -> Result<u8, (Error, Log)> {
    let root = match root(global) {
        Ok(root) => root,
        Err(error) => return Err((error, log)),
    };
    let context = Context { store: Store::new(root), root_given: global.text("root").is_some(), log };
    match Args::parse(verb.flags, rest, verb.stop).and_then(|args| (verb.run)(&context, &args)) {
        Ok(code) => {
            context.log.write_warnings();
            Ok(code)
        }
        Err(error) => Err((error, context.log)),
    }
}

fn log(global: &Args) -> Result<Log> {
    let format = match global.text("log-format") {
        None | Some("text" | "") => Format::Text,
        Some("json") => Format::Json,
        Some(other) => return Err(Error::Usage(format!("invalid log-format: {other}"))),
    };
    let file = global.text("log").filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(Log::new(file, format))
}

/// Where the containers are: of the user who runs us, unless told otherwise.
fn root(global: &Args) -> Result<PathBuf> {
    if global.has("systemd-cgroup") || global.text("cgroup-manager") == Some("systemd") {
        return Err(Error::said("--systemd-cgroup is not implemented: cgroups are made directly"));
    }
    let root = match global.text("root") {
        Some(root) => verbs::absolute(root)?,
        None if rustix::process::geteuid().is_root() => PathBuf::from("/run/orlop/runtime"),
        None => match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(folder) => PathBuf::from(folder).join("orlop/runtime"),
            None => PathBuf::from(format!("/tmp/orlop-{}/runtime", rustix::process::geteuid().as_raw())),
        },
    };
    if root == std::path::Path::new("/") {
        return Err(Error::said("option --root argument should not be /"));
    }
    Ok(root)
}

fn fail(log: &Log, text: &str, code: u8) -> u8 {
    log.error(text);
    code
}

fn finish(result: Result<()>) -> u8 {
    u8::from(result.is_err())
}

fn print_version() -> u8 {
    let version = env!("CARGO_PKG_VERSION");
    // Callers take the words apart, the first line included.
    finish(print(&format!("runc version {version}-orlop\ncommit: unknown\nspec: {}\n", verbs::SPECIFICATION)))
}

fn usage() -> String {
    let verbs: String =
        verbs::ALL.iter().map(|verb| format!("   {:<12}{}\n", verb.name, verb.about)).collect();
    let flags: String = GLOBAL.iter().map(flag_line).collect();
    format!(
        "NAME:\n   runc - Open Container Initiative runtime\n\n   Orlop's runtime, with runc's command line.\n\n\
         USAGE:\n   orlop-runtime [global options] command [command options] [arguments...]\n\n\
         COMMANDS:\n{verbs}\nGLOBAL OPTIONS:\n{flags}"
    )
}

fn help(verb: &Verb) -> String {
    let flags: String = verb.flags.iter().map(flag_line).collect();
    let Verb { name, usage, about, .. } = verb;
    format!("NAME:\n   runc {name} - {about}\n\nUSAGE:\n   orlop-runtime {name} {usage}\n\nOPTIONS:\n{flags}")
}

fn flag_line(flag: &Flag) -> String {
    let short = flag.short.map(|short| format!(", -{short}")).unwrap_or_default();
    format!("   --{}{short}{}\n", flag.name, if flag.value { " value" } else { "" })
}

/// Writes to standard output; a reader that went away is not a failure of ours.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(sys::Error::new("write", "standard output", sys::error::errno_of(&error)).into())
        }
        _ => Ok(()),
    }
}
