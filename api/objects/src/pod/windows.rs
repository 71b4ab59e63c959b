//! What pods of Windows can and cannot have. No node of ours runs them; the API keeps them for nodes that do.

use serde_json::Value;

use crate::check::{has, invalid_names, list, text};
use crate::{FieldError, Path, names};

/// What means nothing on Windows, of a pod, of its security context and of a container's.
const OF_POD: [&str; 4] = ["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"];
const OF_POD_CONTEXT: [&str; 11] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const OF_CONTEXT: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// Refuses what only Linux has.
pub(super) fn nothing_of_linux(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let why = "cannot be set for a windows pod";
    let (context, at) = (&spec["securityContext"], path.field("securityContext"));
    for field in OF_POD_CONTEXT {
        if has(context, field) && (field != "sysctls" || !list(context, field).is_empty()) {
            errors.push(FieldError::forbidden(&at.field(field), why));
        }
    }
    for field in OF_POD {
        // Of these, false is not told from nothing.
        let plain = matches!(field, "hostPID" | "hostIPC");
        if if plain { spec[field] == true } else { has(spec, field) } {
            errors.push(FieldError::forbidden(&path.field(field), why));
        }
    }
    super::each_container(spec, path, |container, at| {
        super::forbid(errors, &container["securityContext"], &at.field("securityContext"), &OF_CONTEXT, why);
    });
}

/// Refuses what only Windows has.
pub(super) fn none_on_linux(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let why = "windows options cannot be set for a linux pod";
    let context = path.field("securityContext");
    super::forbid(errors, &spec["securityContext"], &context, &["windowsOptions"], why);
    super::each_container(spec, path, |container, at| {
        let context = at.field("securityContext");
        super::forbid(errors, &container["securityContext"], &context, &["windowsOptions"], why);
    });
}

/// A pod runs on the host itself as a whole or not at all.
pub(super) fn host_process(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let of = |owner: &Value| owner["securityContext"]["windowsOptions"]["hostProcess"].as_bool();
    let pod = of(spec);
    let (mut all, mut on_host) = (0, 0);
    super::each_container(spec, path, |container, at| {
        all += 1;
        if let (Some(pod), Some(own)) = (pod, of(container))
            && pod != own
        {
            let why = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            let at = at.field("securityContext");
            let at = at.field("windowsOptions");
            errors.push(FieldError::invalid(&at.field("hostProcess"), own, &why));
        }
        on_host += usize::from(of(container).or(pod) == Some(true));
    });
    if on_host == 0 {
        return;
    }
    if on_host != all {
        let why =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(path, "", why));
    }
    if spec["hostNetwork"] != true {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(&path.field("hostNetwork"), false, why));
    }
}

const MAX_CREDENTIAL_KIB: usize = 64;
const MAX_DOMAIN: usize = 256;
const MAX_USER: usize = 104;

/// Checks the options of a security context.
pub(super) fn options(errors: &mut Vec<FieldError>, context: &Value, path: &Path) {
    let options = &context["windowsOptions"];
    let at = path.field("windowsOptions");
    if let Some(name) = options["gmsaCredentialSpecName"].as_str() {
        invalid_names(errors, &at.field("gmsaCredentialSpecName"), name, names::dns_subdomain);
    }
    if let Some(credential) = options["gmsaCredentialSpec"].as_str() {
        let at = at.field("gmsaCredentialSpec");
        if credential.is_empty() {
            let why = "gmsaCredentialSpec cannot be an empty string";
            errors.push(FieldError::invalid(&at, credential, why));
        } else if credential.len() > MAX_CREDENTIAL_KIB << 10 {
            let why = format!("gmsaCredentialSpec size must be under {MAX_CREDENTIAL_KIB} KiB");
            errors.push(FieldError::invalid(&at, credential, &why));
        }
    }
    if has(options, "runAsUserName") {
        let name = text(options, "runAsUserName");
        for why in user_name(name) {
            errors.push(FieldError::invalid(
                &at.field("runAsUserName"),
                name,
                &format!("runAsUserName{why}"),
            ));
        }
    }
}

/// What is wrong with the name of a user, `DOMAIN\USER` or `USER`, less the field's name before it.
fn user_name(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('\\').collect();
    if name.is_empty() {
        return vec![" cannot be an empty string".to_owned()];
    }
    if name.bytes().any(|byte| byte.is_ascii_control()) {
        return vec![" cannot contain control characters".to_owned()];
    }
    let (domain, user) = match parts[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec![" cannot contain more than one backslash".to_owned()],
    };
    let mut wrong = Vec::new();
    if domain.is_some_and(|domain| domain.len() >= MAX_DOMAIN) {
        wrong.push(format!("'s Domain length must be under {MAX_DOMAIN} characters"));
    }
    if domain.is_some_and(|domain| !is_netbios(domain) && !is_dns(domain)) {
        wrong.push("'s Domain doesn't match the NetBios nor the DNS format".to_owned());
    }
    if user.is_empty() {
        wrong.push("'s User cannot be empty".to_owned());
    } else if user.len() > MAX_USER {
        wrong.push(format!("'s User length must not be longer than {MAX_USER} characters"));
    }
    if !user.is_empty() && user.bytes().all(|byte| matches!(byte, b'.' | b' ')) {
        wrong.push("'s User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        let which = r#"'s User cannot contain the following characters: "/\:;|=,+*?<>@[]"#;
        wrong.push(which.to_owned());
    }
    wrong
}

fn is_netbios(domain: &str) -> bool {
    let length = domain.chars().count();
    (1..=15).contains(&length)
        && !domain.starts_with('.')
        && !domain.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| names::dns_label(&label.to_ascii_lowercase()).is_empty())
}
