//! Snowflake: `CREATE TABLE`, `PUT` and `COPY INTO` (its manual, "Transforming data during a load"). Names are in upper
//! case, so a plain one needs no quotes in a query. Limit: names of 255 characters.

use std::borrow::Cow;
use std::path::Path;

use super::sql::{
    self, begin, check_hidden, check_hidden_names, check_tables, command, comment, find_same, quoted, table,
};
use super::{Column, Export, File, Form, Mistake};
use crate::error::hides;
use crate::job::{CsvDialect, Format};
use crate::value::FieldType;

const MAX_NAME: (usize, &str) = (255, "255 characters");

/// The stage that the files go through. A table's own stage cannot be selected from.
const STAGE: &str = "sfexport_stage";

const AS_SENT: &str = r#"YYYY-MM-DD"T"HH24:MI:SS.FF3TZHTZM"#;
const TIME: &str = r#"HH24:MI:SS.FF3"Z""#;

pub(super) fn write(export: &Export) -> Result<String, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    check_tables(export, MAX_NAME, str::to_ascii_uppercase, &mut mistakes);
    let quote = export.form.csv.quote;
    if export.form.format == Format::Csv && !matches!(quote, b'"' | b'\'') {
        mistakes.push(Mistake::Quote(char::from(quote)));
    }
    let delimiter = export.form.csv.delimiter;
    if export.form.format == Format::Csv && delimiter == b'\\' {
        mistakes.push(Mistake::Delimiter(char::from(delimiter)));
    }
    check_hidden(export, &mut mistakes);
    let mut out = String::new();
    begin(&mut out, export, "Snowflake");
    for file in &export.files {
        check_hidden_names(file, &mut mistakes);
        check(file, &mut mistakes);
        let path = absolute(file);
        // PUT reads these as patterns, and backslashes in its own way.
        if !file.path.contains(hides) && path.contains(|c| hides(c) || matches!(c, '*' | '?' | '\\')) {
            mistakes.push(Mistake::Path(file.path.clone()));
        }
        let columns: Vec<_> = file.columns.iter().map(definition).collect();
        table(&mut out, "CREATE OR REPLACE TABLE", &name(&file.table(&export.job)), &columns);
    }
    comment(
        &mut out,
        match is_compressed_by_put(&export.form) {
            true => "Load the files. PUT compresses them, hence .gz.",
            false => "Load the files.",
        },
    );
    if export.form.format == Format::Csv && !export.form.csv.null.is_empty() {
        let null = &export.form.csv.null;
        comment(
            &mut out,
            &format!("A text that is {null} becomes null too: Snowflake looks inside the quotes."),
        );
    }
    let is_datetime = |column: &Column| column.field_type == FieldType::DateTime;
    if export.form.format == Format::Parquet
        && export.files.iter().any(|file| file.columns.iter().any(is_datetime))
    {
        comment(&mut out, "Datetimes get the offset of the session's time zone, so set it to UTC.");
        command(&mut out, "ALTER SESSION SET TIMEZONE = 'UTC';");
    }
    command(&mut out, &format!("CREATE STAGE IF NOT EXISTS {STAGE};"));
    for file in &export.files {
        load(&mut out, export, file);
    }
    if mistakes.is_empty() { Ok(out) } else { Err(mistakes) }
}

fn check(file: &File, mistakes: &mut Vec<Mistake>) {
    for Column { name, .. } in &file.columns {
        if name.chars().count() > MAX_NAME.0 {
            mistakes.push(Mistake::TooLong { name: name.clone(), limit: MAX_NAME.1 });
        }
    }
    let names = file.columns.iter().map(|column| (column.name.as_str(), column.name.clone()));
    find_same(names, str::to_ascii_uppercase, mistakes);
}

fn name(original: &str) -> String {
    quoted(&original.to_ascii_uppercase())
}

fn definition(column: &Column) -> String {
    let not_null = if column.required { " NOT NULL" } else { "" };
    format!("{} {}{not_null}", name(&column.name), type_name(column.field_type))
}

fn type_name(field_type: FieldType) -> Cow<'static, str> {
    Cow::Borrowed(match field_type {
        FieldType::Text | FieldType::Base64 | FieldType::Any => "VARCHAR",
        FieldType::Boolean => "BOOLEAN",
        FieldType::Integer | FieldType::Long => "NUMBER(38, 0)",
        FieldType::Double => "DOUBLE",
        FieldType::Decimal { precision, scale } => return format!("NUMBER({precision}, {scale})").into(),
        FieldType::Date => "DATE",
        FieldType::DateTime => "TIMESTAMP_TZ",
        FieldType::Time => "TIME",
        FieldType::Json => "VARIANT",
    })
}

