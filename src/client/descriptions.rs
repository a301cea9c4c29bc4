//! The descriptions of many objects, in batches if the org takes them. Each is read as it arrives, and those that failed
//! are asked for again without the others.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{OrgClient, unreadable};
use crate::export::blocking;
use crate::http::Response;
use crate::retry::Attempts;
use crate::salesforce::composite::{self, InnerResponse, Results};
use crate::salesforce::describe::{self, ObjectDescription};
use crate::salesforce::fault::{self, ErrorCode, Fault, FaultKind};
use crate::salesforce::response::Head;

/// What an object's description is called in messages.
const SUBJECT: &str = "the description of the object";

/// The longest description that is read on the network's threads, in bytes: 2 ms.
const MAX_READ_AT_ONCE: usize = 1 << 20;

/// What the org said of an object.
type Described = Result<ObjectDescription, Fault>;

impl OrgClient {
    /// The org's descriptions of these objects, in their order and without their labels, references and children, or why
    /// there is none.
    pub async fn describe_objects(&self, objects: &[&str]) -> Vec<Described> {
        let mut described = Vec::with_capacity(objects.len());
        for objects in objects.chunks(composite::MAX_REQUESTS) {
            let mut batch = Batch::new(objects);
            self.describe_batch(&mut batch).await;
            described.extend(batch.into_described());
        }
        described
    }

    async fn describe_batch(&self, batch: &mut Batch<'_>) {
        let mut attempts = Attempts::default();
        while !batch.is_done() {
            if batch.objects.len() == 1 || !self.takes_batches() {
                return self.describe_each(batch).await;
            }
            let round = self.describe_once(batch, &mut attempts).await;
            let waited = match round {
                Ok(Some(wait)) => {
                    self.edges.clock.sleep(wait).await;
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(fault) if is_refusal(&fault) => {
                    tracing::info!(job = self.job(), org = %self.org.name, run_id = self.run_id(), fault = %fault, "the org takes no batches; describing objects one by one");
                    self.shared.refuses_batches.store(true, Ordering::Relaxed);
                    Ok(())
                }
                Err(fault) if fault.kind == FaultKind::Truncated => {
                    self.wait_after(fault, &mut attempts).await
                }
                Err(fault) => Err(fault),
            };
            if let Err(fault) = waited {
                batch.give_up(&fault);
            }
        }
    }

    /// Asks once for what is missing. Gives how long to wait before the next time, if some of it should be asked for
    /// again.
    async fn describe_once(
        &self,
        batch: &mut Batch<'_>,
        attempts: &mut Attempts,
    ) -> Result<Option<Duration>, Fault> {
        let session = self.session().await?;
        let missing = batch.missing();
        let names: Vec<_> = missing.iter().map(|at| batch.objects[*at]).collect();
        let call = describe::batch(&self.org.api_version, &names);
        let mut response = self.open(&call, attempts).await?;
        let faults = self.read_descriptions(&mut response, &missing, batch).await?;
        let mut longest = None;
        for (at, fault) in faults {
            let next = match fault.kind {
                FaultKind::SessionExpired => self.forget(&session, fault).await.map(|()| Duration::ZERO),
                _ => self.next_attempt(fault, &mut batch.attempts[at]),
            };
            match next {
                Ok(wait) => longest = longest.max(Some(wait)),
                Err(fault) => batch.described[at] = Some(Err(fault)),
            }
        }
        Ok(longest)
    }

    /// Reads the response to a batch to its end, and gives what went wrong with objects.
    async fn read_descriptions(
        &self,
        response: &mut Response,
        missing: &[usize],
        batch: &mut Batch<'_>,
    ) -> Result<Vec<(usize, Fault)>, Fault> {
        let (mut results, mut faults) = (Results::default(), Vec::new());
        let mut missing = missing.iter().copied();
        let cap = usize::try_from(self.edges.http.page_cap()).unwrap_or(usize::MAX);
        loop {
            let is_more = response.more().await?;
            results.push(&response.take_body());
            while results.is_ready() {
                let at = missing.next().ok_or_else(not_as_many)?;
                // Another thread to take over the network costs more than reading most descriptions.
                let is_long = results.held() > MAX_READ_AT_ONCE;
                let asked = batch.objects[at];
                let mut read = || results.next(|inner| self.read_description(&inner, asked));
                let described = if is_long { blocking(read) } else { read() }?;
                match described {
                    Some(Ok(description)) => {
                        self.accepted();
                        batch.described[at] = Some(Ok(description));
                    }
                    Some(Err(fault)) => faults.push((at, fault)),
                    None => return Err(not_as_many()),
                }
            }
            if results.held() > cap {
                return Err(Fault::new(
                    FaultKind::InvalidResponse,
                    "a description in the org's response to composite/batch is larger than page_cap",
                )
                .hint("raise page_cap in [http]"));
            }
            if !is_more {
                break;
            }
        }
        results.finish()?;
        if missing.next().is_some() {
            return Err(not_as_many());
        }
        Ok(faults)
    }

    fn read_description(&self, inner: &InnerResponse<'_>, asked: &str) -> Described {
        if inner.status != 200 {
            let head = Head::of_status(inner.status);
            return Err(fault::read(&head, inner.body(), SUBJECT, &self.org.api_version));
        }
        match describe::read(inner.body()) {
            // Results in another order would put the records of one object into the file of another.
            Some(description) if !description.name.eq_ignore_ascii_case(asked) => Err(Fault::new(
                FaultKind::Truncated,
                format!("the org described \"{}\" where \"{asked}\" was asked for", description.name),
            )),
            Some(description) => Ok(description.of_fields()),
            None => Err(unreadable(SUBJECT)),
        }
    }

    /// Asks for what is missing, one object after the other.
    async fn describe_each(&self, batch: &mut Batch<'_>) {
        for at in batch.missing() {
            let described = self.describe_object(batch.objects[at]).await;
            if let Err(fault) = &described
                && fault.is_about_the_org()
            {
                batch.give_up(fault);
                return;
            }
            batch.described[at] = Some(described.map(ObjectDescription::of_fields));
        }
    }

    fn takes_batches(&self) -> bool {
        composite::is_offered(&self.org.api_version) && !self.shared.refuses_batches.load(Ordering::Relaxed)
    }
}

/// Objects that are described by one request, if all goes well.
struct Batch<'o> {
    objects: &'o [&'o str],
    described: Vec<Option<Described>>,
    attempts: Vec<Attempts>,
}

