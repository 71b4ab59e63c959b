//! The seam through which everything that changes the machine goes.
//!
//! ```text
//! perform(what, act, undo) ── ok ──▶ undo is kept ── commit ──▶ forgotten
//!                          └─ error ─▶ unwind: the kept undos run, the last first
//! ```
//! A process may also die between two effects, and then the DEL cleans up. To test that at every place, the variable
//! `ORLOP_CNI_EFFECTS` makes the seam name each effect on stderr (`trace`), or kill its own process after the n-th (`kill:N`).

use api_cni::Error;

/// What is done, by name: tests check that each was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Reserve,
    Release,
    DelegateIpam,
    MakeBridge,
    AddGateway,
    EnableForwarding,
    MakeVeth,
    DeleteVeth,
    SetUpContainer,
    AllowForwarding,
    AddElements,
    RemoveElements,
    PrepareInterfaces,
    ForgetFlows,
    SetLoopback,
}

type Undo<'a> = Box<dyn FnOnce() -> Result<(), Error> + 'a>;

/// What was done so far, and how it is undone.
pub(crate) struct Effects<'a> {
    undos: Vec<(Effect, Undo<'a>)>,
    count: u32,
    trace: bool,
    kill_after: Option<u32>,
}

impl<'a> Effects<'a> {
    /// Nothing is done yet.
    pub(crate) fn new() -> Self {
        let wish = std::env::var("ORLOP_CNI_EFFECTS").unwrap_or_default();
        Self {
            undos: Vec::new(),
            count: 0,
            trace: wish == "trace",
            kill_after: wish.strip_prefix("kill:").and_then(|count| count.parse().ok()),
        }
    }

    /// Does something that needs no undoing: it is shared with others, or part of a thing whose undoing covers it.
    pub(crate) fn perform<T>(
        &mut self,
        what: Effect,
        act: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let value = act()?;
        self.count += 1;
        if self.trace {
            eprintln!("effect {} {what:?}", self.count);
        }
        if self.kill_after == Some(self.count) {
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
        Ok(value)
    }

    /// Does something and keeps how it is undone.
    ///
    /// The undo is kept before the act: an act that failed half-way is undone as well, so undos treat "not there" as success.
    pub(crate) fn undoable<T>(
        &mut self,
        what: Effect,
        act: impl FnOnce() -> Result<T, Error>,
        undo: impl FnOnce() -> Result<(), Error> + 'a,
    ) -> Result<T, Error> {
        self.undos.push((what, Box::new(undo)));
        self.perform(what, act)
    }

    /// Ends a request: forgets the undos of a success, runs those of a failure, whose details then say what they could not undo.
    pub(crate) fn finish<T>(self, outcome: Result<T, Error>) -> Result<T, Error> {
        let mut error = match outcome {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        for (what, undo) in self.undos.into_iter().rev() {
            if let Err(failed) = undo() {
                let more = format!("undoing {what:?}: {}", failed.msg);
                error.details =
                    if error.details.is_empty() { more } else { format!("{}; {more}", error.details) };
            }
        }
        Err(error)
    }
}

/// Runs every step of a teardown and returns the first error, with the others in its details.
pub(crate) fn all(steps: impl IntoIterator<Item = Result<(), Error>>) -> Result<(), Error> {
    let mut errors = steps.into_iter().filter_map(Result::err);
    let Some(mut first) = errors.next() else { return Ok(()) };
    for error in errors {
        first.details = format!("{}; {}", first.details, error.msg).trim_start_matches("; ").to_owned();
    }
    Err(first)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_failure_undoes_in_reverse_and_tells_what_it_could_not() {
        let log = RefCell::new(Vec::new());
        let undo = |name: &'static str| {
            let log = &log;
            move || {
                log.borrow_mut().push(name);
                Ok(())
            }
        };
        let mut effects = Effects::new();
        effects.undoable(Effect::Reserve, || Ok(()), undo("lease")).unwrap();
        effects.undoable(Effect::MakeVeth, || Ok(()), || Err(Error::new(100, "stuck"))).unwrap();
        let outcome =
            effects.undoable(Effect::AddElements, || Err::<(), _>(Error::new(5, "no")), undo("elements"));
        let error = effects.finish(outcome).unwrap_err();
        assert_eq!(*log.borrow(), ["elements", "lease"]);
        assert_eq!((error.msg.as_str(), error.details.as_str()), ("no", "undoing MakeVeth: stuck"));
    }

    #[test]
    fn a_success_undoes_nothing() {
        let mut effects = Effects::new();
        effects.undoable(Effect::Reserve, || Ok(()), || panic!("undone")).unwrap();
        assert!(effects.finish(Ok(())).is_ok());
    }

    #[test]
    fn a_teardown_goes_on_after_an_error() {
        let error = all([Err(Error::new(1, "a")), Ok(()), Err(Error::new(2, "b"))]).unwrap_err();
        assert_eq!((error.msg.as_str(), error.details.as_str()), ("a", "b"));
        assert!(all([]).is_ok());
    }
}
