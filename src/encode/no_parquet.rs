//! Takes the place of `encode::parquet` in a build without it. Nothing calls it, because the configuration and `query` refuse Parquet
//! first.

use std::io::{self, Write};

use super::{Footer, Spill};
use crate::error::{Exit, Failure};
use crate::job::{NO_PARQUET, ParquetSettings};
use crate::record::{Record, ValueError};
use crate::soql::Columns;

/// An encoder that only fails.
#[derive(Debug)]
pub struct Parquet;

impl Parquet {
    /// The encoder of a file with these columns.
    #[must_use]
    pub fn new(_: ParquetSettings, _: &Columns) -> Self {
        Self
    }

    /// The same in a run.
    #[must_use]
    pub fn in_run(self, _: Footer, _: Box<dyn Spill>) -> Self {
        self
    }

    /// Does nothing: the file has not begun.
    ///
    /// # Errors
    /// Never.
    pub fn record(&self, _: &Record, _: &mut Vec<u8>) -> Result<(), ValueError> {
        Ok(())
    }

    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn begin(&mut self, _: &mut dyn Write) -> io::Result<()> {
        let (what, hint) = NO_PARQUET;
        Err(io::Error::other(Failure::new(Exit::Configuration, what).hint(hint)))
    }

    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn write(&mut self, _: &[u8], out: &mut dyn Write) -> io::Result<()> {
        self.begin(out)
    }

    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.begin(out)
    }

    /// Does nothing.
    pub fn restart(&mut self) {}
}
