//! The file of deleted records beside an incremental export: their Ids and when each was deleted, in the output's own format.

use std::sync::Arc;

use crate::encode::Encoder;
use crate::error::Failure;
use crate::export::bug;
use crate::export::plan::refused;
use crate::job::{Job, SoqlSource, Source};
use crate::output::{Staged, write_failure};
use crate::record::{CellKind, Record};
use crate::salesforce::replication::DeletedRecords;
use crate::soql::{ColumnRules, Columns, Described, Query, ValueKind};
use crate::value::FieldType;

/// The part of the output's name.
pub(crate) const PART: &str = "deleted";

const ID: &str = "Id";
const DELETED_DATE: &str = "deletedDate";

/// How many bytes are written at once.
const WRITE_BYTES: usize = 64 * 1024;

/// The columns of the file. The job's names apply to them, so the Id is called the same in both files.
pub(in crate::export) fn columns(job: &Job) -> Result<Arc<Columns>, Failure> {
    let query = Query::parse(&format!("SELECT {ID}, {DELETED_DATE} FROM Deleted"));
    let query = query.map_err(|error| bug(&error.to_string()))?;
    let mut rules = ColumnRules { types: Vec::new(), ..job.shape.columns.clone() };
    rules.renames.retain(|(name, _)| name.eq_ignore_ascii_case(ID));
    let described =
        [(ID, FieldType::Text), (DELETED_DATE, FieldType::DateTime)].map(|(name, field_type)| Described {
            name: name.to_owned(),
            computed: false,
            kind: ValueKind::Plain(field_type),
            inner: Vec::new(),
        });
    let source = SoqlSource::described(query, job.layout(), &rules, &described).map(Source::Soql);
    source.map_err(refused)?.columns().cloned().ok_or_else(|| bug("a file of deletes without columns"))
}

/// The stage, with the records written to it.
pub(in crate::export) fn written(
    job: &Job,
    deleted: &DeletedRecords,
    mut staged: Box<dyn Staged>,
) -> Result<Box<dyn Staged>, Failure> {
    let mut encoder = Encoder::of_cells(job.format, &job.shape, columns(job)?.as_ref(), None);
    let (mut record, mut out) = (Record::default(), Vec::with_capacity(WRITE_BYTES));
    encoder.begin(&mut staged).map_err(write_failure)?;
    for row in deleted.iter() {
        record.clear(2);
        for (cell, text) in [row.id, row.deleted_date].into_iter().enumerate() {
            record.fill_as(cell, |value| {
                value.extend_from_slice(text.as_bytes());
                Some((CellKind::Text, false))
            });
        }
        encoder.record(&record, &mut out).map_err(|error| bug(&format!("{error:?}")))?;
        if out.len() >= WRITE_BYTES {
            encoder.write(&out, &mut staged).map_err(write_failure)?;
            out.clear();
        }
    }
    encoder.write(&out, &mut staged).map_err(write_failure)?;
    encoder.finish(&mut staged).map_err(write_failure)?;
    Ok(staged)
}
