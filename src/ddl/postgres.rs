//! Postgres: `CREATE TABLE`, and psql's `\copy`. Limits: names of 63 bytes, 1,600 columns, and system columns (its
//! manual, "Lexical Structure", "Limits", "System Columns"). `HEADER match` is of version 15.

use super::sql::{
    begin, check_hidden, check_hidden_names, check_tables, command, comment, escaped_literal, find_same,
    literal, quoted, shell_word, table,
};
use super::{Column, Export, File, Form, Mistake};
use crate::job::{Codec, Format};
use crate::value::FieldType;

const MAX_NAME: (usize, &str) = (63, "63 bytes");
const MAX_COLUMNS: usize = 1_600;
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// The table that takes the lines of a JSON Lines file.
const LINES: &str = "sfexport_lines";

pub(super) fn write(export: &Export) -> Result<String, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    check_tables(export, MAX_NAME, str::to_owned, &mut mistakes);
    check_hidden(export, &mut mistakes);
    let mut out = String::new();
    begin(&mut out, export, "Postgres 15 or later");
    for file in &export.files {
        check_hidden_names(file, &mut mistakes);
        check(file, &mut mistakes);
        let name = quoted(&file.table(&export.job));
        let columns: Vec<_> = file.columns.iter().map(definition).collect();
        table(&mut out, "CREATE TABLE", &name, &columns);
    }
    comment(
        &mut out,
        "Load the files with psql. Postgres stores no NUL characters; these commands remove them.",
    );
    for file in &export.files {
        let name = quoted(&file.table(&export.job));
        match export.form.format {
            Format::Csv | Format::Parquet => command(&mut out, &copy_csv(&name, file, &export.form)),
            Format::Jsonl => copy_json(&mut out, &name, &lines_table(export), (file, export.form.codec)),
        }
    }
    if mistakes.is_empty() { Ok(out) } else { Err(mistakes) }
}

fn check(file: &File, mistakes: &mut Vec<Mistake>) {
    for Column { name, .. } in &file.columns {
        if name.len() > MAX_NAME.0 {
            mistakes.push(Mistake::TooLong { name: name.clone(), limit: MAX_NAME.1 });
        }
        if SYSTEM_COLUMNS.contains(&name.as_str()) {
            mistakes.push(Mistake::Reserved(name.clone()));
        }
    }
    find_same(file.columns.iter().map(|c| (c.name.as_str(), c.name.clone())), str::to_owned, mistakes);
    if file.columns.len() > MAX_COLUMNS {
        mistakes.push(Mistake::TooMany { columns: file.columns.len(), limit: MAX_COLUMNS });
    }
}

fn definition(column: &Column) -> String {
    let not_null = if column.required { " NOT NULL" } else { "" };
    format!("{} {}{not_null}", quoted(&column.name), type_name(column.field_type))
}

fn type_name(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Text | FieldType::Base64 => "text",
        FieldType::Boolean => "boolean",
        FieldType::Integer | FieldType::Long => "bigint",
        FieldType::Double | FieldType::Decimal { .. } => "numeric",
        FieldType::Date => "date",
        FieldType::DateTime => "timestamptz",
        FieldType::Time => "time",
        // Not jsonb, which refuses the escapes of NUL and of lone surrogates.
        FieldType::Json => "json",
        FieldType::Any => "text",
    }
}

/// A shell's command whose standard input is the file's text. A pipeline succeeds if its last command does, so a compressed
/// file is tested first.
fn piped(command: &str, file: &File, codec: Option<Codec>) -> String {
    let path = shell_word(&file.path);
    match codec {
        None => format!("{command} < {path}"),
        Some(codec) => {
            let program = codec.as_str();
            format!("{program} -tq < {path} && {program} -dcq < {path} | {command}")
        }
    }
}

fn copy_csv(name: &str, file: &File, form: &Form) -> String {
    let dialect = &form.csv;
    // `HEADER match` would find the mark in the first name.
    let program = match dialect.bom {
        true => format!("{} | tr -d \"\\\\000\"", piped("tail -c +4", file, form.codec)),
        false => piped("tr -d \"\\\\000\"", file, form.codec),
    };
    let mut options = vec!["FORMAT csv".to_owned()];
    if dialect.header {
        options.push("HEADER match".to_owned());
    }
    let character = |byte: u8| escaped_literal(&char::from(byte).to_string());
    options.push(format!("DELIMITER {}", character(dialect.delimiter)));
    options.push(format!("QUOTE {}", character(dialect.quote)));
    options.push(format!("NULL {}", escaped_literal(&dialect.null)));
    if let Some(column) = file.quoted_null(dialect) {
        options.push(format!("FORCE_NULL ({})", quoted(&column.name)));
    }
    options.push("ENCODING 'UTF8'".to_owned());
    format!("\\copy {name} FROM PROGRAM {} WITH ({})", literal(&program), options.join(", "))
}

/// The table that takes the lines, under a name that none of the export's tables has.
fn lines_table(export: &Export) -> String {
    let mut name = LINES.to_owned();
    while export.files.iter().any(|file| file.table(&export.job) == name) {
        name.push('_');
    }
    name
}

fn copy_json(out: &mut String, name: &str, lines: &str, (file, codec): (&File, Option<Codec>)) {
    // The escape of NUL, unless the backslash before it is itself escaped.
    let program = piped(r"sed -E -e ':a' -e 's/(^|[^\])((\\\\)*)\\u0000/\1\2/' -e 'ta'", file, codec);
    command(out, &format!("CREATE TEMP TABLE {lines} (line json);"));
    command(
        out,
        &format!(
            "\\copy {lines} FROM PROGRAM {} WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02', ENCODING 'UTF8')",
            literal(&program)
        ),
    );
    command(out, &format!("INSERT INTO {name} SELECT"));
    for (at, column) in file.columns.iter().enumerate() {
        let comma = if at + 1 < file.columns.len() { "," } else { "" };
        command(out, &format!("    {}{comma}", value(column)));
    }
    command(out, &format!("FROM {lines};"));
    command(out, &format!("DROP TABLE {lines};"));
}

/// The value of a column in a line.
fn value(column: &Column) -> String {
    let Some((last, parents)) = column.keys.split_last() else { return "NULL".to_owned() };
    let parents: String = parents.iter().map(|key| format!("->{}", literal(key))).collect();
    let text = format!("line{parents}->>{}", literal(last));
    match type_name(column.field_type) {
        "text" => text,
        type_name => format!("({text})::{type_name}"),
    }
}
