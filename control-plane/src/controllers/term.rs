//! For how long controllers and the scheduler work, and may write.

use daemon::CancellationToken;

use crate::client::Fence;

/// The time for which something works.
#[derive(Debug, Clone)]
pub struct Term {
    /// Who asks it to end.
    pub closing: CancellationToken,
    /// What it writes is refused once this holds no longer; without one, nothing is.
    pub fence: Option<Fence>,
}

/// For as long as it is not asked to end.
impl From<CancellationToken> for Term {
    fn from(closing: CancellationToken) -> Self {
        Self { closing, fence: None }
    }
}
