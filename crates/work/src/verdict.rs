//! How an attempt ended, for its span.

use jobs::State;
use spans::Span;

/// What became of the job by one attempt.
pub(crate) struct Verdict {
    /// `None` if somebody else had the job by then, or the store could not be told.
    state: Option<State>,
    /// Why it failed. Codes are the program's own words, messages are not: those stay here.
    code: Option<String>,
}

impl Verdict {
    pub(crate) const LOST: Self = Self { state: None, code: None };

    pub(crate) fn new(state: State, code: Option<String>) -> Self {
        Self { state: Some(state), code }
    }

    /// Ends the span with it.
    pub(crate) fn tell(self, mut span: Span) {
        let outcome = self.state.map_or("lost".to_owned(), |state| state.to_string());
        span.set("foldry.outcome", outcome);
        let failed = self.code.is_some() || self.state.is_none();
        if let Some(code) = self.code {
            span.set("error.type", code);
        }
        if failed {
            span.fail();
        }
        span.end();
    }
}
