//! The rules of CertificateSigningRequests. Of what is to be signed only the envelope is looked at: whether it is a
//! request, and signed, whoever signs it finds out.

use serde_json::{Value, json};

use crate::check::{has, list, text, texts};
use crate::decode::base64;
use crate::{FieldError, Path, fill, names};

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];
/// The conditions that are never untrue.
const ALWAYS_TRUE: [&str; 3] = ["Approved", "Denied", "Failed"];
const LEAST_SECONDS: i64 = 600;
const MOST_DOMAIN: usize = 253;
const MOST_SIGNER: usize = MOST_DOMAIN + 1 + 63 + 1 + 253;

/// What is asked for cannot be changed.
pub(crate) fn prepare(request: &mut Value, old: Option<&Value>) {
    if let (Some(old), Some(request)) = (old, request.as_object_mut()) {
        request.insert("spec".to_owned(), old.get("spec").cloned().unwrap_or_else(|| json!({})));
    }
}

pub(crate) fn create(request: &Value) -> Vec<FieldError> {
    check(request, None)
}

fn check(request: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &request["spec"]);
    if !is_request(&base64::decode(text(spec, "request")).unwrap_or_default()) {
        let why = "PEM block type must be CERTIFICATE REQUEST";
        errors.push(FieldError::invalid(&path.field("request"), spec["request"].clone(), why));
    }
    let usages_at = path.field("usages");
    let usages: Vec<&str> = texts(spec, "usages").map(|(_, usage)| usage).collect();
    if usages.is_empty() {
        errors.push(FieldError::required(&usages_at, ""));
    }
    for (index, usage) in usages.iter().enumerate().filter(|(_, usage)| !USAGES.contains(usage)) {
        errors.push(FieldError::not_supported(&usages_at.index(index), *usage, &USAGES));
    }
    for (index, usage) in usages.iter().enumerate().filter(|(index, usage)| usages[..*index].contains(usage))
    {
        errors.push(FieldError::duplicate(&usages_at.index(index), *usage));
    }
    let (at, signer) = (path.field("signerName"), text(spec, "signerName"));
    if signer == "kubernetes.io/legacy-unknown" && old.is_none() {
        let why = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(&at, signer, why));
    } else {
        signer_name(&mut errors, signer, &at);
    }
    if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|seconds| *seconds < LEAST_SECONDS) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&path.field("expirationSeconds"), seconds, why));
    }
    conditions(&mut errors, request);
    certificate(&mut errors, request, old);
    errors
}

/// The type of the first block of PEM (RFC 7468).
fn first_block(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    rest.contains(&format!("-----END {label}-----")).then(|| label.to_owned())
}

fn is_request(bytes: &[u8]) -> bool {
    first_block(bytes).as_deref() == Some("CERTIFICATE REQUEST")
}

fn certificate(errors: &mut Vec<FieldError>, request: &Value, old: Option<&Value>) {
    let found = text(&request["status"], "certificate");
    if found.is_empty() || old.is_some_and(|old| text(&old["status"], "certificate") == found) {
        return;
    }
    let why = match first_block(&base64::decode(found).unwrap_or_default()) {
        Some(label) if label == "CERTIFICATE" => return,
        Some(label) => format!("only CERTIFICATE PEM blocks are allowed, found {label:?}"),
        None => "must contain at least one CERTIFICATE PEM block".to_owned(),
    };
    let status = Path::ROOT.field("status");
    errors.push(FieldError::invalid(&status.field("certificate"), "<certificate data>", &why));
}

/// Who signs: a domain of two labels at least, and a path of labels.
fn signer_name(errors: &mut Vec<FieldError>, signer: &str, path: &Path) {
    if signer.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let [domain, name] = signer.split('/').collect::<Vec<_>>()[..] else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, signer, why));
        return;
    };
    if domain.len() > MOST_DOMAIN {
        errors.push(FieldError::too_long(path, MOST_DOMAIN));
    }
    // Of each part the first label that is wrong says enough.
    let mut labels = |part: &str, form: fn(&str) -> Vec<String>| {
        let wrong = part.split('.').map(|label| (label, form(label))).find(|(_, faults)| !faults.is_empty());
        if let Some((label, faults)) = wrong {
            let why = faults.iter().map(|why| format!("validating label {label:?}: {why}"));
            errors.extend(why.map(|why| FieldError::invalid(path, part, &why)));
        }
    };
    labels(domain, names::dns_label);
    labels(name, names::dns_subdomain);
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, domain, why));
    }
    if signer.len() > MOST_SIGNER {
        errors.push(FieldError::too_long(path, MOST_SIGNER));
    }
}

