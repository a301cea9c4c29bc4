//! DuckDB: `CREATE TABLE`, `read_csv`, `read_parquet` and `COPY`. It compares names without regard to case.

use std::borrow::Cow;

use super::sql::{
    begin, check_hidden, check_hidden_names, check_tables, command, comment, escaped_literal, find_same,
    literal, quoted, table,
};
use super::{Column, Export, File, Form, Mistake, Node, nested};
use crate::job::Format;
use crate::value::FieldType;

/// What is special in a path. A backslash switches that off, and the classes with it.
const GLOB: [char; 3] = ['*', '?', '['];

/// Otherwise a directory such as `day=2026-05-01` adds a column. `COPY` adds none, and does not have this option.
const NO_PARTITIONS: &str = "hive_partitioning = false";

/// The longest line that the loads accept, in bytes: a list of child records is one cell. DuckDB's own limit is 2,000,000.
const MAX_LINE_SIZE: u32 = 1 << 26;

pub(super) fn write(export: &Export) -> Result<String, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    check_tables(export, (usize::MAX, ""), str::to_ascii_lowercase, &mut mistakes);
    check_hidden(export, &mut mistakes);
    if export.form.format == Format::Csv && export.form.csv.quote == b' ' {
        mistakes.push(Mistake::Quote(' '));
    }
    let mut out = String::new();
    begin(&mut out, export, "DuckDB");
    for file in &export.files {
        check_hidden_names(file, &mut mistakes);
        if file.path.contains('\\') && file.path.contains(GLOB) {
            mistakes.push(Mistake::Path(file.path.clone()));
        }
        let names = file.columns.iter().map(|column| (column.name.as_str(), column.name.clone()));
        find_same(names, str::to_lowercase, &mut mistakes);
        let columns: Vec<_> = match export.form.format {
            Format::Csv | Format::Parquet => {
                file.columns.iter().map(|column| definition(&column.name, column)).collect()
            }
            Format::Jsonl => nested(&file.columns).iter().map(nested_definition).collect(),
        };
        table(&mut out, "CREATE OR REPLACE TABLE", &quoted(&file.table(&export.job)), &columns);
    }
    comment(&mut out, "Load the files:");
    for file in &export.files {
        let name = quoted(&file.table(&export.job));
        match export.form.format {
            Format::Csv => load_csv(&mut out, &name, file, &export.form),
            Format::Parquet => {
                let from = format!("read_parquet({}, {NO_PARTITIONS})", path(file));
                command(&mut out, &format!("INSERT INTO {name} BY NAME SELECT * FROM {from};"));
            }
            Format::Jsonl => {
                let codec = export.form.codec;
                let compression = codec.map(|codec| format!(", COMPRESSION {}", codec.as_str()));
                let options =
                    format!("FORMAT json, ARRAY false, AUTO_DETECT false{}", compression.unwrap_or_default());
                command(&mut out, &format!("COPY {name} FROM {} ({options});", path(file)));
            }
        }
    }
    if mistakes.is_empty() { Ok(out) } else { Err(mistakes) }
}

/// A file's path in quotes. DuckDB reads it as a pattern, so its special characters are classes of one character.
fn path(file: &File) -> String {
    let one = |c: char| if GLOB.contains(&c) { format!("[{c}]") } else { c.to_string() };
    literal(&file.path.chars().map(one).collect::<String>())
}

fn definition(name: &str, column: &Column) -> String {
    let not_null = if column.required { " NOT NULL" } else { "" };
    format!("{} {}{not_null}", quoted(name), type_name(column.field_type))
}

fn nested_definition(node: &Node<'_>) -> String {
    match node {
        Node::Value(key, column) => definition(key, column),
        Node::Parent(key, inner) => format!("{} {}", quoted(key), structure(inner)),
    }
}

fn structure(nodes: &[Node<'_>]) -> String {
    let field = |node: &Node<'_>| match node {
        Node::Value(key, column) => format!("{} {}", quoted(key), type_name(column.field_type)),
        Node::Parent(key, inner) => format!("{} {}", quoted(key), structure(inner)),
    };
    format!("STRUCT({})", nodes.iter().map(field).collect::<Vec<_>>().join(", "))
}

fn type_name(field_type: FieldType) -> Cow<'static, str> {
    Cow::Borrowed(match field_type {
        FieldType::Text | FieldType::Base64 | FieldType::Any => "VARCHAR",
        FieldType::Boolean => "BOOLEAN",
        FieldType::Integer | FieldType::Long => "BIGINT",
        FieldType::Double => "DOUBLE",
        FieldType::Decimal { precision, scale } => return format!("DECIMAL({precision}, {scale})").into(),
        FieldType::Date => "DATE",
        FieldType::DateTime => "TIMESTAMPTZ",
        FieldType::Time => "TIME",
        FieldType::Json => "JSON",
    })
}

/// Appends the load of a CSV file. Datetimes are read as text and converted by name: the CSV reader of DuckDB 1.5 makes null
/// of a text that is not a datetime, even if only the table's column says that it should be one.
fn load_csv(out: &mut String, name: &str, file: &File, form: &Form) {
    let dialect = &form.csv;
    let is_datetime = |column: &&Column| column.field_type == FieldType::DateTime;
    let converted: Vec<_> =
        file.columns.iter().filter(is_datetime).map(|column| quoted(&column.name)).collect();
    match converted.split_last() {
        None => command(out, &format!("INSERT INTO {name} SELECT *")),
        Some((last, others)) => {
            let cast = |name: &str| format!("CAST({name} AS TIMESTAMPTZ) AS {name}");
            command(out, &format!("INSERT INTO {name} SELECT * REPLACE ("));
            others.iter().for_each(|name| command(out, &format!("    {},", cast(name))));
            command(out, &format!("    {}", cast(last)));
            command(out, ")");
        }
    }
    let character = |byte: u8| escaped_literal(&char::from(byte).to_string());
    let quote = character(dialect.quote);
    let mut options = vec![
        "auto_detect = false".to_owned(),
        format!("header = {}", dialect.header),
        format!("delim = {}", character(dialect.delimiter)),
        format!("quote = {quote}"),
        format!("escape = {quote}"),
        format!("nullstr = {}", escaped_literal(&dialect.null)),
        format!("allow_quoted_nulls = {}", file.quoted_null(dialect).is_some()),
        // Even without detection, DuckDB would take the first line break in the file, which can be one in a cell.
        format!("new_line = '{}'", if dialect.crlf { "\\r\\n" } else { "\\n" }),
        // Without a size, the buffer would be many times the longest line.
        format!("max_line_size = {MAX_LINE_SIZE}"),
        format!("buffer_size = {MAX_LINE_SIZE}"),
        NO_PARTITIONS.to_owned(),
    ];
    options.extend(form.codec.map(|codec| format!("compression = '{}'", codec.as_str())));
    command(out, &format!("FROM read_csv({}, {}, columns = {{", path(file), options.join(", ")));
    for (at, column) in file.columns.iter().enumerate() {
        let comma = if at + 1 < file.columns.len() { "," } else { "" };
        let type_name = if is_datetime(&column) { "VARCHAR".into() } else { type_name(column.field_type) };
        command(out, &format!("    {}: {}{comma}", literal(&column.name), literal(&type_name)));
    }
    command(out, "});");
}
