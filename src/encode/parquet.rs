//! Records → a Parquet file with typed columns.
//!
//! A record's values are checked against their types when it is read, and wait as a row of bytes until its page is accepted.
//! Then they are sorted into columns. A row group that is full is written column by column, so there is one encoder at a
//! time, and the memory that a file needs hardly grows with its columns. docs/decisions/0051-parquet.md has the reasons.

mod columns;
mod typed;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use self::columns::ColumnValues;
use self::typed::{FIXED_BYTES, Storage, append, column, split_length};
use super::{Footer, Spill};
use crate::error::{Exit, Failure};
use crate::job::{ParquetCodec, ParquetSettings};
use crate::record::{Record, ValueError, ValueErrorReason};
use crate::soql::Columns;
use crate::value::{FieldType, TypeMismatch};

/// The most rows of a row group. Readers work in parallel by groups.
const MAX_GROUP_ROWS: usize = 250_000;

/// The most bytes of values in a row group, before they are encoded: so many, or so many for each column if that is more. The
/// footer has a kilobyte for each column of each group, which is kept in memory to the end.
const MAX_GROUP_BYTES: u64 = 128 << 20;
const MAX_COLUMN_BYTES: u64 = 1 << 20;

/// How large a column's dictionary gets before its values are written out one by one, and how large a page gets, in bytes.
/// Larger ones make larger files (docs/internals/performance.md).
const DICTIONARY_BYTES: usize = 64 << 10;
const PAGE_BYTES: usize = 128 << 10;

/// How many values are encoded at once.
const BATCH: usize = 1024;

/// How many bytes of texts share an allocation. A dictionary keeps that of each of its values.
const TEXTS_BYTES: usize = 4 << 10;

/// How many encoded bytes are written at once.
const WRITE_BYTES: usize = 256 << 10;

/// How many bytes the length of a row takes.
const LENGTH_BYTES: usize = 8;

/// The encoder of one file.
pub struct Parquet {
    columns: Vec<Column>,
    codec: ParquetCodec,
    footer: Footer,
    values: ColumnValues,
    /// The beginning of a row whose rest has not come yet.
    cut: Vec<u8>,
    file: Option<SerializedFileWriter<Sink>>,
    sink: Sink,
    records: u64,
}

struct Column {
    name: String,
    /// The type in the file.
    field_type: FieldType,
}

impl std::fmt::Debug for Parquet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parquet").field("codec", &self.codec).finish_non_exhaustive()
    }
}

impl Parquet {
    /// The encoder of a file with these columns.
    #[must_use]
    pub fn new(settings: ParquetSettings, columns: &Columns) -> Self {
        let typed = columns.output_names().iter().zip(columns.types());
        let columns: Vec<_> = typed
            .map(|(name, field_type)| Column {
                name: name.clone(),
                field_type: settings.type_of(*field_type),
            })
            .collect();
        Self {
            values: ColumnValues::new(columns.iter().map(|column| Storage::of(column.field_type))),
            columns,
            codec: settings.codec,
            footer: Footer::new(),
            cut: Vec::new(),
            file: None,
            sink: Sink::default(),
            records: 0,
        }
    }

    /// The same with a footer that says this, and a place for values that are too many for memory. Without one, a row group
    /// ends when memory is full.
    #[must_use]
    pub fn in_run(mut self, footer: Footer, spill: Box<dyn Spill>) -> Self {
        self.footer = footer;
        self.values.spill_to(spill);
        self
    }

    /// Appends a record's values to the rows of its page.
    ///
    /// # Errors
    /// If one of them is not of its column's type.
    pub fn record(&self, record: &Record, rows: &mut Vec<u8>) -> Result<(), ValueError> {
        let start = rows.len();
        rows.extend_from_slice(&[0; LENGTH_BYTES]);
        for (at, (column, (kind, text))) in self.columns.iter().zip(record.cells()).enumerate() {
            if append(column.field_type, kind, text, rows).is_none() {
                rows.truncate(start);
                let mismatch = TypeMismatch::of(column.field_type, text);
                return Err(ValueError { column: at, reason: ValueErrorReason::Type(mismatch) });
            }
        }
        let row = rows.len() - start - LENGTH_BYTES;
        rows[start..start + LENGTH_BYTES].copy_from_slice(&(row as u64).to_le_bytes());
        Ok(())
    }

