//! The pages of a query job's result on their way to scratch files: in their order, several at once. A page is received as it
//! is sent, compressed or not, so the org is never kept waiting for a disk that is slower than the network.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::client::OrgClient;
use crate::export::scratch::{Scratch, ScratchFile};
use crate::export::slots::{DownloadSlot, Slots};
use crate::export::transfer::TransferError;
use crate::http::Response;
use crate::retry::Attempts;
use crate::salesforce::bulk::job::{Locator, PageHead, QueryJob};
use crate::salesforce::call::Call;
use crate::salesforce::fault::{Fault, FaultKind};

/// From how many records on the pages are listed. A smaller result is a page or two, which their own heads lead to.
const LISTED_FROM: u64 = 50_000;

/// How many bytes are collected before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// A result page in a scratch file.
pub(in crate::export) struct ResultPage {
    /// At its beginning.
    pub(in crate::export) file: ScratchFile,
    /// Whether it is compressed.
    pub(in crate::export) is_gzip: bool,
    /// What the org says of it.
    pub(in crate::export) head: PageHead,
}

/// What all downloads of a result share.
#[derive(Clone)]
pub(super) struct Downloads {
    pub(super) client: Arc<OrgClient>,
    pub(super) slots: Slots,
    pub(super) scratch: Scratch,
    /// How many pages of the org at once.
    pub(super) parallel: usize,
    /// How many records a page should have.
    pub(super) max_records: Option<u64>,
}

/// A page being downloaded by a separate task, which ends when this is dropped.
pub(super) struct Download {
    pub(super) call: Call<'static>,
    task: JoinHandle<Result<(ResultPage, Attempts), TransferError>>,
}

