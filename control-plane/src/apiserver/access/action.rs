//! What a request asks for, as authorization sees it.

use api_objects::selector::FieldSelector;

use crate::apiserver::auth::{Action, Resource, Target};
use crate::apiserver::http::path::RequestInfo;
use crate::apiserver::http::query::Query;

/// A request in the terms of rules.
pub(crate) struct Asked<'a> {
    info: &'a RequestInfo,
    /// The name that a field selector demands stands for the one in the path.
    name: Option<String>,
    fields: Vec<(String, String)>,
}

impl<'a> Asked<'a> {
    /// What a request asks for.
    pub(crate) fn new(info: &'a RequestInfo, query: &Query) -> Self {
        let (mut name, mut fields) = (None, Vec::new());
        if matches!(info.verb, "list" | "watch" | "deletecollection")
            && let Some(Ok(selector)) = query.get("fieldSelector").map(FieldSelector::parse)
        {
            for term in selector.terms().iter().filter(|term| term.equal) {
                fields.push((term.field.clone(), term.value.clone()));
            }
            // A name that no object can have would widen what is asked for.
            name =
                selector.exact("metadata.name").filter(|name| !name.contains(['/', '%'])).map(str::to_owned);
        }
        Self { info, name, fields }
    }

    /// The verb and its target.
    pub(crate) fn action(&self) -> Action<'_> {
        let target = match &self.info.target {
            None => Target::Path(&self.info.path),
            Some(on) => Target::Resource(Resource {
                group: &on.group,
                resource: &on.resource,
                subresource: &on.subresource,
                namespace: &on.namespace,
                name: if on.name.is_empty() { self.name.as_deref().unwrap_or_default() } else { &on.name },
                fields: &self.fields,
            }),
        };
        Action { verb: self.info.verb, target }
    }
}