    /// Begins the file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let fields = self.columns.iter().map(|of| column(&of.name, of.field_type).map(Arc::new));
        let fields = fields.collect::<Result<_, _>>().map_err(failed)?;
        let schema = Type::group_type_builder("sfexport").with_fields(fields).build().map_err(failed)?;
        let properties = Arc::new(properties(self.codec));
        let file = SerializedFileWriter::new(self.sink.clone(), Arc::new(schema), properties);
        self.file = Some(file.map_err(failed)?);
        self.sink.drain(out, 0)
    }

    /// Takes rows of an accepted page, which may begin and end within a row, and writes the row groups that they fill.
    ///
    /// # Errors
    /// Those of `out` and of the place for values.
    pub fn write(&mut self, mut rows: &[u8], out: &mut dyn Write) -> io::Result<()> {
        while !rows.is_empty() {
            if self.cut.is_empty() && missing(rows) == 0 {
                let (row, following) = rows.split_at(row_bytes(rows));
                self.row(&row[LENGTH_BYTES..], out)?;
                rows = following;
                continue;
            }
            let (part, following) = rows.split_at(missing(&self.cut).min(rows.len()));
            self.cut.extend_from_slice(part);
            rows = following;
            if missing(&self.cut) == 0 {
                let row = std::mem::take(&mut self.cut);
                self.row(&row[LENGTH_BYTES..], out)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, row: &[u8], out: &mut dyn Write) -> io::Result<()> {
        self.values.add(row).ok_or_else(|| bug("a row of another width"))?;
        let most = MAX_GROUP_BYTES.max(MAX_COLUMN_BYTES * self.columns.len() as u64);
        if self.values.rows() >= MAX_GROUP_ROWS || self.values.is_full(most) {
            return self.group(out);
        }
        self.values.settle()
    }

    /// Writes the values as a row group.
    fn group(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Self { columns, values, file, sink, .. } = self;
        let file = file.as_mut().ok_or_else(|| bug("rows before the beginning"))?;
        let mut group = file.next_row_group().map_err(failed)?;
        for (at, column) in columns.iter().enumerate() {
            let next = group.next_column().map_err(failed)?;
            let mut chunk = Chunk { writer: next.ok_or_else(|| bug("too few columns"))?, values, at, sink };
            match Storage::of(column.field_type) {
                Storage::Boolean => chunk.encode::<BoolType>(out, |value| Some(value == [2]))?,
                Storage::Int32 => {
                    chunk.encode::<Int32Type>(out, |value| Some(i32::from_le_bytes(fixed(value)?)))?
                }
                Storage::Int64 => {
                    chunk.encode::<Int64Type>(out, |value| Some(i64::from_le_bytes(fixed(value)?)))?
                }
                Storage::Double => {
                    chunk.encode::<DoubleType>(out, |value| Some(f64::from_le_bytes(fixed(value)?)))?
                }
                Storage::Fixed => {
                    let mut texts = Texts::default();
                    chunk.encode::<FixedLenByteArrayType>(out, |value| {
                        let value: [u8; FIXED_BYTES] = fixed(value)?;
                        Some(FixedLenByteArray::from(ByteArray::from(texts.share(&value))))
                    })?;
                }
                Storage::Text => {
                    let mut texts = Texts::default();
                    chunk.encode::<ByteArrayType>(out, |value| {
                        Some(ByteArray::from(texts.share(split_length(value)?.1)))
                    })?;
                }
            }
            chunk.writer.close().map_err(failed)?;
            sink.drain(out, WRITE_BYTES)?;
        }
        group.close().map_err(failed)?;
        sink.drain(out, 0)?;
        self.records += self.values.rows() as u64;
        self.values.clear();
        Ok(())
    }

    /// Ends the file: writes the last row group and the footer.
    ///
    /// # Errors
    /// Those of `out` and of the place for values.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.cut.is_empty() {
            return Err(bug("the last row is cut"));
        }
        // A reader of Snowflake once failed on a group without rows.
        if self.values.rows() > 0 {
            self.group(out)?;
        }
        let mut file = self.file.take().ok_or_else(|| bug("an end before the beginning"))?;
        let records = ("records", self.records.to_string());
        for (key, value) in self.footer.iter().chain([&records]) {
            file.append_key_value_metadata(KeyValue::new(format!("sfexport.{key}"), value.clone()));
        }
        file.close().map_err(failed)?;
        self.sink.drain(out, 0)
    }

    /// Forgets what was written.
    pub fn restart(&mut self) {
        self.values.clear();
        self.cut.clear();
        self.file = None;
        self.sink.clear();
        self.records = 0;
    }
}