/// A text in single quotes, in which a backslash begins an escape.
fn literal(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\t' => escaped.push_str("\\t"),
            '\\' => escaped.push_str("\\\\"),
            c if c.is_ascii_control() => escaped.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    sql::literal(&escaped)
}

fn absolute(file: &File) -> String {
    let path = std::path::absolute(&file.path).unwrap_or_else(|_| Path::new(&file.path).to_owned());
    path.display().to_string()
}

/// Whether the file gets another name in the stage. Parquet is compressed inside.
fn is_compressed_by_put(form: &Form) -> bool {
    form.codec.is_none() && form.format != Format::Parquet
}

fn load(out: &mut String, export: &Export, file: &File) {
    let path = absolute(file);
    let base = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (how, staged) = match is_compressed_by_put(&export.form) {
        true => ("OVERWRITE = TRUE", format!("@{STAGE}/{base}.gz")),
        false => ("AUTO_COMPRESS = FALSE OVERWRITE = TRUE", format!("@{STAGE}/{base}")),
    };
    command(out, &format!("PUT {} @{STAGE} {how};", literal(&format!("file://{path}"))));
    command(out, &format!("COPY INTO {} FROM (", name(&file.table(&export.job))));
    command(out, "    SELECT");
    for (at, column) in file.columns.iter().enumerate() {
        let comma = if at + 1 < file.columns.len() { "," } else { "" };
        command(out, &format!("        {}{comma}", value(at, column, &export.form)));
    }
    command(out, &format!("    FROM {}", literal(&staged)));
    let is_single = file.quoted_null(&export.form.csv).is_some();
    // Without FORCE, an export that has not changed since the last load is skipped, even if the table is empty now.
    let options = "ON_ERROR = ABORT_STATEMENT FORCE = TRUE";
    command(out, &format!(") FILE_FORMAT = ({}) {options};", file_format(&export.form, is_single)));
}

/// The value of a column, which is a cell, or in JSON Lines and Parquet a part of the only one.
fn value(at: usize, column: &Column, form: &Form) -> String {
    let (field, text) = match form.format {
        Format::Csv => (format!("${}", at + 1), format!("${}", at + 1)),
        // Its values have types already.
        Format::Parquet => return format!("$1[{}]::{}", literal(&column.name), type_name(column.field_type)),
        Format::Jsonl => {
            let keys: String = column.keys.iter().map(|key| format!("[{}]", literal(key))).collect();
            (format!("$1{keys}"), format!("$1{keys}::VARCHAR"))
        }
    };
    match column.field_type {
        FieldType::DateTime if !form.rfc3339 => {
            format!("TO_TIMESTAMP_TZ({text}, {})", literal(AS_SENT))
        }
        FieldType::DateTime => format!("TO_TIMESTAMP_TZ({text})"),
        FieldType::Time => format!("TO_TIME({text}, {})", literal(TIME)),
        FieldType::Json => format!("PARSE_JSON({text})"),
        FieldType::Text | FieldType::Base64 | FieldType::Any => text,
        other => format!("{field}::{}", type_name(other)),
    }
}

/// `is_single` says that null is an empty cell in quotes, inside which Snowflake looks for null.
fn file_format(form: &Form, is_single: bool) -> String {
    let CsvDialect { delimiter, quote, null, header, .. } = &form.csv;
    let compression =
        form.codec.map(|codec| format!(" COMPRESSION = {}", codec.as_str().to_ascii_uppercase()));
    let compression = compression.unwrap_or_default();
    if form.format == Format::Jsonl {
        return format!("TYPE = JSON{compression}");
    }
    if form.format == Format::Parquet {
        // By default, times are numbers, and the text `\N` is null.
        return "TYPE = PARQUET USE_LOGICAL_TYPE = TRUE NULL_IF = ()".to_owned();
    }
    let character = |byte: u8| literal(&char::from(byte).to_string());
    // By default, `\N` is null.
    let null_if = match null.as_str() {
        "" if is_single => "('')".to_owned(),
        "" => "()".to_owned(),
        null => format!("({})", literal(null)),
    };
    [
        format!("TYPE = CSV{compression}"),
        format!("SKIP_HEADER = {}", u8::from(*header)),
        format!("FIELD_DELIMITER = {}", character(*delimiter)),
        format!("FIELD_OPTIONALLY_ENCLOSED_BY = {}", character(*quote)),
        "ESCAPE_UNENCLOSED_FIELD = NONE".to_owned(),
        format!("NULL_IF = {null_if}"),
        format!("EMPTY_FIELD_AS_NULL = {}", if null.is_empty() { "TRUE" } else { "FALSE" }),
        "MULTI_LINE = TRUE".to_owned(),
    ]
    .join(" ")
}
