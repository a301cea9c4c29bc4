//! Records whose child queries have separate tables: each record is a row, followed by a row for each of its children
//! with the record's Id.

use std::mem;

use super::{FetchChildren, PageReader, Walk, complete};
use crate::record::{CellKind, JsonForm, Record};
use crate::salesforce::fault::{Fault, FaultKind};
use crate::soql::{Columns, Level, Node};

/// Takes a row of a table: 0 is the query's own, the others are numbered as [`Columns::tables`] does.
pub type TakeRow<'t> = dyn FnMut(usize, &Record) -> Result<(), Fault> + 't;

impl PageReader<'_> {
    /// Reads all of a page's records, and the records of their child queries to the last. Gives how many records
    /// the page itself has.
    ///
    /// # Errors
    /// As [`PageReader::read`], and those of `take`.
    pub fn rows(&mut self, fetch: &mut FetchChildren<'_>, take: &mut TakeRow<'_>) -> Result<u64, Fault> {
        let (columns, mut count) = (self.columns, 0);
        while self.advance()? {
            self.walk(JsonForm::AS_SENT, fetch).row(columns, 0, None, take)?;
            count += 1;
        }
        Ok(count)
    }
}

impl Walk<'_, '_, '_> {
    /// Reads a record into a row of `table`, behind its parent's Id where it has one.
    fn row(
        &mut self,
        columns: &Columns,
        table: usize,
        parent: Option<&[u8]>,
        take: &mut TakeRow<'_>,
    ) -> Result<(), Fault> {
        let mut record = self.descend();
        record.clear(columns.cells());
        if let Some(parent) = parent {
            record.fill(0, CellKind::Text, |out| out.extend_from_slice(parent));
        }
        let shape = self.shape(columns)?;
        self.cells(shape, &mut record)?;
        complete(columns, &record)?;
        record.truncate(columns.names().len());
        take(table, &record)?;
        let later = mem::take(&mut self.later);
        if !later.is_empty() {
            let end = self.json.position();
            let id = own_id(shape, &record)?;
            for (cell, place) in later {
                self.json.seek(place);
                self.child_rows(columns, cell, table, &id, take)?;
            }
            self.json.seek(end);
        }
        self.ascend(record);
        Ok(())
    }

    /// Reads the records of the child query whose result fills this cell.
    fn child_rows(
        &mut self,
        columns: &Columns,
        cell: usize,
        parent_table: usize,
        parent: &[u8],
        take: &mut TakeRow<'_>,
    ) -> Result<(), Fault> {
        let child = columns.shape().entries().iter().find_map(|entry| match &entry.node {
            Node::Children { column, columns, table: Some(table) } if *column == cell => {
                Some((columns, parent_table + table))
            }
            _ => None,
        });
        let Some((columns, table)) = child else { return Ok(()) };
        self.child_records(columns, &mut |walk| walk.row(columns, table, Some(parent), take))
    }
}

/// The Id that the rows of a record's children begin with.
fn own_id(shape: &Level, record: &Record) -> Result<Vec<u8>, Fault> {
    let cell = shape.id().and_then(|column| record.cells().nth(column));
    match cell {
        Some((CellKind::Text, id)) if !id.is_empty() => Ok(id.to_owned()),
        _ => Err(Fault::new(
            FaultKind::InvalidResponse,
            "the org sent a record with children and without an Id",
        )),
    }
}
