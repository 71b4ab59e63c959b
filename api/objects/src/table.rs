//! Tables of what is refused: a good object, and for each rule a change that breaks it.

use serde_json::Value;

use crate::FieldError;
use crate::rules::{self, Rules};
pub(crate) use crate::trial::lines;
use crate::trial::with;

/// A kind and an object of it that is not refused.
pub(crate) struct Table {
    rules: &'static Rules,
    good: Value,
}

/// Where something is changed (a JSON pointer), to what (nothing when null), and how the first errors begin.
pub(crate) type Row<'a> = (&'a str, Value, &'a [&'a str]);

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
            let object = with(&self.good, pointer, value);
            let found = lines(&refuse(&object));
            let same =
                found.len() >= wanted.len() && found.iter().zip(*wanted).all(|(f, w)| f.starts_with(w));
            assert!(same && !wanted.is_empty(), "{pointer} {value}: {found:#?}");
        }
    }
}
