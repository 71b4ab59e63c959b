//! `integration/ledger/api.md`: how many steps of which case do not agree, and why.

use std::collections::BTreeMap;

use crate::recorded;

/// What came of a case.
#[derive(Debug, Clone)]
pub(crate) struct Agreed {
    pub case: String,
    pub agree: usize,
    pub steps: usize,
}

/// Writes the table anew, keeping the reasons.
const WRITE: &str = "ORLOP_LEDGER_WRITE";
const HEADING: &str = "| case | steps that agree | of | why others do not |";
const LINE: &str = "|---|---|---|---|";
const NEW: &str = "?";

/// The rows: a case with the number of its steps that agree, and the reason. A case without a row agrees altogether.
pub(crate) struct Ledger(BTreeMap<String, (usize, String)>);

impl Ledger {
    fn parse(text: &str) -> Self {
        let rows = text.lines().skip_while(|line| *line != HEADING).skip(2);
        let rows = rows.map_while(|line| line.strip_prefix("| `")).filter_map(|line| {
            let (case, rest) = line.split_once("` | ")?;
            let mut cells = rest.trim_end_matches('|').split(" | ").map(str::trim);
            let agree = cells.next()?.parse().ok()?;
            Some((case.to_owned(), (agree, cells.nth(1)?.to_owned())))
        });
        Self(rows.collect())
    }

    /// Compares with what was replayed; a case that does worse fails, one that does better is told.
    pub(crate) fn check(agreed: &[Agreed]) -> Result<(), String> {
        let path = recorded::root().join("integration/ledger/api.md");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let ledger = Self::parse(&text);
        let (agree, steps) = agreed.iter().fold((0, 0), |sum, a| (sum.0 + a.agree, sum.1 + a.steps));
        eprintln!("{agree} of {steps} steps agree");
        if std::env::var_os(WRITE).is_some() {
            return std::fs::write(&path, ledger.rewrite(&text, agreed)).map_err(|e| e.to_string());
        }
        let mut worse = Vec::new();
        for Agreed { case, agree, steps } in agreed {
            let expected = ledger.0.get(case).map_or(*steps, |(agree, _)| *agree);
            match agree.cmp(&expected) {
                std::cmp::Ordering::Less => worse.push(format!("{case}: {agree} of {steps}, not {expected}")),
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => {
                    eprintln!("better than the ledger: {case}: {agree} of {steps}")
                }
            }
        }
        let known = |case: &&String| agreed.iter().any(|a| a.case == **case);
        worse.extend(ledger.0.keys().filter(|case| !known(case)).map(|case| format!("no such case: {case}")));
        if worse.is_empty() { Ok(()) } else { Err(worse.join("\n")) }
    }

    fn rewrite(&self, text: &str, agreed: &[Agreed]) -> String {
        let before = text.split(HEADING).next().unwrap_or_default();
        let mut written = format!("{before}{HEADING}\n{LINE}\n");
        for Agreed { case, agree, steps } in agreed.iter().filter(|a| a.agree < a.steps) {
            let why = self.0.get(case).map_or(NEW, |(_, why)| why.as_str());
            written.push_str(&format!("| `{case}` | {agree} | {steps} | {why} |\n"));
        }
        written
    }
}