fn properties(codec: ParquetCodec) -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(format!("sfexport version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(match codec {
            ParquetCodec::Zstd => Compression::ZSTD(ZstdLevel::default()),
            ParquetCodec::Snappy => Compression::SNAPPY,
        })
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(BATCH)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .build()
}

/// How many bytes the row at the beginning takes, its length included; those of the length alone if it is cut.
fn row_bytes(rows: &[u8]) -> usize {
    match rows.first_chunk::<LENGTH_BYTES>() {
        Some(length) => LENGTH_BYTES + u64::from_le_bytes(*length) as usize,
        None => LENGTH_BYTES,
    }
}

/// How many bytes are missing from the row at the beginning, as far as its length is known.
fn missing(rows: &[u8]) -> usize {
    row_bytes(rows).saturating_sub(rows.len())
}

/// The value behind its first byte.
fn fixed<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.get(1..)?.try_into().ok()
}

/// One column of a row group.
struct Chunk<'g, 'w> {
    writer: SerializedColumnWriter<'w>,
    values: &'g mut ColumnValues,
    at: usize,
    sink: &'g Sink,
}

impl Chunk<'_, '_> {
    /// Encodes the column's values. `read` gets each that is not null.
    fn encode<T: DataType>(
        &mut self,
        out: &mut dyn Write,
        mut read: impl FnMut(&[u8]) -> Option<T::T>,
    ) -> io::Result<()> {
        let storage = self.values.storage(self.at);
        let (writer, sink) = (self.writer.typed::<T>(), self.sink);
        let mut batch: Batch<T> =
            Batch { values: Vec::with_capacity(BATCH), levels: Vec::with_capacity(BATCH) };
        self.values.read(self.at, |mut piece| {
            while !piece.is_empty() {
                let length = storage.length(piece).ok_or_else(|| bug("a value that is cut"))?;
                let (value, rest) = piece.split_at(length);
                piece = rest;
                let is_null = value[0] == 0;
                if !is_null {
                    batch.values.push(read(value).ok_or_else(|| bug("a value of another type"))?);
                }
                batch.levels.push(i16::from(!is_null));
                if batch.levels.len() == BATCH {
                    batch.write(writer)?;
                    sink.drain(out, WRITE_BYTES)?;
                }
            }
            Ok(())
        })?;
        batch.write(writer)
    }
}

struct Batch<T: DataType> {
    values: Vec<T::T>,
    /// 1 for each value, 0 for each null.
    levels: Vec<i16>,
}

impl<T: DataType> Batch<T> {
    fn write(&mut self, writer: &mut ColumnWriterImpl<'_, T>) -> io::Result<()> {
        writer.write_batch(&self.values, Some(&self.levels), None).map_err(failed)?;
        self.values.clear();
        self.levels.clear();
        Ok(())
    }
}

/// Texts that share allocations.
#[derive(Default)]
struct Texts(BytesMut);

impl Texts {
    fn share(&mut self, text: &[u8]) -> Bytes {
        if text.len() > TEXTS_BYTES / 4 {
            return Bytes::copy_from_slice(text);
        }
        if self.0.capacity() < text.len() {
            self.0 = BytesMut::with_capacity(TEXTS_BYTES);
        }
        self.0.extend_from_slice(text);
        self.0.split().freeze()
    }
}

/// What the library writes to. It keeps this end, and the encoder takes from the other.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    /// Writes what has come to `out`, if it is more than this.
    fn drain(&self, out: &mut dyn Write, more_than: usize) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() > more_than {
            out.write_all(&bytes)?;
            bytes.clear();
        }
        Ok(())
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cold]
fn failed(error: ParquetError) -> io::Error {
    bug(&error.to_string())
}