impl<'o> Batch<'o> {
    fn new(objects: &'o [&'o str]) -> Self {
        let (described, attempts) = (vec![None; objects.len()], vec![Attempts::default(); objects.len()]);
        Self { objects, described, attempts }
    }

    /// The places of those that are not settled.
    fn missing(&self) -> Vec<usize> {
        (0..self.objects.len()).filter(|at| self.described[*at].is_none()).collect()
    }

    fn is_done(&self) -> bool {
        self.described.iter().all(Option::is_some)
    }

    /// Settles the rest with this fault.
    fn give_up(&mut self, fault: &Fault) {
        for described in self.described.iter_mut().filter(|described| described.is_none()) {
            *described = Some(Err(fault.clone()));
        }
    }

    fn into_described(self) -> impl Iterator<Item = Described> {
        self.described.into_iter().map(|described| described.unwrap_or_else(|| Err(not_as_many())))
    }
}

/// Whether the org refuses the batch itself, so single requests may do.
fn is_refusal(fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::QueryRefused | FaultKind::QueryTooLong => true,
        FaultKind::Configuration => fault.code != Some(ErrorCode::UnsupportedApiVersion),
        _ => false,
    }
}

fn not_as_many() -> Fault {
    Fault::new(
        FaultKind::Truncated,
        "the org's response to composite/batch does not have one result for each request",
    )
}
