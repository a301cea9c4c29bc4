//! How the changes and the deletes of an object's records are found, as far as the org's description of the object decides
//! that.

use crate::client::OrgClient;
use crate::error::{Exit, Failure};
use crate::job::{Deletes, Incremental, Job, is_fixed_stamp};
use crate::salesforce::describe::{FieldDescription, ObjectDescription};
use crate::salesforce::fault::ErrorCode;

use super::bug;
use super::error::RunError;
use super::object::{Warning, unknown_object};
use super::refused_query::similar;

/// How an incremental job follows an object's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tracking {
    /// The field that says when a record last changed, in the schema's spelling. `None`: the object of a set has none, so it
    /// is exported in full each time.
    pub(crate) stamp: Option<String>,
    /// How deleted records are reported. Other than in the job if the object does not support that.
    pub(crate) deletes: Deletes,
    /// Why that is [`Deletes::None`] although the job says otherwise, as a clause: "the object has no IsDeleted".
    pub(crate) deletes_reason: Option<&'static str>,
}

impl Tracking {
    /// Whether stamps never move, so each record is exported once, in a window that has an end.
    pub(crate) fn is_fixed(&self) -> bool {
        self.stamp.as_deref().is_some_and(is_fixed_stamp)
    }

    /// The fields that an export must have, whatever the job selects: readers of the files merge them by these.
    pub(crate) fn required(&self) -> Vec<&str> {
        let is_deleted = (self.deletes == Deletes::Rows).then_some("IsDeleted");
        ["Id"].into_iter().chain(self.stamp.as_deref()).chain(is_deleted).collect()
    }

    /// What the user of a single job should know; a set would repeat it for dozens of objects each night.
    pub(crate) fn warning(&self, job: &Job, object: &str) -> Option<Warning> {
        let reason = self.deletes_reason.filter(|_| job.object.is_none())?;
        Some(Warning {
            what: format!("deleted records of \"{object}\" are not reported, because {reason}"),
            hint: "set deletes = \"none\" in `[incremental]`".to_owned(),
        })
    }
}

/// How the job's incremental export of this object works; `None` if the job is not incremental.
///
/// # Errors
/// [`Exit::Query`] if the object does not have what the job needs. `username` is the user that it is described to.
pub(crate) fn tracking(
    job: &Job,
    described: &ObjectDescription,
    username: &str,
) -> Result<Option<Tracking>, Failure> {
    let Some(incremental) = &job.incremental else { return Ok(None) };
    let stamp = stamp(job, incremental, described, username)?;
    let (deletes, deletes_reason) = match incremental.deletes {
        Deletes::Rows if !described.has_is_deleted() => {
            selected_is_deleted(job, described, username)?;
            (Deletes::None, Some("the object has no IsDeleted"))
        }
        Deletes::Ids if !described.replicateable => {
            (Deletes::None, Some("the org does not list the deleted records of this object"))
        }
        deletes => (deletes, None),
    };
    let tracking = Tracking { stamp, deletes, deletes_reason };
    if let (Some(stamp), Deletes::Ids, Some(query)) = (&tracking.stamp, deletes, job.query())
        && !query.selects(stamp)
    {
        let what = format!(
            "the query does not select {stamp}, which tells readers of the export whether a record is newer than its deletion"
        );
        return Err(Failure::new(Exit::Query, what).hint(format!("add {stamp} to the query")));
    }
    Ok(Some(tracking))
}

/// Asks the org to describe the object that a job exports.
///
/// # Errors
/// What keeps the org from describing it; [`Exit::Query`] if it has no such object for this user.
pub(crate) async fn describe_exported(job: &Job, client: &OrgClient) -> Result<ObjectDescription, RunError> {
    let object = job.source.object().ok_or_else(|| bug("a job of no object"))?;
    match client.describe_object(object).await {
        Err(fault) if fault.code == Some(ErrorCode::NotFound) => {
            let place = job.query_origin.as_ref().map(ToString::to_string);
            Err(unknown_object(client, object, place.as_deref()).await.into())
        }
        described => Ok(described?),
    }
}

/// The field with the stamp. An object of a set may lack it.
fn stamp(
    job: &Job,
    incremental: &Incremental,
    described: &ObjectDescription,
    username: &str,
) -> Result<Option<String>, Failure> {
    let name = &described.name;
    let is_of_set = job.object.is_some();
    let Some(field) = incremental.field.as_deref() else {
        return match described.stamp() {
            None if !is_of_set => {
                let what = format!(
                    "\"{name}\" has no field that says when its records change, so its changes cannot be exported"
                );
                Err(Failure::new(Exit::Query, what)
                    .hint("remove `[incremental]`, or name a datetime field as `field` in it"))
            }
            stamp => Ok(stamp.map(str::to_owned)),
        };
    };
    let suggestion = match described.stamp() {
        Some(stamp) => format!("write \"{stamp}\""),
        None => "name another field".to_owned(),
    };
    let refused = |what: String, hint: String| Err(Failure::new(Exit::Query, what).hint(hint));
    match described.field(field) {
        Some(found) if found.is_stamp() => Ok(Some(found.name.clone())),
        _ if is_of_set => Ok(None),
        Some(FieldDescription { field_type, .. }) if !field_type.eq_ignore_ascii_case("datetime") => refused(
            format!(
                "{field} of \"{name}\" is of the type {field_type}, so it cannot say when a record changed"
            ),
            format!("{suggestion} as `field` in `[incremental]`"),
        ),
        Some(_) => refused(
            format!("the org does not filter \"{name}\" by {field}, so it cannot find changes"),
            format!("{suggestion} as `field` in `[incremental]`"),
        ),
        None => {
            let near = similar(field, described.fields.iter().map(|field| field.name.as_str()));
            let suggestion = near.map_or(suggestion, |near| format!("write \"{near}\""));
            refused(
                format!("\"{name}\" has no field \"{field}\" that {username} may read"),
                format!(
                    "{suggestion} as `field` in `[incremental]`, or give {username} read access (field-level security)"
                ),
            )
        }
    }
}

/// The failure of a query that selects IsDeleted of an object without it.
fn selected_is_deleted(job: &Job, described: &ObjectDescription, username: &str) -> Result<(), Failure> {
    if !job.query().is_some_and(|query| query.selects("IsDeleted")) {
        return Ok(());
    }
    let what = format!("\"{}\" has no field IsDeleted that {username} may read", described.name);
    let hint = "remove it from the query, and set deletes = \"ids\" or \"none\" in `[incremental]`";
    Err(Failure::new(Exit::Query, what).hint(hint))
}
