//! DuckDB: `CREATE TABLE` and `COPY`. It compares names without regard to case.

use std::borrow::Cow;

use super::sql::{begin, check_tables, command, comment, find_same, literal, quoted, table};
use super::{Column, Export, File, Mistake, Node, nested};
use crate::job::{CsvDialect, Format};
use crate::value::FieldType;

pub(super) fn write(export: &Export) -> Result<String, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    check_tables(export, (usize::MAX, ""), str::to_ascii_lowercase, &mut mistakes);
    let mut out = String::new();
    begin(&mut out, export, "DuckDB");
    for file in &export.files {
        let names = file.columns.iter().map(|column| (column.name.as_str(), column.name.clone()));
        find_same(names, str::to_lowercase, &mut mistakes);
        let columns: Vec<_> = match export.form.format {
            Format::Csv => file.columns.iter().map(|column| definition(&column.name, column)).collect(),
            Format::Jsonl => nested(&file.columns).iter().map(nested_definition).collect(),
        };
        table(&mut out, "CREATE OR REPLACE TABLE", &quoted(&file.table(&export.job)), &columns);
    }
    comment(&mut out, "Load the files:");
    for file in &export.files {
        let name = quoted(&file.table(&export.job));
        match export.form.format {
            Format::Csv => command(&mut out, &copy_csv(&name, file, &export.form.csv)),
            Format::Jsonl => command(
                &mut out,
                &format!(
                    "COPY {name} FROM {} (FORMAT json, ARRAY false, AUTO_DETECT false);",
                    literal(&file.path)
                ),
            ),
        }
    }
    if mistakes.is_empty() { Ok(out) } else { Err(mistakes) }
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

fn copy_csv(name: &str, file: &File, dialect: &CsvDialect) -> String {
    let character = |byte: u8| literal(&char::from(byte).to_string());
    let quote = character(dialect.quote);
    let options = [
        "FORMAT csv".to_owned(),
        "AUTO_DETECT false".to_owned(),
        format!("HEADER {}", dialect.header),
        format!("DELIMITER {}", character(dialect.delimiter).replace('\t', "\\t")),
        format!("QUOTE {quote}"),
        format!("ESCAPE {quote}"),
        format!("NULLSTR {}", literal(&dialect.null)),
        "ALLOW_QUOTED_NULLS false".to_owned(),
    ];
    format!("COPY {name} FROM {} ({});", literal(&file.path), options.join(", "))
}
