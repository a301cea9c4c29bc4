//! What went wrong, as a person reads it: a sentence, a hint, and the exit status it ends with.
//! How each command prints it is the business of `cli`.

use std::fmt;

mod characters;
mod files;
mod text;

pub(crate) use text::hides;
pub use text::{plain, plain_lines};

pub(crate) use files::io_text;

pub(crate) use characters::{code_point, is_invisible};

/// The exit statuses of every command, after `sysexits.h`; a contract with users' scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All exported: every record the org counted is in the file, or the report says why the numbers differ.
    Success = 0,
    /// Anything that has no status of its own, and several jobs that failed differently.
    General = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The query was refused, by the org or before it was sent.
    Query = 65,
    /// The org could not be reached, or kept failing.
    Unavailable = 69,
    /// The export is complete, but the command after it (`after`) failed.
    After = 70,
    /// The output could not be written.
    Output = 73,
    /// The org's response was incomplete or not a response of the API.
    Incomplete = 74,
    /// A limit or a lock: the same command may work later.
    TryLater = 75,
    /// The login was refused.
    Login = 77,
    /// The configuration is wrong.
    Configuration = 78,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The status of this number, as a run report holds it; [`Exit::General`] where it is none of ours.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        let all = [
            Self::Success,
            Self::Usage,
            Self::Query,
            Self::Unavailable,
            Self::After,
            Self::Output,
            Self::Incomplete,
            Self::TryLater,
            Self::Login,
            Self::Configuration,
            Self::Interrupted,
            Self::Terminated,
        ];
        all.into_iter().find(|exit| exit.code() == code).unwrap_or(Self::General)
    }

    /// Whether an outer scheduler may run the same command again without a person looking first.
    #[must_use]
    pub fn worth_a_retry(self) -> bool {
        matches!(self, Self::Unavailable | Self::After | Self::Incomplete | Self::TryLater)
    }

    /// One status for several runs: their common status if they agree, [`Exit::TryLater`] if every failure is worth a
    /// retry, else [`Exit::General`]. Successes do not count if any run failed.
    #[must_use]
    pub fn of_all(statuses: impl IntoIterator<Item = Self>) -> Self {
        let mut failed = statuses.into_iter().filter(|status| *status != Self::Success);
        let Some(first) = failed.next() else { return Self::Success };
        failed.fold(first, |all, next| match (all, next) {
            _ if all == next => all,
            // A signal ends the command, whatever else went wrong before it.
            (Self::Interrupted | Self::Terminated, _) => all,
            (_, Self::Interrupted | Self::Terminated) => next,
            _ if all.worth_a_retry() && next.worth_a_retry() => Self::TryLater,
            _ => Self::General,
        })
    }

    /// The same for runs of which a retry repeats only those that failed: [`Exit::TryLater`] if any failure is worth a
    /// retry.
    #[must_use]
    pub fn of_repeatable(statuses: impl IntoIterator<Item = Self> + Clone) -> Self {
        match Self::of_all(statuses.clone()) {
            Self::General if statuses.into_iter().any(Self::worth_a_retry) => Self::TryLater,
            exit => exit,
        }
    }
}

/// A failure that a person will read: what was being done and to what, why it did not work, and what to do
/// about it. Never holds a key, an assertion, a token or, from the HTTP layer, a query's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit status of a process that ends with it.
    pub exit: Exit,
    /// What went wrong; may have several lines, as an org's own refusal does.
    pub what: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// `what` without the literals of a query, if it quotes one: for readers who need not know them.
    pub redacted: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), hint: None, redacted: None }
    }

    /// The same failure with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with what was being done before it: `context: what`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.what = format!("{context}: {}", self.what);
        self.redacted = self.redacted.map(|redacted| format!("{context}: {redacted}"));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn several_runs_end_with_the_status_an_outer_scheduler_can_act_on() {
        let all = |statuses: &[Exit]| Exit::of_all(statuses.iter().copied()).code();
        assert_eq!(all(&[]), 0);
        assert_eq!(all(&[Exit::Success, Exit::Success]), 0);
        assert_eq!(all(&[Exit::Success, Exit::Query]), 65);
        assert_eq!(all(&[Exit::Query, Exit::Query]), 65);
        assert_eq!(all(&[Exit::Unavailable, Exit::Incomplete]), 75);
        assert_eq!(all(&[Exit::After, Exit::TryLater]), 75);
        assert_eq!(all(&[Exit::Unavailable, Exit::Query]), 1);
        assert_eq!(all(&[Exit::Unavailable, Exit::Incomplete, Exit::Query]), 1);
        assert_eq!(all(&[Exit::Query, Exit::Terminated]), 143);
    }
}
