//! From the first page to the last. Each page is requested as soon as the head of the previous one names it, so the
//! org works on the next page while this one is received and written. At most one page is requested ahead.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::counting::{Counting, Decision, Pass};
use super::super::plan::Plan;
use super::super::writer::{Accepted, Command, Reply, Reset, WriterThread};
use super::count::judge;
use super::{FirstPage, Transfer, TransferError, Way, reset};
use crate::client::OrgClient;
use crate::monitor::Event;
use crate::report::RunReport;
use crate::retry::Attempts;
use crate::salesforce::call::Call;
use crate::salesforce::fault::{Fault, FaultKind};
use crate::salesforce::page::next_locator;
use crate::salesforce::query::{self, QueryLocator};

/// How often the query may begin again because its locator is gone.
const LOCATOR_RESTARTS: u64 = 2;

/// Brings the whole result to the writer and counts it. Starts the query over if that may help, or leaves it to Bulk if the
/// run may use that. The report has the pages of the last pass and the restarts, of a transfer that fails too.
pub(super) async fn transfer(
    transfer: &Transfer<'_>,
    may_use_bulk: bool,
    counting: &mut Counting,
    writer: &mut WriterThread,
    report: &mut RunReport,
) -> Result<Way, TransferError> {
    let &Transfer { client, job, plan, .. } = transfer;
    let mut locator_restarts = 0;
    loop {
        // Before the query is sent: what is deleted from now on may be missing from its pages.
        let begun = client.date();
        let (decision, ended) = match pass(client, plan, may_use_bulk, writer, &mut report.pages).await {
            Ok(Passed::Switch(first)) => return Ok(Way::Switch(first)),
            Ok(Passed::Whole(pass)) => {
                report.total = pass.total;
                (judge(client, job, counting, pass, begun).await, Some(pass.records))
            }
            Err(TransferError::Fault(fault)) => match fault.kind {
                FaultKind::Miscount => (counting.after_miscount(fault), None),
                FaultKind::LocatorExpired if locator_restarts < LOCATOR_RESTARTS => {
                    locator_restarts += 1;
                    report.restarts += 1;
                    reset(client, writer, Reset::Same, fault).await?;
                    continue;
                }
                _ => return Err(fault.into()),
            },
            Err(ended) => return Err(ended),
        };
        match decision {
            Decision::Complete(verified) => return Ok(Way::Complete(verified)),
            Decision::StartOver(fault) => {
                counting.start_over(ended);
                if may_use_bulk {
                    return Ok(Way::TryBulk(fault));
                }
                report.restarts += 1;
                reset(client, writer, Reset::Same, fault).await?;
            }
            Decision::Incomplete(fault) => return Err(fault.into()),
        }
    }
}

/// How a pass ended.
enum Passed {
    /// It came to the result's end.
    Whole(Pass),
    /// The first page has shown that Bulk is the better way; nothing is written.
    Switch(FirstPage),
}

/// Goes through the result once, and counts its pages.
async fn pass(
    client: &Arc<OrgClient>,
    plan: &Plan,
    may_switch: bool,
    writer: &mut WriterThread,
    pages: &mut u64,
) -> Result<Passed, TransferError> {
    // The locators of child queries may expire when a further page of parents is asked for.
    let ahead = !plan.columns.has_children();
    *pages = 0;
    client.begin_result();
    let mut current = Fetch::start(client, plan.first.clone());
    loop {
        // The head may say nothing of a next page, or say it too late; then what was read says it.
        let following = match current.next().await {
            // A result that is left to Bulk needs no second page.
            Some(locator) if ahead && client.may_ask_ahead() && !(may_switch && *pages == 0) => {
                Some((Fetch::start(client, query::next_page(&locator)), locator))
            }
            _ => None,
        };
        let (page, attempts) = current.page().await?;
        let accepted = match write(client, &current.call, page, attempts, writer).await? {
            Write::Accepted(accepted) => accepted,
            Write::Switch(first) => return Ok(Passed::Switch(first)),
        };
        client.accepted();
        *pages += 1;
        let Accepted { page, next, records, total, bytes, can_restart } = accepted;
        client.give_back(page);
        client.notice(&Event::Progress { records, total, bytes });
        current = match (next, following) {
            (None, _) => return Ok(Passed::Whole(Pass::new(records, total, can_restart))),
            (Some(next), Some((following, locator))) if locator == next => following,
            (Some(next), _) => Fetch::start(client, query::next_page(&next)),
        };
    }
}

/// What became of a page.
enum Write {
    Accepted(Accepted),
    Switch(FirstPage),
}

/// Gives a page to the writer, fetches what it needs for it, and asks for the page again where it was cut: the tries
/// that it took to arrive count with those that its reading takes, for a page of children too.
async fn write(
    client: &OrgClient,
    call: &Call<'_>,
    page: Vec<u8>,
    mut attempts: Attempts,
    writer: &mut WriterThread,
) -> Result<Write, TransferError> {
    let mut attempts_of_children: HashMap<QueryLocator, Attempts> = HashMap::new();
    let mut command = Command::Page(page);
    loop {
        command = match writer.ask(command).await {
            Some(Reply::Accepted(accepted)) => return Ok(Write::Accepted(accepted)),
            Some(Reply::Switch(first)) => return Ok(Write::Switch(first)),
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

/// A page being downloaded by a separate task, which ends when this is dropped.
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
