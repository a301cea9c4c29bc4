//! Stopping a run from outside: an argument, not a hidden signal handler.

use tokio::sync::watch;

use crate::error::{Exit, Failure};

/// A wish to stop, handed to everything that should listen.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Option<Failure>>);

/// The other end: says stop, once and for all.
#[derive(Debug)]
pub struct StopSender(watch::Sender<Option<Failure>>);

impl Stop {
    /// A wish that can be uttered, and its listener.
    #[must_use]
    pub fn new() -> (StopSender, Self) {
        let (sender, receiver) = watch::channel(None);
        (StopSender(sender), Self(receiver))
    }

    /// Waits until it is time to stop, and gives the failure that the run ends with. Waits for ever where nobody
    /// can say stop any more.
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
    /// Says stop. The first word holds.
    pub fn stop(&self, failure: Failure) {
        self.0.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                *stopped = Some(failure);
            }
            first
        });
    }

    /// Says stop because of a signal: [`Exit::Interrupted`] or [`Exit::Terminated`].
    pub fn signalled(&self, exit: Exit) {
        let signal = if exit == Exit::Interrupted { "SIGINT" } else { "SIGTERM" };
        self.stop(Failure::new(exit, format!("stopped by {signal}")));
    }
}
