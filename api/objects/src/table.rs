//! Tables of what is refused: a good object, and for each rule a change that breaks it.

use serde_json::Value;

use crate::rules::{self, Rules};
use crate::{FieldError, fill};

/// A kind and an object of it that is not refused.
pub(crate) struct Table {
    rules: &'static Rules,
    good: Value,
}

/// Where something is changed (a JSON pointer), to what (nothing when null), and how the first errors begin.
pub(crate) type Row<'a> = (&'a str, Value, &'a [&'a str]);

/// Errors as the API writes them.
pub(crate) fn lines(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

impl Table {
    /// Takes an object whose defaults are not set yet.
    pub(crate) fn of(group: &str, kind: &str, mut good: Value) -> Self {
        let rules = rules::of(group, kind).unwrap();
        (rules.defaults)(&mut good);
        assert_eq!(lines(&(rules.create)(&good)), Vec::<String>::new(), "{good}");
        assert_eq!(lines(&(rules.update)(&good, &good)), Vec::<String>::new(), "{good}");
        assert_eq!(lines(&(rules.status)(&good, &good)), Vec::<String>::new(), "{good}");
        Self { rules, good }
    }

    /// What is refused of a new object.
    pub(crate) fn create(&self, rows: &[Row<'_>]) {
        self.check(rows, self.rules.create);
    }

    /// What is refused of an object that replaces the good one.
    pub(crate) fn update(&self, rows: &[Row<'_>]) {
        self.check(rows, |object| (self.rules.update)(object, &self.good));
    }

    /// What is refused of a status that replaces the good one's.
    pub(crate) fn status(&self, rows: &[Row<'_>]) {
        self.check(rows, |object| (self.rules.status)(object, &self.good));
    }

    fn check(&self, rows: &[Row<'_>], refuse: impl Fn(&Value) -> Vec<FieldError>) {
        for (pointer, value, wanted) in rows {
            let mut object = self.good.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let field = field.replace("~1", "/");
            let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("no {pointer}"));
            match (parent, value) {
                (parent, Value::Null) => fill::remove(parent, &[&field]),
                (Value::Array(list), value) => list[field.parse::<usize>().unwrap()] = value.clone(),
                (parent, value) => parent[&field] = value.clone(),
            }
            let found = lines(&refuse(&object));
            let same =
                found.len() >= wanted.len() && found.iter().zip(*wanted).all(|(f, w)| f.starts_with(w));
            assert!(same && !wanted.is_empty(), "{pointer} {value}: {found:#?}");
        }
    }
}
