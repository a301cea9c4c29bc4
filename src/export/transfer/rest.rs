//! From the first page to the last. Each page is requested as soon as the head of the previous one names it, so the
//! org works on the next page while this one is received and written. At most one page is requested ahead.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::counting::{Counting, Decision, Pass, Verified};
use super::super::error::Stopped;
use super::super::plan::Plan;
use super::super::writer::{Accepted, Command, Reply, WriterThread};
use super::count::judge;
use crate::client::OrgClient;
use crate::error::Failure;
use crate::job::Job;
use crate::monitor::Event;
use crate::report::RunReport;
use crate::retry::Attempts;
use crate::salesforce::call::Call;
use crate::salesforce::fault::{Fault, FaultKind};
use crate::salesforce::page::next_locator;
use crate::salesforce::query::{self, QueryLocator};

/// How often the query may begin again because its locator is gone.
const LOCATOR_RESTARTS: u64 = 2;

/// Why a transfer ended before its end.
pub(in crate::export) enum TransferError {
    /// The org or the network, beyond what is tried again.
    Fault(Fault),
    /// The run was ended from outside.
    Stopped(Failure),
    /// The writer's thread has ended, and knows why.
    Writer,
}

impl From<Fault> for TransferError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Stopped> for TransferError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped.0)
    }
}

/// Brings the whole result to the writer and counts it. Starts the query over if that may help. The report has the pages
/// of the last pass and the restarts, of a transfer that fails too.
pub(in crate::export) async fn transfer(
    client: &Arc<OrgClient>,
    job: &Job,
    plan: &Plan,
    writer: &mut WriterThread,
    report: &mut RunReport,
) -> Result<Verified, TransferError> {
    let mut counting = Counting::new(job.count_check);
    let mut locator_restarts = 0;
    let verified = loop {
        // Before the query is sent: what is deleted from now on may be missing from its pages.
        let begun = client.date();
        let (decision, ended) = match pass(client, plan, writer, &mut report.pages).await {
            Ok(pass) => (judge(client, job, &counting, pass, begun).await, Some(pass.records)),
            Err(TransferError::Fault(fault)) => match fault.kind {
                FaultKind::Miscount => (counting.after_miscount(fault), None),
                FaultKind::LocatorExpired if locator_restarts < LOCATOR_RESTARTS => {
                    locator_restarts += 1;
                    report.restarts += 1;
                    start_over(client, writer, fault).await?;
                    continue;
                }
                _ => return Err(fault.into()),
            },
            Err(ended) => return Err(ended),
        };
        match decision {
            Decision::Complete(verified) => break verified,
            Decision::StartOver(fault) => {
                counting.start_over(ended);
                report.restarts += 1;
                start_over(client, writer, fault).await?;
            }
            Decision::Incomplete(fault) => return Err(fault.into()),
        }
    };
    match writer.ask(Command::Finish).await {
        Some(Reply::Finished) => Ok(verified),
        _ => Err(TransferError::Writer),
    }
}

/// Empties the output for another pass, which this fault is the reason for.
async fn start_over(
    client: &OrgClient,
    writer: &mut WriterThread,
    fault: Fault,
) -> Result<(), TransferError> {
    match writer.ask(Command::Restart).await {
        Some(Reply::Restarted) => {}
        Some(Reply::CannotRestart) => {
            let fault = fault.and("some of the output has already been sent");
            return Err(fault.hint("write to a file instead of standard output").into());
        }
        _ => return Err(TransferError::Writer),
    }
    client.notice(&Event::Restarted { fault: &fault.what });
    tracing::warn!(job = client.job(), org = %client.org().name, run_id = client.run_id(), fault = %fault, "the query starts over");
    Ok(())
}