impl Download {
    /// The page, and the attempts that it took.
    pub(super) async fn page(&mut self) -> Result<(ResultPage, Attempts), TransferError> {
        match (&mut self.task).await {
            Ok(page) => page,
            Err(error) => {
                let what = format!("a bug in sfexport: {error}");
                Err(Fault::new(FaultKind::InvalidResponse, what).into())
            }
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The pages of a result, started in their order; ends with `None` after the last one.
pub(super) struct Pages {
    pages: mpsc::Receiver<Result<Download, Fault>>,
    task: JoinHandle<()>,
}

impl Pages {
    /// Begins with the first page of a result of so many records.
    pub(super) fn start(downloads: &Downloads, job: &QueryJob, records: u64) -> Self {
        let (started, pages) = mpsc::channel(downloads.parallel.saturating_sub(1).max(1));
        let (downloads, job) = (downloads.clone(), job.clone());
        let task = tokio::spawn(async move {
            let mut places = Places::new(&downloads, &job, records);
            loop {
                let started_page = match places.next(&downloads.client).await {
                    Ok(None) => break,
                    Ok(Some(place)) => {
                        let call = job.results(place.as_ref(), downloads.max_records);
                        let slot =
                            downloads.slots.download(&downloads.client.org().name, downloads.parallel).await;
                        let (page, head) = downloads.start(call, slot);
                        places.started(head);
                        Ok(page)
                    }
                    Err(fault) => Err(fault),
                };
                let is_last = started_page.is_err();
                if started.send(started_page).await.is_err() || is_last {
                    break;
                }
            }
        });
        Self { pages, task }
    }

    /// The next page; `None` after the last one.
    pub(super) async fn next(&mut self) -> Option<Result<Download, Fault>> {
        self.pages.recv().await
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where the pages are, as far as it is known: from lists of places, or else from the head of the page before.
struct Places {
    job: QueryJob,
    /// Places from a list that have not been fetched.
    listed: VecDeque<Option<Locator>>,
    list: List,
    /// The head of the page that was started last.
    last: Option<oneshot::Receiver<PageHead>>,
    /// Those that were fetched.
    seen: HashSet<Locator>,
    has_begun: bool,
}

/// Whether there is a further list.
enum List {
    /// The first one.
    First,
    /// One with this locator.
    Further(Locator),
    /// None.
    None,
}

impl Places {
    fn new(downloads: &Downloads, job: &QueryJob, records: u64) -> Self {
        let is_listed = records > LISTED_FROM
            && downloads.parallel > 1
            && downloads.max_records.is_none()
            && crate::salesforce::bulk::job::lists_pages(&job.api_version);
        Self {
            job: job.clone(),
            listed: VecDeque::new(),
            list: if is_listed { List::First } else { List::None },
            last: None,
            seen: HashSet::new(),
            has_begun: false,
        }
    }

    /// The place of the next page: `Some(None)` is the first page, `None` the end.
    async fn next(&mut self, client: &OrgClient) -> Result<Option<Option<Locator>>, Fault> {
        while self.listed.is_empty() {
            let call = match std::mem::replace(&mut self.list, List::None) {
                List::None => break,
                List::First => self.job.page_list(None),
                List::Further(locator) => self.job.page_list(Some(&locator)),
            };
            match client.result_page_list(&call).await {
                // A list without a page leads nowhere.
                Ok(list) if list.pages.is_empty() => {}
                Ok(list) => {
                    self.listed.extend(list.pages);
                    self.list = list.next.map_or(List::None, List::Further);
                }
                // The heads of the pages lead on as well.
                Err(fault) if !fault.is_about_the_org() => {
                    tracing::info!(job = client.job(), org = %client.org().name, run_id = client.run_id(), fault = %fault, "the result's pages cannot be listed; following them one by one");
                }
                Err(fault) => return Err(fault),
            }
        }
        let place = match self.listed.pop_front() {
            Some(listed) => Some(listed),
            None if !self.has_begun => Some(None),
            // Whoever fetches the page knows why it has no head.
            None => match self.last.take() {
                Some(head) => match head.await {
                    Ok(PageHead { next: Some(locator), .. }) => Some(Some(locator)),
                    Ok(PageHead { next: None, .. }) | Err(_) => None,
                },
                None => None,
            },
        };
        if let Some(Some(locator)) = &place
            && !self.seen.insert(locator.clone())
        {
            let what = "the result of the query job leads back to a page that was fetched before";
            return Err(Fault::new(FaultKind::InvalidResponse, what));
        }
        Ok(place)
    }

    fn started(&mut self, head: oneshot::Receiver<PageHead>) {
        (self.last, self.has_begun) = (Some(head), true);
    }
}

impl Downloads {
    fn start(&self, call: Call<'static>, slot: DownloadSlot) -> (Download, oneshot::Receiver<PageHead>) {
        let (told, head) = oneshot::channel();
        let task = tokio::spawn({
            let (downloads, call) = (self.clone(), call.clone());
            async move {
                let (mut told, mut attempts) = (Some(told), Attempts::default());
                let page = downloads.fetch(&call, &mut attempts, &mut told).await;
                drop(slot);
                Ok((page?, attempts))
            }
        });
        (Download { call, task }, head)
    }

    /// Fetches a page again that was damaged.
    pub(super) async fn again(
        &self,
        call: &Call<'static>,
        attempts: &mut Attempts,
    ) -> Result<ResultPage, TransferError> {
        let _slot = self.slots.download(&self.client.org().name, self.parallel).await;
        self.fetch(call, attempts, &mut None).await
    }

    /// Fetches a page, as often as the policy allows; `told` hears of its head before its body is there.
    async fn fetch(
        &self,
        call: &Call<'static>,
        attempts: &mut Attempts,
        told: &mut Option<oneshot::Sender<PageHead>>,
    ) -> Result<ResultPage, TransferError> {
        loop {
            let mut response = self.client.open_result_page(call, attempts).await?;
            let head = PageHead::read(&response.head)?;
            if let Some(told) = told.take() {
                // Nobody listens any more if the run is ending.
                let _ = told.send(head.clone());
            }
            let is_gzip = response.is_gzip();
            match self.receive(&mut response).await {
                Ok(file) => return Ok(ResultPage { file, is_gzip, head }),
                Err(TransferError::Fault(fault)) => self.client.wait_after(fault, attempts).await?,
                Err(ended) => return Err(ended),
            }
        }
    }

    async fn receive(&self, response: &mut Response) -> Result<ScratchFile, TransferError> {
        let scratch = self.scratch.clone();
        let mut file = self.on_disk(move || scratch.file()).await?;
        let mut bytes = Vec::with_capacity(WRITE_BYTES);
        loop {
            let goes_on = response.more_as_sent(&mut bytes).await?;
            if bytes.len() >= WRITE_BYTES || !goes_on {
                let write = move || {
                    file.write_all(&bytes)?;
                    if !goes_on {
                        file.rewind()?;
                    }
                    bytes.clear();
                    Ok((file, bytes))
                };
                (file, bytes) = self.on_disk(write).await?;
            }
            if !goes_on {
                return Ok(file);
            }
        }
    }

    /// Lets another thread wait for the disk. One that handed the network on to others while it waits would be replaced by
    /// dozens, and each keeps the memory of the responses that it has read.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, TransferError> {
        let done =
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| {
            TransferError::Failed(self.scratch.failure("cannot hold a page of the result in", &error))
        })
    }
}
