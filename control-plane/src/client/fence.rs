//! Until when somebody may write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A time after which those who have this write no longer. It is asked before every write, and so holds for one who did
/// not run for a while as well, however long that was, and before any timer tells. (Time in which the whole machine is
/// suspended does not pass for [`Instant`].) A write that was begun before the end may still be stored after it.
#[derive(Debug, Clone)]
pub struct Fence(Arc<Mutex<Instant>>);

impl Fence {
    /// One that holds until then.
    pub fn until(end: Instant) -> Self {
        Self(Arc::new(Mutex::new(end)))
    }

    /// Lets it end at another time, for everybody who has it.
    pub fn set(&self, end: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    /// Whether writes are allowed.
    pub fn holds(&self) -> bool {
        Instant::now() < *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_ends_for_all_who_have_it() {
        let fence = Fence::until(Instant::now() + Duration::from_secs(60));
        let other = fence.clone();
        assert!(other.holds());
        fence.set(Instant::now());
        assert!(!other.holds());
    }
}