fn conditions(errors: &mut Vec<FieldError>, request: &Value) {
    let status = Path::ROOT.field("status");
    let path = status.field("conditions");
    let mut seen: Vec<&str> = Vec::new();
    for (index, condition) in list(&request["status"], "conditions").iter().enumerate() {
        let at = path.index(index);
        let of = text(condition, "type");
        if of.is_empty() {
            errors.push(FieldError::required(&at.field("type"), ""));
        }
        let allowed: &[&str] =
            if ALWAYS_TRUE.contains(&of) { &["True"] } else { &["False", "True", "Unknown"] };
        match text(condition, "status") {
            "" => errors.push(FieldError::required(&at.field("status"), "")),
            other if !allowed.contains(&other) => {
                errors.push(FieldError::not_supported(&at.field("status"), other, allowed));
            }
            _ => {}
        }
        let other = match of {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !other.is_empty() && seen.contains(&other) {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(&path, of, why));
        }
        if seen.contains(&of) {
            errors.push(FieldError::duplicate(&at.field("type"), of));
        }
        seen.push(of);
    }
}

pub(crate) fn update(request: &Value, old: &Value) -> Vec<FieldError> {
    changed(request, old, false, false)
}

/// A status gets the certificate; who approves has a place of their own.
pub(crate) fn status(request: &Value, old: &Value) -> Vec<FieldError> {
    changed(request, old, false, true)
}

/// What an approval or a denial breaks.
pub fn approval(request: &Value, old: &Value) -> Vec<FieldError> {
    changed(request, old, true, false)
}

fn changed(request: &Value, old: &Value, approves: bool, signs: bool) -> Vec<FieldError> {
    let mut errors = check(request, Some(old));
    let status = Path::ROOT.field("status");
    let path = status.field("conditions");
    let of = |request: &Value, kind: &str| -> Vec<Value> {
        list(&request["status"], "conditions").iter().filter(|c| c["type"] == kind).cloned().collect()
    };
    for kind in ALWAYS_TRUE {
        if of(request, kind).len() < of(old, kind).len() {
            let why = format!("updates may not remove a condition of type {kind:?}");
            errors.push(FieldError::forbidden(&path, &why));
        }
    }
    for kind in ["Approved", "Denied"].into_iter().filter(|_| !approves) {
        let (new, before) = (of(request, kind), of(old, kind));
        if new.len() > before.len() {
            let why = format!("updates may not add a condition of type {kind:?}");
            errors.push(FieldError::forbidden(&path, &why));
        } else if new.len() == before.len() && new != before {
            let why = format!("updates may not modify a condition of type {kind:?}");
            errors.push(FieldError::forbidden(&path, &why));
        }
    }
    let (new, before) = (&request["status"], &old["status"]);
    if text(new, "certificate") != text(before, "certificate") {
        let at = status.field("certificate");
        if !signs {
            errors.push(FieldError::forbidden(&at, "updates may not set certificate content"));
        } else if has(before, "certificate") && !text(before, "certificate").is_empty() {
            let why = "updates may not modify existing certificate content";
            errors.push(FieldError::forbidden(&at, why));
        }
    }
    errors
}

/// Conditions that say not when they came were given now; a decision stays as it was made.
pub fn stamp(request: &mut Value, old: &Value, now: &str) {
    let before = list(&old["status"], "conditions").to_vec();
    for status in fill::part(request, "status") {
        for condition in fill::each(status, "conditions") {
            fill::missing(condition, "lastUpdateTime", now);
            let same =
                before.iter().find(|b| b["type"] == condition["type"] && b["status"] == condition["status"]);
            let since = same.and_then(|same| same["lastTransitionTime"].as_str()).unwrap_or(now).to_owned();
            fill::missing(condition, "lastTransitionTime", since);
        }
    }
}

#[cfg(test)]
mod tests;
