//! Why a run ended without its export, as far as code acts on the cause. It becomes a [`Failure`], which a person
//! reads, once: in the run's report.

use thiserror::Error;

use crate::error::{Exit, Failure};
use crate::salesforce::fault::Fault;
use crate::state::{LockError, StateError};

/// Why a run ended without its export.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RunError {
    /// The job was already running, in this process or another.
    #[error("{0}")]
    AlreadyRunning(Failure),
    /// A signal, a newer occurrence or the run's own timeout ended it.
    #[error("{0}")]
    Stopped(Failure),
    /// The org or the network, beyond what is tried again.
    #[error("{}", .0.what)]
    Fault(Fault),
    /// The reader of standard output stopped reading.
    #[error("the reader of standard output has gone")]
    ReaderGone,
    /// Some of the run's files have appeared and others have not, or a power cut may still make it so; or all have, and
    /// that their command failed could not be noted. The job's next run finishes what is left, so the journal must keep
    /// its entries.
    #[error("{0}")]
    PartlyPublished(Failure),
    /// Anything else on this side: a file, the configuration, the query.
    #[error("{0}")]
    Failed(Failure),
}

impl RunError {
    /// What a person reads, with the exit status.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        match self {
            Self::AlreadyRunning(failure)
            | Self::Stopped(failure)
            | Self::PartlyPublished(failure)
            | Self::Failed(failure) => failure,
            Self::Fault(fault) => fault.into_failure(),
            Self::ReaderGone => Failure::new(Exit::General, self.to_string()),
        }
    }
}

/// A run ended from outside, with what a person reads of it.
pub(super) struct Stopped(pub(super) Failure);

impl From<Stopped> for RunError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped.0)
    }
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<LockError> for RunError {
    fn from(error: LockError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<StateError> for RunError {
    fn from(error: StateError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Fault> for RunError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
