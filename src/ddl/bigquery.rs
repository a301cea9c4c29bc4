//! BigQuery: `CREATE TABLE`, and `bq load`. Limits: letters, digits and `_` in names, up to 300 of them, some prefixes
//! of its own, and 10,000 columns (its manual, "Column names", "Quotas"). It compares names without regard to case.

use std::borrow::Cow;

use super::sql::{begin, check_hidden, check_tables, command, comment, find_same, shell_word, table};
use super::{Column, Export, File, Form, Mistake, Node, nested};
use crate::job::{Codec, CsvDialect, Format};
use crate::value::FieldType;

const MAX_NAME: (usize, &str) = (300, "300 characters");
const MAX_TABLE_NAME: (usize, &str) = (1_024, "1,024 bytes");
const MAX_COLUMNS: usize = 10_000;
const RESERVED_PREFIXES: [&str; 9] = [
    "_TABLE_",
    "_FILE_",
    "_PARTITION",
    "_ROW_TIMESTAMP",
    "__ROOT__",
    "_COLIDENTIFIER",
    "_CHANGE_SEQUENCE_NUMBER",
    "_CHANGE_TYPE",
    "_CHANGE_TIMESTAMP",
];

pub(super) fn write(export: &Export) -> Result<String, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    check_tables(export, MAX_TABLE_NAME, str::to_owned, &mut mistakes);
    check_hidden(export, &mut mistakes);
    let form = &export.form;
    if form.codec == Some(Codec::Zstd) {
        mistakes.push(Mistake::Compression);
    }
    let mut out = String::new();
    begin(&mut out, export, "BigQuery");
    explain(&mut out, export);
    for file in &export.files {
        check(file, form.format, &mut mistakes);
        let columns: Vec<_> = match form.format {
            Format::Csv | Format::Parquet => {
                file.columns.iter().map(|c| definition(&name(&c.name), c, form)).collect()
            }
            Format::Jsonl => nested(&file.columns).iter().map(|node| nested_definition(node, form)).collect(),
        };
        table(&mut out, "CREATE OR REPLACE TABLE", &quoted(&file.table(&export.job)), &columns);
    }
    let script = format!("{}.sql", export.job);
    comment(
        &mut out,
        &format!(
            "Save this as {script}. These commands replace the tables in the data set DATASET, and load the files:"
        ),
    );
    command(
        &mut out,
        &format!("bq query --use_legacy_sql=false --dataset_id=DATASET < {}", shell_word(&script)),
    );
    for file in &export.files {
        // A path that begins with a hyphen would be an option.
        let here = if file.path.starts_with('-') { "./" } else { "" };
        let (to, from) = (file.table(&export.job), shell_word(&format!("{here}{}", file.path)));
        command(&mut out, &format!("bq load {} DATASET.{to} {from}", flags(file, form)));
    }
    if mistakes.is_empty() { Ok(out) } else { Err(mistakes) }
}

/// Says what is not as one would expect it.
fn explain(out: &mut String, export: &Export) {
    let has = |wanted| export.files.iter().flat_map(|file| &file.columns).any(|c| c.field_type == wanted);
    let is_renamed = |column: &Column| name(&column.name) != column.name;
    let format = export.form.format;
    let length = out.len();
    if has(FieldType::DateTime) && !has_timestamps(&export.form) {
        comment(
            out,
            "Datetimes are STRING, because BigQuery does not read an offset without a colon (+0000).",
        );
        comment(out, "Set datetimes = \"rfc3339\" in the job, and they are TIMESTAMP.");
    }
    if has(FieldType::Time) && format == Format::Parquet {
        comment(out, "BigQuery's documentation does not say how it reads the times in a Parquet file.");
        comment(out, "If the load fails, set temporal = \"text\" in [parquet] of the job.");
    } else if has(FieldType::Time) {
        comment(out, "Times are STRING, because BigQuery does not read their Z.");
    }
    if format == Format::Csv && export.files.iter().flat_map(|file| &file.columns).any(is_renamed) {
        comment(
            out,
            "BigQuery's names have only letters, digits and \"_\", so other characters are \"_\" here.",
        );
    }
    if out.len() > length {
        out.push('\n');
    }
}

/// Whether BigQuery reads datetimes as such.
fn has_timestamps(form: &Form) -> bool {
    form.rfc3339 || form.format == Format::Parquet
}

