//! The questions that explain a shortfall, asked when `counting` wants them. A question without an answer leaves the
//! shortfall as it is: it neither fails a run nor saves one.

use jiff::Timestamp;

use super::super::counting::{Counting, Decision, Finding, Pass, Question, Verdict};
use crate::client::OrgClient;
use crate::job::Job;
use crate::salesforce::fault::ErrorCode;
use crate::soql::Query;

/// The fields that a deletion moves, the one that more objects have first.
const STAMPS: [&str; 2] = ["SystemModstamp", "LastModifiedDate"];

/// Judges a pass that came to its end, and asks the org what that takes. `begun` is the time before the pass by the org's
/// clock.
pub(super) async fn judge(
    client: &OrgClient,
    job: &Job,
    counting: &Counting,
    mut pass: Pass,
    begun: Option<Timestamp>,
) -> Decision {
    loop {
        match counting.verdict(&pass) {
            Verdict::Ask(Question::Deleted) => pass.deleted = deleted_since(client, job, begun).await,
            Verdict::Ask(Question::Recount) => pass.recount = count_again(client, job).await,
            Verdict::Decided(decision) => return decision,
        }
    }
}

/// How many of the query's rows were deleted at `begun` or later.
async fn deleted_since(client: &OrgClient, job: &Job, begun: Option<Timestamp>) -> Finding {
    // A result with deleted rows in it is not shortened by deletions.
    let Some(begun) = begun.filter(|_| !job.all_rows) else { return Finding::Unknown };
    for stamp in STAMPS {
        let Some(soql) = job.query().and_then(|query| query.count_of_deleted(stamp, &begun.to_string()))
        else {
            break;
        };
        match client.count(true, &soql).await {
            Ok(rows) => {
                tracing::info!(
                    job = client.job(), org = %client.org().name, run_id = client.run_id(),
                    rows,
                    "counted the rows deleted since the query began"
                );
                return Finding::Counted(rows);
            }
            // The object does not have the field, or not this one.
            Err(fault) if fault.code == Some(ErrorCode::InvalidField) => {}
            Err(fault) => {
                tracing::warn!(job = client.job(), org = %client.org().name, run_id = client.run_id(), fault = %fault, "the deleted rows cannot be counted");
                break;
            }
        }
    }
    Finding::Unknown
}

/// How many rows the query's FROM and WHERE select now.
async fn count_again(client: &OrgClient, job: &Job) -> Finding {
    let Some(soql) = job.query().and_then(Query::count_of_all) else { return Finding::Unknown };
    match client.count(job.all_rows, &soql).await {
        Ok(records) => {
            tracing::info!(job = client.job(), org = %client.org().name, run_id = client.run_id(), records, "counted the records again");
            Finding::Counted(records)
        }
        Err(fault) => {
            tracing::warn!(job = client.job(), org = %client.org().name, run_id = client.run_id(), fault = %fault, "the records cannot be counted again");
            Finding::Unknown
        }
    }
}
