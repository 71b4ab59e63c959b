//! What is known to fail or to be left out, against what did and was.

use serde_json::Value;

use integration::runner::{TestError, fail};

/// One case of the suite.
pub(crate) struct Outcome {
    /// All its texts, from the outermost.
    pub name: String,
    /// As ginkgo spells it: `passed`, `skipped`, `failed`, `panicked`, `timedout`, …
    pub state: String,
    /// What it said when it did not pass.
    pub message: String,
}

impl Outcome {
    /// The cases of ginkgo's JSON report, without the suite's own setup and end.
    pub(crate) fn parse(report: &[u8]) -> Result<Vec<Self>, TestError> {
        let report: Value = serde_json::from_slice(report)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let Some(cases) = report[0]["SpecReports"].as_array() else {
            return fail("critest's report has no cases");
        };
        let named = cases.iter().filter(|case| case["LeafNodeType"] == "It");
        let outcomes: Vec<Self> = named
            .map(|case| {
                let mut words: Vec<String> =
                    case["ContainerHierarchyTexts"].as_array().into_iter().flatten().map(text).collect();
                words.push(text(&case["LeafNodeText"]));
                let name = words.join(" ");
                Self { name, state: text(&case["State"]), message: text(&case["Failure"]["Message"]) }
            })
            .collect();
        if outcomes.iter().any(|outcome| outcome.state == "passed") {
            Ok(outcomes)
        } else {
            fail("critest passed no case at all")
        }
    }
}

/// The two tables of the ledger. A row begins with a name in backticks.
pub(crate) struct Ledger {
    /// Names of cases that fail.
    fails: Vec<String>,
    /// Beginnings of the names of cases that the suite leaves out.
    left_out: Vec<String>,
}

impl Ledger {
    /// Reads the tables below the headings `## Fails` and `## Left out`.
    pub(crate) fn parse(text: &str) -> Self {
        let rows = |heading: &str| {
            let section = text.lines().skip_while(|line| *line != heading).skip(1);
            section
                .take_while(|line| !line.starts_with("## "))
                .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
                .collect()
        };
        Self { fails: rows("## Fails"), left_out: rows("## Left out") }
    }

    /// A line for everything that is not as the tables say.
    pub(crate) fn differences(&self, outcomes: &[Outcome]) -> Vec<String> {
        let mut lines = Vec::new();
        for Outcome { name, state, message } in outcomes {
            let fails = self.fails.contains(name);
            let left_out = self.left_out.iter().any(|beginning| name.starts_with(beginning.as_str()));
            match state.as_str() {
                "passed" if fails => lines.push(format!("passes, strike it from the ledger: {name}")),
                "passed" => {}
                "skipped" if left_out => {}
                "skipped" => lines.push(format!("left out, and not in the ledger: {name}: {message}")),
                _ if fails => {}
                _ => lines.push(format!("{state}, and not in the ledger: {name}: {message}")),
            }
        }
        let ran = |name: &String| outcomes.iter().any(|outcome| outcome.name == *name);
        lines.extend(self.fails.iter().filter(|name| !ran(name)).map(|name| format!("no such case: {name}")));
        lines
    }
}