#[cold]
fn bug(what: &str) -> io::Error {
    let what = format!("a bug in sfexport: the Parquet file cannot be encoded: {what}");
    io::Error::other(Failure::new(Exit::General, what))
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;
    use crate::record::CellKind;
    use crate::soql::Query;

    /// A place that counts what it holds.
    #[derive(Clone, Default)]
    struct Place(Arc<Mutex<Vec<u8>>>);

    impl Spill for Place {
        fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
            let mut place = self.0.lock().unwrap();
            let at = at as usize;
            let end = place.len().max(at + bytes.len());
            place.resize(end, 0);
            place[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn read(&mut self, into: &mut [u8], at: u64) -> io::Result<()> {
            into.copy_from_slice(&self.0.lock().unwrap()[at as usize..][..into.len()]);
            Ok(())
        }
    }

    fn columns() -> Columns {
        Columns::of(&Query::parse("SELECT Id, Name, Site FROM Account").unwrap()).unwrap()
    }

    /// The cells of a row: a text that differs, one that is null in each third row, and one that repeats.
    fn cells(row: usize) -> [Option<String>; 3] {
        let long = "x".repeat(row % 2_000);
        [
            Some(format!("{row:018}")),
            (!row.is_multiple_of(3)).then_some(long),
            Some(format!("site {}", row % 7)),
        ]
    }

    fn rows(parquet: &Parquet, from: usize, to: usize) -> Vec<u8> {
        let (mut record, mut rows) = (Record::default(), Vec::new());
        for row in from..to {
            record.clear(3);
            for (at, cell) in cells(row).iter().enumerate() {
                let kind = if cell.is_some() { CellKind::Text } else { CellKind::Null };
                record.fill(at, kind, |out| {
                    out.extend_from_slice(cell.as_deref().unwrap_or_default().as_bytes())
                });
            }
            parquet.record(&record, &mut rows).unwrap();
        }
        rows
    }

    fn found(file: Vec<u8>) -> Vec<[Option<String>; 3]> {
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        let cell = |field: &parquet::record::Field| match field {
            parquet::record::Field::Str(text) => Some(text.clone()),
            _ => None,
        };
        rows.map(|row| {
            let row = row.unwrap();
            let cells: Vec<_> = row.get_column_iter().map(|(_, field)| cell(field)).collect();
            cells.try_into().unwrap()
        })
        .collect()
    }

    #[test]
    fn rows_may_come_in_any_pieces_and_wait_anywhere() {
        const ROWS: usize = 12_000;
        let expected: Vec<_> = (0..ROWS).map(cells).collect();
        for (piece, spills) in [(usize::MAX, true), (usize::MAX, false), (1_000, true), (7, true), (7, false)]
        {
            let place = Place::default();
            let mut parquet = Parquet::new(ParquetSettings::DEFAULT, &columns());
            if spills {
                parquet = parquet.in_run(vec![("job", "a".to_owned())], Box::new(place.clone()));
            }
            let mut file = Vec::new();
            // What was written before a restart is gone.
            parquet.begin(&mut file).unwrap();
            parquet.write(&rows(&parquet, 0, 3_000)[..100_001], &mut file).unwrap();
            parquet.restart();
            file.clear();
            parquet.begin(&mut file).unwrap();
            for rows in [rows(&parquet, 0, 5_000), rows(&parquet, 5_000, ROWS)] {
                for rows in rows.chunks(piece) {
                    parquet.write(rows, &mut file).unwrap();
                }
            }
            parquet.finish(&mut file).unwrap();
            assert_eq!(!place.0.lock().unwrap().is_empty(), spills);
            assert!(found(file) == expected, "pieces of {piece} bytes");
        }
    }

    #[test]
    fn a_row_that_is_cut_is_no_end() {
        let mut parquet = Parquet::new(ParquetSettings::DEFAULT, &columns());
        let (mut file, rows) = (Vec::new(), rows(&parquet, 0, 2));
        parquet.begin(&mut file).unwrap();
        parquet.write(&rows[..rows.len() - 1], &mut file).unwrap();
        assert!(parquet.finish(&mut file).is_err());
    }
}
