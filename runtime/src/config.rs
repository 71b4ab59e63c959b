//! Reads config.json.

use std::path::Path;

use oci_spec::runtime::{Capability, LinuxMemoryPolicy, MemoryPolicyFlagType, Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result, Stage};

/// A document, and what was left out of it.
#[derive(Debug)]
pub(crate) struct Read<T> {
    /// The document.
    pub(crate) value: T,
    /// What this runtime does not know and drops with a warning.
    pub(crate) warnings: Vec<String>,
}

/// Reads a bundle's config.json.
pub(crate) fn read_spec(bundle: &Path) -> Result<Read<Spec>> {
    let path = bundle.join("config.json");
    let text = sys::fs::read(&path)
        .stage(format!("JSON specification file {} not found or unreadable", path.display()))?;
    parse(&text, &path, "/process")
}

/// Reads a file with a process object (`exec --process`).
pub(crate) fn read_process(path: &Path) -> Result<Read<Process>> {
    parse(&sys::fs::read(path)?, path, "")
}

/// Parses; `process` is the pointer to the process object.
///
/// The specification wants unknown capabilities to be a warning, and the types refuse them: so only when they do
/// is the document looked at in detail.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, path: &Path, process: &str) -> Result<Read<T>> {
    let json = |source| Error::Json { path: path.to_path_buf(), source };
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(Read { value, warnings: Vec::new() }),
        Err(error) => error,
    };
    let mut document: Value = serde_json::from_str(text).map_err(json)?;
    let mut warnings = Vec::new();
    // Others read a process without a user as root's, and so do their callers.
    if let Some(Value::Object(object)) = document.pointer_mut(process) {
        object.entry("user").or_insert_with(|| serde_json::json!({"uid": 0, "gid": 0}));
    }
    let sets = document.pointer_mut(&format!("{process}/capabilities")).and_then(Value::as_object_mut);
    for (set, names) in sets.into_iter().flatten() {
        if let Some(names) = names.as_array_mut() {
            names.retain(|name| {
                let known = serde_json::from_value::<Capability>(name.clone()).is_ok();
                if !known {
                    warnings.push(format!("ignoring unknown {set} capability {name}"));
                }
                known
            });
        }
    }
    let flags = document.pointer_mut(&format!("{process}/scheduler/flags")).and_then(Value::as_array_mut);
    for flag in flags.into_iter().flatten() {
        // Two names that the types have otherwise than the specification.
        match flag.as_str() {
            Some("SCHED_FLAG_RESET_ON_FORK") => *flag = "SCHED_RESET_ON_FORK".into(),
            Some("SCHED_FLAG_DL_OVERRUN") => *flag = "SCHED_FLAG_D_L_OVERRUN".into(),
            _ => {}
        }
    }
    if let Some(policy) = document.pointer("/linux/memoryPolicy") {
        check_memory_policy(policy)?;
    }
    match serde_json::from_value(document) {
        Ok(value) => Ok(Read { value, warnings }),
        // The first error has the line, but may be about what was mended.
        Err(_) if warnings.is_empty() => Err(json(error)),
        Err(later) => Err(json(later)),
    }
}

/// The types' own words name the value but not the field.
fn check_memory_policy(policy: &Value) -> Result<()> {
    let wrong = |what: &str, error: serde_json::Error| {
        Err(Error::refused("linux.memoryPolicy", format!("invalid memory policy {what}: {error}")))
    };
    let flags = policy.get("flags").cloned().unwrap_or_default();
    if let Err(error) = serde_json::from_value::<Option<Vec<MemoryPolicyFlagType>>>(flags) {
        return wrong("flag", error);
    }
    match serde_json::from_value::<LinuxMemoryPolicy>(policy.clone()) {
        Err(error) => wrong("mode", error),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_capability_is_a_warning() {
        let text = r#"{"ociVersion":"1.0.2","process":{"user":{"uid":0,"gid":0},"cwd":"/",
            "capabilities":{"bounding":["CAP_KILL","CAP_MOON"]}}}"#;
        let read: Read<Spec> = parse(text, Path::new("c"), "/process").unwrap();
        assert_eq!(read.warnings.len(), 1);
        let process = read.value.process().as_ref().unwrap();
        let bounding = process.capabilities().as_ref().unwrap().bounding().as_ref().unwrap();
        assert_eq!(bounding.len(), 1);
    }

    #[test]
    fn a_process_without_a_user_is_roots() {
        let read: Read<Process> = parse(r#"{"args":["a"],"cwd":"/"}"#, Path::new("p"), "").unwrap();
        assert_eq!((read.value.user().uid(), read.value.user().gid()), (0, 0));
    }

    #[test]
    fn a_flag_has_the_name_of_the_specification() {
        let text = r#"{"args":["a"],"cwd":"/","scheduler":{"policy":"SCHED_DEADLINE","flags":["SCHED_FLAG_RESET_ON_FORK"]}}"#;
        let read: Read<Process> = parse(text, Path::new("p"), "").unwrap();
        assert!(read.value.scheduler().is_some());
    }

    #[test]
    fn a_wrong_memory_policy_is_named() {
        for (policy, word) in [
            ("{}", "mode"),
            (r#"{"mode":"BIND"}"#, "mode"),
            (r#"{"mode":"MPOL_BIND","flags":["x"]}"#, "flag"),
        ] {
            let text = format!(r#"{{"ociVersion":"1.3.0","linux":{{"memoryPolicy":{policy}}}}}"#);
            let error = parse::<Spec>(&text, Path::new("c"), "/process").unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("linux.memoryPolicy: invalid memory policy {word}")),
                "{error}"
            );
        }
    }

    #[test]
    fn an_unknown_property_is_ignored_and_a_wrong_type_is_not() {
        let read = |text| parse::<Spec>(text, Path::new("c"), "/process");
        assert!(read(r#"{"ociVersion":"1.0.2","moon":1}"#).is_ok());
        assert!(read(r#"{"ociVersion":1}"#).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = parse::<Spec>(&text, Path::new("c"), "/process");
            let _ = parse::<Process>(&text, Path::new("c"), "");
        }
    }
}
