//! ServiceAccounts, of which there is nothing to refuse but their metadata.

use serde_json::{Value, json};

use crate::check::text;
use crate::fill;

/// Of a secret only the name counts.
pub(crate) fn prepare(account: &mut Value, _: Option<&Value>) {
    for secret in fill::each(account, "secrets") {
        let name = text(secret, "name").to_owned();
        *secret = if name.is_empty() { json!({}) } else { json!({ "name": name }) };
    }
}
