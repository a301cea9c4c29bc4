//! Stands in for `encode::parquet` in a build without it. The configuration refuses such outputs before anything gets here.

use std::io::{self, Write};

use crate::error::{Exit, Failure};
use crate::job::ParquetSettings;
use crate::record::{Record, ValueError};
use crate::soql::Columns;

/// What the footer would say of the file.
pub type Footer = Vec<(&'static str, String)>;

/// Where values would wait that are too many for memory.
pub trait Spill: Send {
    /// Writes at a place.
    ///
    /// # Errors
    /// If there is no room.
    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Fills `into` with what was written at a place.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&mut self, into: &mut [u8], at: u64) -> io::Result<()>;
}

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
        Err(io::Error::other(Failure::new(
            Exit::Configuration,
            "this build of sfexport does not write Parquet",
        )))
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
