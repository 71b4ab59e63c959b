//! The rows of the built-in kinds, as `hack/kinds` writes them.

use serde::Deserialize;

use super::{Column, Field, Group, Kind, Served, Subresource, Verbs, convert};

const ROWS: &str = include_str!("kinds.json");

/// The rows cannot be read: the file and this program do not belong together.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// They are not written as this program reads them.
    #[error("reading the rows of the built-in kinds")]
    Malformed(#[from] serde_json::Error),
    /// One that the server itself uses is not among them.
    #[error("there is no row of {0}")]
    Missing(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    groups: Vec<(String, Vec<String>)>,
    texts: Vec<String>,
    kinds: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kind: String,
    resource: String,
    singular: String,
    namespaced: bool,
    prefix: String,
    #[serde(default)]
    generations: bool,
    #[serde(default)]
    short: Vec<String>,
    #[serde(default)]
    categories: Vec<String>,
    columns: Vec<(String, String, String, i32, usize)>,
    served: Vec<RowServed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowServed {
    group: String,
    version: String,
    verbs: Vec<String>,
    #[serde(default)]
    hash: Option<String>,
    refusal: String,
    fields: Vec<(String, String, String)>,
    #[serde(default)]
    subresources: Vec<RowSubresource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowSubresource {
    name: String,
    kind: String,
    verbs: Vec<String>,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

/// The groups in the order of discovery, and the kinds.
pub(super) fn builtin() -> Result<(Vec<Group>, Vec<Kind>), RowError> {
    let rows: Rows = serde_json::from_str(ROWS)?;
    let groups = rows.groups.into_iter().map(|(name, versions)| Group { name, versions }).collect();
    let kinds = rows.kinds.into_iter().map(|row| kind(row, &rows.texts)).collect();
    Ok((groups, kinds))
}

fn kind(row: Row, texts: &[String]) -> Kind {
    let columns = row.columns.into_iter().map(|(name, kind, format, priority, text)| Column {
        name,
        kind,
        format,
        priority,
        description: texts.get(text).cloned().unwrap_or_default(),
    });
    let columns = columns.collect();
    let mut fields = Vec::new();
    let served = row.served.into_iter().map(|s| served(s, &row.resource, &mut fields)).collect();
    Kind {
        kind: row.kind,
        resource: row.resource,
        singular: row.singular,
        namespaced: row.namespaced,
        short_names: row.short,
        categories: row.categories,
        prefix: row.prefix,
        generations: row.generations,
        columns,
        fields,
        served,
    }
}

fn served(row: RowServed, resource: &str, fields: &mut Vec<Field>) -> Served {
    let labels = row.fields.into_iter().map(|(label, path, absent)| {
        let field = Field { path: path.split('.').map(str::to_owned).collect(), absent };
        let index = fields.iter().position(|f| *f == field).unwrap_or_else(|| {
            fields.push(field);
            fields.len() - 1
        });
        (label, index)
    });
    let labels = labels.collect();
    let subresources = row.subresources.into_iter().map(|s| Subresource {
        name: s.name,
        kind: s.kind,
        foreign: s.group.zip(s.version),
        verbs: Verbs(s.verbs),
    });
    Served {
        conversion: convert::builtin(&row.group, &row.version, resource),
        group: row.group,
        version: row.version,
        verbs: Verbs(row.verbs),
        subresources: subresources.collect(),
        hash: row.hash,
        labels,
        refusal: row.refusal,
    }
}
