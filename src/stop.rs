//! Stopping a run from outside: an argument, not a hidden signal handler.

use tokio::sync::watch;

use crate::error::{Exit, Failure};

/// A stop request, passed to everything that should listen for it.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Option<Failure>>);

/// The sender of a stop request.
#[derive(Debug)]
pub struct StopSender(watch::Sender<Option<Failure>>);

impl Stop {
    /// A sender and its listener.
    #[must_use]
    pub fn new() -> (StopSender, Self) {
        let (sender, receiver) = watch::channel(None);
        (StopSender(sender), Self(receiver))
    }

    /// Waits for the stop request and returns the failure that the run ends with. Waits forever if the sender is gone.
    pub async fn requested(&self) -> Failure {
        let mut receiver = self.0.clone();
        let stopped = receiver.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        match stopped {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }
}

impl StopSender {
    /// Requests a stop. Only the first request counts.
    pub fn stop(&self, failure: Failure) {
        self.0.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                *stopped = Some(failure);
            }
            first
        });
    }

    /// Requests a stop because of a signal: [`Exit::Interrupted`] or [`Exit::Terminated`].
    pub fn signalled(&self, exit: Exit) {
        let signal = if exit == Exit::Interrupted { "SIGINT" } else { "SIGTERM" };
        self.stop(Failure::new(exit, format!("stopped by {signal}")));
    }
}