fn check(file: &File, format: Format, mistakes: &mut Vec<Mistake>) {
    for Column { name: original, keys, .. } in &file.columns {
        // Other formats than CSV are loaded by the names in the file, which no other name can replace.
        let names = match format {
            Format::Csv => vec![name(original)],
            Format::Jsonl | Format::Parquet => keys.clone(),
        };
        for one in names {
            if name(&one) != one {
                mistakes.push(Mistake::Characters(one.clone()));
            }
            if one.len() > MAX_NAME.0 {
                mistakes.push(Mistake::TooLong { name: one.clone(), limit: MAX_NAME.1 });
            }
            let upper = one.to_ascii_uppercase();
            if RESERVED_PREFIXES.iter().any(|prefix| upper.starts_with(prefix)) {
                mistakes.push(Mistake::Reserved(one));
            }
        }
    }
    let names = file.columns.iter().map(|column| match format {
        Format::Csv | Format::Parquet => (column.name.as_str(), name(&column.name)),
        Format::Jsonl => (column.name.as_str(), column.keys.join(".")),
    });
    find_same(names, str::to_ascii_lowercase, mistakes);
    if file.columns.len() > MAX_COLUMNS {
        mistakes.push(Mistake::TooMany { columns: file.columns.len(), limit: MAX_COLUMNS });
    }
}

/// A name as BigQuery can have it.
fn name(original: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = original.chars().map(allowed).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

/// All columns of a Parquet file are optional, and BigQuery does not load those into columns that are not.
fn definition(name: &str, column: &Column, form: &Form) -> String {
    let not_null = if column.required && form.format != Format::Parquet { " NOT NULL" } else { "" };
    format!("{} {}{not_null}", quoted(name), type_name(column, form))
}

fn nested_definition(node: &Node<'_>, form: &Form) -> String {
    match node {
        Node::Value(key, column) => definition(key, column, form),
        Node::Parent(key, inner) => format!("{} {}", quoted(key), structure(inner, form)),
    }
}

fn structure(nodes: &[Node<'_>], form: &Form) -> String {
    let field = |node: &Node<'_>| match node {
        Node::Value(key, column) => format!("{} {}", quoted(key), type_name(column, form)),
        Node::Parent(key, inner) => format!("{} {}", quoted(key), structure(inner, form)),
    };
    format!("STRUCT<{}>", nodes.iter().map(field).collect::<Vec<_>>().join(", "))
}

fn type_name(column: &Column, form: &Form) -> Cow<'static, str> {
    Cow::Borrowed(match column.field_type {
        // A job can say that a number is text, but it stays a number in JSON.
        FieldType::Text if column.type_is_set && form.format == Format::Jsonl => "JSON",
        FieldType::Time if form.format == Format::Parquet => "TIME",
        FieldType::Text | FieldType::Base64 | FieldType::Time => "STRING",
        FieldType::Boolean => "BOOL",
        FieldType::Integer | FieldType::Long => "INT64",
        FieldType::Double => "FLOAT64",
        FieldType::Decimal { precision, scale } => {
            let name = if scale <= 9 && precision - scale <= 29 { "NUMERIC" } else { "BIGNUMERIC" };
            return format!("{name}({precision}, {scale})").into();
        }
        FieldType::Date => "DATE",
        FieldType::DateTime if has_timestamps(form) => "TIMESTAMP",
        FieldType::DateTime => "STRING",
        FieldType::Json => "JSON",
        // Any text is a cell, but any value of a record is JSON.
        FieldType::Any if form.format == Format::Csv => "STRING",
        FieldType::Any => "JSON",
    })
}

fn flags(file: &File, form: &Form) -> String {
    let CsvDialect { delimiter, quote, null, header, .. } = &form.csv;
    if form.format == Format::Jsonl {
        return "--source_format=NEWLINE_DELIMITED_JSON".to_owned();
    }
    if form.format == Format::Parquet {
        return parquet_flags(file);
    }
    let mut flags =
        vec!["--source_format=CSV".to_owned(), format!("--skip_leading_rows={}", u8::from(*header))];
    let character = |byte: u8| match byte {
        b'\t' => r"\t".to_owned(),
        byte => char::from(byte).to_string(),
    };
    if *delimiter != b',' {
        flags.push(format!("--field_delimiter={}", shell_word(&character(*delimiter))));
    }
    if *quote != b'"' {
        flags.push(format!("--quote={}", shell_word(&character(*quote))));
    }
    if !null.is_empty() {
        flags.push(format!("--null_marker={}", shell_word(null)));
    }
    // Cells hold line breaks and, rarely, NUL.
    flags.extend(["--allow_quoted_newlines", "--preserve_ascii_control_characters"].map(str::to_owned));
    flags.join(" ")
}

/// By default, BigQuery reads every decimal of a Parquet file as NUMERIC, which not all of them fit.
fn parquet_flags(file: &File) -> String {
    let mut flags = vec!["--source_format=PARQUET"];
    if file.columns.iter().any(|column| matches!(column.field_type, FieldType::Decimal { .. })) {
        // The flag takes one value each time.
        flags.extend(["--decimal_target_types=NUMERIC", "--decimal_target_types=BIGNUMERIC"]);
    }
    flags.join(" ")
}
