//! Transcripts: what a person types into a shell, and what they see.
//!
//! ```text
//! // A remark.
//! $ kubectl get pods                a command; `~` for one that is repeated until it says what it should
//! $ [1.28] kubectl auth whoami      one for kubectls from that version on
//! > more of the command
//! NAME  READY …                     what it prints, errors among it; `…` stands for anything in a line
//! …                                 any lines
//! ? 1                               its exit code, where that is not 0
//! ```
//!
//! Blank lines and the width of gaps do not count.

/// A command and what it is to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// It is repeated until it prints that.
    pub again: bool,
    /// Major and minor version of the oldest kubectl that can do it.
    pub since: (u32, u32),
    /// Given to a shell.
    pub command: String,
    /// Lines.
    pub expected: Vec<String>,
}

/// The steps of a transcript.
pub fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("//")) {
        let command = line.strip_prefix("$ ").or_else(|| line.strip_prefix("~ "));
        match (command, steps.last_mut()) {
            (Some(command), _) => {
                let told = command.strip_prefix('[').and_then(|rest| rest.split_once("] "));
                let (since, command) =
                    told.and_then(|(told, rest)| Some((version(told)?, rest))).unwrap_or(((0, 0), command));
                let again = line.starts_with('~');
                steps.push(Step { again, since, command: command.to_owned(), expected: Vec::new() });
            }
            (None, Some(step)) => match line.strip_prefix("> ").filter(|_| step.expected.is_empty()) {
                Some(more) => step.command = format!("{}\n{more}", step.command),
                None => step.expected.push(line.to_owned()),
            },
            (None, None) => {}
        }
    }
    steps
}

/// `1.28`
pub fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether a command printed what it is to.
pub fn fits(expected: &[String], printed: &str) -> bool {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected: Vec<String> = expected.iter().map(|line| words(line)).collect();
    let printed: Vec<String> = printed.lines().map(words).filter(|line| !line.is_empty()).collect();
    all_fit(&expected, &printed)
}

fn all_fit(expected: &[String], printed: &[String]) -> bool {
    match expected {
        [] => printed.is_empty(),
        [any, rest @ ..] if any == "…" => (0..=printed.len()).any(|skip| all_fit(rest, &printed[skip..])),
        [first, rest @ ..] => {
            printed.first().is_some_and(|line| line_fits(first, line)) && all_fit(rest, &printed[1..])
        }
    }
}

fn line_fits(expected: &str, printed: &str) -> bool {
    let Some((before, after)) = expected.split_once('…') else { return expected == printed };
    let Some(rest) = printed.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_fits(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_what_they_print_are_told_apart() {
        let text = "// why\n$ one\n> two\nout\n> not more\n\n~ [1.28] three\n? 1\n";
        let step = |again, command: &str, expected: &[&str]| Step {
            again,
            since: if again { (1, 28) } else { (0, 0) },
            command: command.to_owned(),
            expected: expected.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(
            parse(text),
            [step(false, "one\ntwo", &["out", "> not more"]), step(true, "three", &["? 1"])]
        );
    }

    #[test]
    fn gaps_do_not_count_and_anything_is_anything() {
        for (expected, printed, fit) in [
            (&["NAME  AGE", "a …"][..], "NAME     AGE\n\na        5s\n", true),
            (&["a …s"], "a 5m", false),
            (&["a"], "a\nb", false),
            (&["…", "b"], "x\ny\nb", true),
            (&["…", "b"], "x\ny", false),
            (&["a…b…c"], "a1b2b3c", true),
            (&[], "\n", true),
            (&["é…"], "é", true),
        ] {
            let expected: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(fits(&expected, printed), fit, "{expected:?} {printed:?}");
        }
    }
}
