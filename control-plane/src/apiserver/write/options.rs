//! The options of a write, from its query.

use api_objects::decode::FieldValidation;
use api_objects::{FieldError, Path};
use http::header::USER_AGENT;
use serde_json::Value;

use crate::apiserver::apply::manager_name;
use crate::apiserver::http::request::{self, Context};
use crate::apiserver::status::Status;

/// The longest name of a field manager, in bytes.
const LONGEST_MANAGER: usize = 128;

/// What a create, an update, a patch and an apply can be asked.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// Nothing is to be written.
    pub dry_run: bool,
    /// What is made of unknown and repeated fields.
    pub validation: FieldValidation,
    /// Who writes.
    pub manager: String,
    /// An apply takes what others own.
    pub force: bool,
}

impl Options {
    /// Reads and checks them. `kind` is what errors call them, `CreateOptions`.
    pub(super) fn of(context: &Context, kind: &str, apply: bool) -> Result<Self, Status> {
        let query = &context.query;
        let mut errors = Vec::new();
        let manager = query.get("fieldManager").unwrap_or_default();
        if apply && manager.is_empty() {
            let path = Path::ROOT.field("fieldManager");
            errors.push(FieldError::required(&path, "is required for apply patch"));
        }
        if kind == "PatchOptions" && !apply && query.names("force") {
            let path = Path::ROOT.field("force");
            errors.push(FieldError::forbidden(&path, "may not be specified for non-apply patch"));
        }
        if manager.len() > LONGEST_MANAGER {
            errors.push(FieldError::too_long(&Path::ROOT.field("fieldManager"), LONGEST_MANAGER));
        }
        let tried: Vec<Value> = query.all("dryRun").map(Value::from).collect();
        errors.extend(wrong_dry_run(&tried));
        let validation = query.get("fieldValidation").unwrap_or_default();
        let parsed = FieldValidation::parse(validation);
        if parsed.is_none() {
            let known = ["", "Ignore", "Strict", "Warn"];
            errors.push(FieldError::not_supported(&Path::ROOT.field("fieldValidation"), validation, &known));
        }
        let (Some(validation), true) = (parsed, errors.is_empty()) else {
            return Err(Status::invalid("meta.k8s.io", kind, "", errors));
        };
        let agent = request::text(&context.headers, &USER_AGENT).unwrap_or_default();
        Ok(Self {
            dry_run: !tried.is_empty(),
            validation,
            manager: manager_name(manager, agent),
            force: query.flag("force"),
        })
    }
}

/// `All` is all that can be tried.
pub(super) fn wrong_dry_run(tried: &[Value]) -> Option<FieldError> {
    let known = tried.iter().all(|stage| stage == "All");
    (!known).then(|| FieldError::not_supported(&Path::ROOT.field("dryRun"), tried.to_vec(), &["All"]))
}