/// Goes through the result once, and counts its pages.
async fn pass(
    client: &Arc<OrgClient>,
    plan: &Plan,
    writer: &mut WriterThread,
    pages: &mut u64,
) -> Result<Pass, TransferError> {
    // The locators of child queries may expire when a further page of parents is asked for.
    let ahead = !plan.columns.has_children();
    *pages = 0;
    client.begin_result();
    let mut current = Fetch::start(client, plan.first.clone());
    loop {
        // The head may say nothing of a next page, or say it too late; then what was read says it.
        let following = match current.next().await {
            Some(locator) if ahead && client.may_ask_ahead() => {
                Some((Fetch::start(client, query::next_page(&locator)), locator))
            }
            _ => None,
        };
        let (page, attempts) = current.page().await?;
        let accepted = write(client, &current.call, page, attempts, writer).await?;
        client.accepted();
        *pages += 1;
        let Accepted { page, next, records, total, bytes, can_restart } = accepted;
        client.give_back(page);
        client.notice(&Event::Progress { records, total, bytes });
        current = match (next, following) {
            (None, _) => return Ok(Pass::new(records, total, can_restart)),
            (Some(next), Some((following, locator))) if locator == next => following,
            (Some(next), _) => Fetch::start(client, query::next_page(&next)),
        };
    }
}

/// Gives a page to the writer, fetches what it needs for it, and asks for the page again where it was cut: the tries
/// that it took to arrive count with those that its reading takes, for a page of children too.
async fn write(
    client: &OrgClient,
    call: &Call<'_>,
    page: Vec<u8>,
    mut attempts: Attempts,
    writer: &mut WriterThread,
) -> Result<Accepted, TransferError> {
    let mut attempts_of_children: HashMap<QueryLocator, Attempts> = HashMap::new();
    let mut command = Command::Page(page);
    loop {
        command = match writer.ask(command).await {
            Some(Reply::Accepted(accepted)) => return Ok(accepted),
            Some(Reply::NeedChildren(locator)) => {
                let call = query::next_page(&locator);
                let attempts = attempts_of_children.entry(locator).or_default();
                let children = client.page_of_children(&call, attempts).await;
                if children.is_ok() {
                    client.accepted();
                }
                Command::Children(children)
            }
            Some(Reply::Rejected { fault, again: true }) => {
                client.wait_after(fault, &mut attempts).await?;
                Command::Page(client.page(call, &mut attempts, &mut |_| true).await?)
            }
            Some(Reply::Rejected { fault, again: false }) => return Err(fault.into()),
            Some(Reply::Restarted | Reply::CannotRestart | Reply::Finished) | None => {
                return Err(TransferError::Writer);
            }
        };
    }
}

/// Fetches a page; `next` is sent the next page's place as soon as the first bytes name it, while the rest is still on
/// its way.
async fn fetch(
    client: &OrgClient,
    call: &Call<'_>,
    next: oneshot::Sender<QueryLocator>,
    attempts: &mut Attempts,
) -> Result<Vec<u8>, Fault> {
    let mut next = Some(next);
    let mut peek = |arrived: &[u8]| {
        if let Some(locator) = next_locator(arrived)
            && let Some(next) = next.take()
        {
            // Nobody listens any more if the run is ending.
            let _ = next.send(locator);
        }
        next.is_none()
    };
    client.page(call, attempts, &mut peek).await
}

/// A page on its way, by a task of its own that ends when this is dropped.
struct Fetch {
    call: Call<'static>,
    next: Option<oneshot::Receiver<QueryLocator>>,
    task: JoinHandle<Result<(Vec<u8>, Attempts), Fault>>,
}

impl Fetch {
    fn start(client: &Arc<OrgClient>, call: Call<'static>) -> Self {
        let (head, next) = oneshot::channel();
        let task = tokio::spawn({
            let (client, call) = (Arc::clone(client), call.clone());
            async move {
                let mut attempts = Attempts::default();
                let page = fetch(&client, &call, head, &mut attempts).await?;
                Ok((page, attempts))
            }
        });
        Self { call, next: Some(next), task }
    }

    /// Where the next page is, as soon as this one's first bytes tell; `None` once it is clear that they will not.
    async fn next(&mut self) -> Option<QueryLocator> {
        self.next.take()?.await.ok()
    }

    /// The page, and the tries that failed before it came.
    async fn page(&mut self) -> Result<(Vec<u8>, Attempts), Fault> {
        match (&mut self.task).await {
            Ok(page) => page,
            Err(error) => Err(Fault::new(FaultKind::InvalidResponse, format!("a bug in sfexport: {error}"))),
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
