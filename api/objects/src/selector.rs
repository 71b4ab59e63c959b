//! Selectors: which objects a list, a watch or a workload means, by labels or by fields.
//!
//! A label selector is a list of requirements that must all hold, written `a=b,c in (d,e),!f` in a query or as
//! `matchLabels` and `matchExpressions` in an object. A field selector is a list of equalities, `metadata.name=a`.

mod field;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

pub use field::{FieldSelector, FieldTerm};

/// Text or an object that is no selector; the message is the API's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `a in (b,c)`
    In,
    /// `a notin (b,c)`; an object without the label fits.
    NotIn,
    /// `a=b`
    Equals,
    /// `a==b`, the same.
    DoubleEquals,
    /// `a!=b`; an object without the label fits.
    NotEquals,
    /// `a`
    Exists,
    /// `!a`
    DoesNotExist,
    /// `a>1`
    GreaterThan,
    /// `a<1`
    LessThan,
}

/// One thing that a selector asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted, each once.
    values: Vec<String>,
}

impl Requirement {
    /// Checks the parts against each other and against the forms of labels.
    pub fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, SelectorError> {
        use Operator::{
            DoesNotExist, DoubleEquals, Equals, Exists, GreaterThan, In, LessThan, NotEquals, NotIn,
        };
        values.sort();
        values.dedup();
        let mut errors = Vec::new();
        if let Some(why) = parse::wrong_key(key) {
            errors.push(format!("key: Invalid value: {key:?}: {why}"));
        }
        let count = match operator {
            In | NotIn if values.is_empty() => "for 'in', 'notin' operators, values set can't be empty",
            Equals | DoubleEquals | NotEquals if values.len() != 1 => {
                "exact-match compatibility requires one single value"
            }
            Exists | DoesNotExist if !values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            GreaterThan | LessThan if values.len() != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !count.is_empty() {
            errors.push(format!("values: Invalid value: {}: {count}", Value::from(values.clone())));
        }
        for (index, value) in values.iter().enumerate() {
            if matches!(operator, GreaterThan | LessThan) && value.parse::<i64>().is_err() {
                errors.push(format!(
                    "values[{index}]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                ));
            }
            let wrong = crate::names::label_value(value);
            if !wrong.is_empty() {
                errors
                    .push(format!("values[{index}][{key}]: Invalid value: {value:?}: {}", wrong.join("; ")));
            }
        }
        match errors.as_slice() {
            [] => Ok(Self { key: key.to_owned(), operator, values }),
            [one] => Err(SelectorError(one.clone())),
            many => Err(SelectorError(format!("[{}]", many.join(", ")))),
        }
    }

    /// The label it is about.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it asks of it.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values it names, sorted.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Whether an object fits whose label has this value, or that has no such label.
    pub fn holds(&self, value: Option<&str>) -> bool {
        let named = |value: &str| self.values.iter().any(|v| v == value);
        let number = |text: &str| text.parse::<i64>().ok();
        let compared = |order: fn(&i64, &i64) -> bool| {
            let left = value.and_then(number);
            let right = self.values.first().and_then(|v| number(v));
            left.zip(right).is_some_and(|(left, right)| order(&left, &right))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(named),
            Operator::NotIn | Operator::NotEquals => !value.is_some_and(named),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compared(i64::gt),
            Operator::LessThan => compared(i64::lt),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// Requirements on labels that must all hold; without any, every object fits. In the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

impl LabelSelector {
    /// Reads a selector of a query: `a=b,c in (d,e),!f`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        parse::parse(text).map(Self::sorted)
    }

    /// Reads the `matchLabels` and `matchExpressions` of an object.
    pub fn from_object(selector: &Value) -> Result<Self, SelectorError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, vec![text(value)])?);
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(SelectorError(format!("{other:?} is not a valid label selector operator")));
                }
            };
            let values = expression["values"].as_array().into_iter().flatten().map(text).collect();
            requirements.push(Requirement::new(&text(&expression["key"]), operator, values)?);
        }
        Ok(Self::sorted(requirements))
    }

    /// Reads a plain map of labels, as the selectors of Services and ReplicationControllers are.
    pub fn from_map(labels: &Value) -> Self {
        let pairs = labels.as_object().into_iter().flatten();
        let equal = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: vec![value.as_str().unwrap_or_default().to_owned()],
        };
        Self::sorted(pairs.map(equal).collect())
    }

    fn sorted(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self(requirements)
    }

    /// Every object fits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What must hold.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// Whether an object fits, whose labels `lookup` finds.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(lookup(&requirement.key)))
    }

    /// Whether an object with these labels, a map of strings, fits.
    pub fn matches_object(&self, labels: &Value) -> bool {
        self.matches(|key| labels.get(key).and_then(Value::as_str))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}
